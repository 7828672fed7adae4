"""The head that plasticity injection leaves behind (arXiv 2305.15555), which the rest of the package has to know."""

import copy

from torch import Tensor, nn


class Injected(nn.Module):
    """A head of one input and one output after an injection: what it had learned, and a copy that learns as a new one.

    `old` and `frozen` stay as they are; methods find weight matrices and units in `trained` only.
    """

    def __init__(self, old: nn.Module, trained: nn.Module) -> None:
        super().__init__()
        self.old = old.requires_grad_(False)
        self.trained = trained
        self.frozen = copy.deepcopy(trained).requires_grad_(False)
        self.train(old.training)

    def forward(self, inputs: Tensor) -> Tensor:
        # In this order the two copies cancel exactly, as long as they are equal.
        return self.old(inputs) + (self.trained(inputs) - self.frozen(inputs))

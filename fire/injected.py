"""The head that plasticity injection makes (arXiv 2305.15555); other files of the package treat it specially."""

import copy

from torch import Tensor, nn


class Injected(nn.Module):
    """A head after an injection: the old head, frozen, and two copies of the initial head, one of which is trained.

    The head takes one input and gives one output. `old` and `frozen` are not trained, but methods that reset or shrink
    a whole head write to them too. Methods find weight matrices and units in `trained` only.
    """

    def __init__(self, old: nn.Module, trained: nn.Module) -> None:
        super().__init__()
        self.old = old.requires_grad_(False)
        self.trained = trained
        self.frozen = copy.deepcopy(trained).requires_grad_(False)
        self.train(old.training)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the old head's output plus the difference of the two copies of the new head."""
        # In this order the two copies cancel exactly, as long as they are equal.
        return self.old(inputs) + (self.trained(inputs) - self.frozen(inputs))

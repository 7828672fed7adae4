"""A network that learns from labelled examples: images with their classes, tokens with those that follow."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from fire import PlasticityManager
from fire.undisturbed import modes_restored

from .learning import SavedAgent, TrainedNetwork
from .optimizers import begin_anew, set_rate

Examples: TypeAlias = tuple[Tensor, Tensor]  # what the network is given, and the number of the right answer for each
METRICS = ("loss", "batch_accuracy", "gradient_norm")


class Supervised(SavedAgent):
    """One network, its optimizer, and a learning rate that is set before each update."""

    generators: Mapping[str, torch.Generator] = {}  # which examples are drawn is the work's business

    def __init__(self, network: TrainedNetwork, device: torch.device, largest_norm: float | None = None) -> None:
        self.trained, self.device, self.largest_norm = network, device, largest_norm
        self.networks = (network,)

    @property
    def module(self) -> nn.Module:
        return self.trained.module

    def begin_phase(self) -> None:
        """A new phase of data begins: as published, with an optimizer that is new, whatever the method."""
        begin_anew(self.trained.optimizer)

    def update(
        self, batches: Sequence[Examples], shares: Sequence[float], plasticity: PlasticityManager | None = None
    ) -> dict[str, Tensor]:
        """One gradient step on each batch, at these shares of the learning rate; mean metrics, still on the device."""
        sums = torch.zeros(len(METRICS), device=self.device)
        self.module.train()
        for (inputs, labels), share in zip(batches, shares, strict=True):
            set_rate(self.trained.optimizer, share)
            outputs = self.module(inputs)
            loss = cross_entropy(outputs, labels)
            norm = self.trained.step(loss, plasticity, self.largest_norm)
            with torch.no_grad():
                right = (outputs.argmax(-1) == labels).float().mean()
                sums += torch.stack((loss.detach(), right, torch.zeros_like(right) if norm is None else norm))
        return dict(zip(METRICS, (sums / len(batches)).unbind(), strict=True))

    def losses(self, examples: Examples) -> dict[str, Callable[[], Tensor]]:
        """By network, a function that computes its training loss on some examples."""

        def loss() -> Tensor:
            with modes_restored(self.module):
                self.module.train()
                return cross_entropy(self.module(examples[0]), examples[1])

        return {self.trained.name: loss}

    @torch.no_grad()
    def judged(self, batches: Iterable[Examples]) -> tuple[Tensor, Tensor]:
        """Of every example, whether the network is right and its loss, as it is used once trained."""
        right, losses = [], []
        with modes_restored(self.module):
            self.module.eval()
            for inputs, labels in batches:
                outputs = self.module(inputs)
                right.append(outputs.argmax(-1) == labels)
                losses.append(cross_entropy(outputs, labels, reduction="none"))
        return torch.cat(right), torch.cat(losses)

    def runs(self, inputs: Tensor) -> dict[str, Callable[[], Tensor]]:
        """By network, a function that runs it on inputs as it is used once trained; nothing changes."""

        def run() -> Tensor:
            with modes_restored(self.module), torch.no_grad():
                self.module.eval()
                return self.module(inputs)

        return {self.trained.name: run}


def cross_entropy(outputs: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """In nats, of scores that have the classes in their last dimension, in float32 whatever the scores are in."""
    scores = outputs.float().flatten(0, -2)
    return functional.cross_entropy(scores, labels.flatten(), reduction=reduction).reshape(
        labels.shape if reduction == "none" else ()
    )

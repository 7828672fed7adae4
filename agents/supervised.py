"""A network that learns from labelled examples: images with their classes, tokens with the tokens that follow."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from fire_rl.fire import PlasticityManager
from fire_rl.fire.network import Loss, renew_
from fire_rl.fire.probe import Inputs, plain_run
from fire_rl.fire.undisturbed import modes_restored

from .captured import Precision, mixed, products_in
from .learning import SavedAgent, TrainedNetwork
from .optimizers import set_rate

Examples: TypeAlias = tuple[Tensor, Tensor]  # inputs, and the number of the right class for each


class Supervised(SavedAgent):
    """One network, its optimizer, and a learning rate that is set before each update."""

    generators: Mapping[str, torch.Generator] = {}  # none: the work, not the agent, draws the examples

    def __init__(
        self,
        network: TrainedNetwork,
        device: torch.device,
        largest_norm: float | None = None,
        at_once: int | None = None,
        counts_right: bool = True,
        begin_phase: Callable[[], None] | None = None,
    ) -> None:
        """Make a learner. `at_once` examples of a batch are in memory at the same time (None: all). With `counts_right`
        the accuracy on batches is measured, which is cheap for a small number of classes. `begin_phase` makes the
        optimizer new at the start of a phase after the first; by default its state is set to zero."""
        self.trained, self.device, self.largest_norm, self.at_once = network, device, largest_norm, at_once
        self.networks = (network,)
        self._begin_phase = begin_phase or partial(renew_, network.optimizer)
        self.precision: Precision = "float32"  # of products in updates and evaluations
        self.metrics = ("loss", "gradient_norm", *(("batch_accuracy",) if counts_right else ()))

    @property
    def module(self) -> nn.Module:
        """The network's module."""
        return self.trained.module

    def begin_phase(self) -> None:
        """Start a phase of data after the first with a new optimizer, as published, whatever the method."""
        self._begin_phase()

    def update(
        self, batches: Sequence[Examples], shares: Sequence[float], plasticity: PlasticityManager | None = None
    ) -> dict[str, Tensor]:
        """Take one gradient step on each batch, at these shares of the learning rate; return the mean metrics.

        The metrics are tensors on the device.
        """
        sums = dict.fromkeys(self.metrics, torch.zeros((), device=self.device))
        self.module.train()
        for examples, share in zip(batches, shares, strict=True):
            set_rate(self.trained.optimizer, share)
            found = dict.fromkeys(self.metrics, torch.zeros((), device=self.device))
            with self._products():
                norm = self.trained.step(self._summands(examples, found), plasticity, self.largest_norm)
            if norm is not None:
                found["gradient_norm"] = norm
            sums = {name: value + found[name] for name, value in sums.items()}
        return {name: value / len(batches) for name, value in sums.items()}

    def _summands(self, examples: Examples, found: dict[str, Tensor]) -> Iterator[Tensor]:
        """Yield the loss on a batch in parts of `at_once` examples, and add the metrics to `found`."""
        inputs, labels = examples
        size = self.at_once or len(inputs)
        for part, answers in zip(inputs.split(size), labels.split(size), strict=True):
            outputs = self._scores(part)
            loss = cross_entropy(outputs, answers) * (len(part) / len(inputs))
            with torch.no_grad():
                found["loss"] = found["loss"] + loss
                if "batch_accuracy" in found:
                    right = (outputs.argmax(-1) == answers).sum()
                    found["batch_accuracy"] = found["batch_accuracy"] + right / labels.numel()
            yield loss

    def _scores(self, inputs: Tensor) -> Tensor:
        """Return the scores; only this pass may use bfloat16: penalties, the optimizer and the loss use float32."""
        with mixed(self.precision, self.device):
            return self.module(inputs)

    def _products(self) -> AbstractContextManager[None]:
        return products_in(self.precision) if self.device.type == "cuda" else nullcontext()

    def losses(self, examples: Examples, data: Callable[[], Iterable[Examples]] = tuple) -> dict[str, "LossOn"]:
        """Return the network's training loss, by name, on some examples and on the batches of the data."""
        return {self.trained.name: LossOn(self.module, examples, data)}

    @torch.no_grad()
    def judged(self, batches: Iterable[Examples]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield for each batch the network's scores in evaluation mode, the right classes and the losses."""
        with modes_restored(self.module):
            self.module.eval()
            for inputs, labels in batches:
                with self._products():
                    outputs = self._scores(inputs)
                yield outputs, labels, cross_entropy(outputs, labels, reduction="none")

    def runs(self, inputs: Tensor) -> dict[str, Callable[[], Tensor]]:
        """Return a function, by the network's name, that runs the network on inputs in evaluation mode."""

        def run() -> Tensor:
            with modes_restored(self.module), torch.no_grad():
                self.module.eval()
                return self.module(inputs)

        return {self.trained.name: run}

    def probed(self, batches: Sequence[Tensor]) -> dict[str, Inputs]:
        """Return the network's inputs, and how it is run on them, for a diagnosis."""
        return {self.trained.name: Inputs(batches, plain_run)}


class LossOn:
    """The training loss of a network on some examples, which can also go through the data batch by batch."""

    def __init__(self, module: nn.Module, examples: Examples, data: Callable[[], Iterable[Examples]]) -> None:
        self.module, self.examples, self.data = module, examples, data

    def __call__(self) -> Tensor:
        """Return the loss on the examples."""
        return self._on(self.examples)

    def batches(self) -> Iterator[Loss]:
        """Yield the losses of one pass over the data, one per batch; call each before taking the next."""
        return (partial(self._on, examples) for examples in self.data())

    def _on(self, examples: Examples) -> Tensor:
        with modes_restored(self.module):
            self.module.train()
            return cross_entropy(self.module(examples[0]), examples[1])


def cross_entropy(outputs: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """Return the cross-entropy in nats of scores with classes in the last dimension, computed in float32."""
    scores = outputs.float().flatten(0, -2)
    return functional.cross_entropy(scores, labels.flatten(), reduction=reduction).reshape(
        labels.shape if reduction == "none" else ()
    )

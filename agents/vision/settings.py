"""Hyper-parameters of image classification: the values of the FIRE paper's experiments on vision."""

from dataclasses import dataclass, field
from typing import Literal

from ..limits import bounded, check_limits, flag


@dataclass(frozen=True)
class ClassifierSettings:
    """The network and its training; the defaults are the published values."""

    network: Literal["auto", "resnet18", "vit-tiny", "vgg16", "small"] = "auto"
    """auto: resnet18 for cifar10, vit-tiny for cifar100, vgg16 for tinyimagenet, as published; small for other data."""
    optimizer: Literal["adam", "muon"] = "adam"
    """muon: Muon for the encoder's matrices, at ten times the learning rate, and Adam for the rest, as published."""
    later_optimizer: Literal["same", "adam", "muon"] = field(default="same", metadata={"facts": frozenset({"later"})})
    """Optimizer from the second phase on. A published warm start with Muon has adam, and then muon."""
    learning_rate: float = bounded(1e-3, 0)
    """Adam's learning rate, per update, after the warm-up."""
    beta1: float = bounded(0.9, 0, 0.999999)
    """Adam's decay of the first moment, per update."""
    beta2: float = bounded(0.999, 0, 0.999999)
    """Adam's decay of the second moment, per update."""
    adam_epsilon: float = bounded(1e-8, 0)
    """Added to the square root of Adam's second moment."""
    largest_norm: float | None = bounded(0.5, 0)
    """Largest norm of the gradient; a longer one is scaled down to it; None: no limit."""
    warm_up: float = bounded(0.1, 0, 1)
    """Share of a phase's epochs in which the learning rate rises, by the same amount in each epoch."""

    @property
    def optimizers(self) -> tuple[Literal["adam", "muon"], Literal["adam", "muon"]]:
        """The optimizer of the first phase and that of all later phases."""
        return self.optimizer, self.optimizer if self.later_optimizer == "same" else self.later_optimizer

    def check(self) -> None:
        """Raise ValueError if a value is not allowed."""
        check_limits(self)
        if "muon" in self.optimizers and not self.learning_rate:
            raise ValueError("--learning-rate 0 given with Muon; allowed is a number above 0")
        if "adam" in self.optimizers:
            return
        usual = type(self)()
        for name in ("beta1", "beta2", "adam_epsilon"):
            if (value := getattr(self, name)) != getattr(usual, name):
                raise ValueError(
                    f"{flag(name)} {value} given with --optimizer muon, which does not take it: with Muon, Adam always "
                    "has the published beta1 0.9, beta2 0.95 and adam_epsilon 1e-10"
                )

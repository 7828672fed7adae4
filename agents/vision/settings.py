"""Hyper-parameters of learning to tell images apart: the values of the FIRE paper's experiments on vision."""

from dataclasses import dataclass
from typing import Literal

from ..limits import bounded, check_limits, flag


@dataclass(frozen=True)
class ClassifierSettings:
    """The network and how it is trained; the defaults are the published ones."""

    network: Literal["auto", "resnet18", "vit-tiny", "vgg16", "small"] = "auto"
    """auto: resnet18 for cifar10, vit-tiny for cifar100, vgg16 for tinyimagenet, as published; small for the rest."""
    optimizer: Literal["adam", "muon"] = "adam"
    """muon: of the encoder's matrices at ten times the learning rate, as published; Adam for the rest."""
    learning_rate: float = bounded(1e-3, 0)
    """Adam's learning rate, per update, once it has risen."""
    beta1: float = bounded(0.9, 0, 0.999999)
    """Adam's decay of the first moment, per update."""
    beta2: float = bounded(0.999, 0, 0.999999)
    """Adam's decay of the second moment, per update."""
    adam_epsilon: float = bounded(1e-8, 0)
    """Added to the root of Adam's second moment."""
    largest_norm: float | None = bounded(0.5, 0)
    """A longer gradient is scaled down to this norm; None: never."""
    warm_up: float = bounded(0.1, 0, 1)
    """Share of a phase's epochs in which the learning rate rises, in equal steps, one for each epoch."""

    def check(self) -> None:
        """Raise ValueError, in one line, where a value makes no sense."""
        check_limits(self)
        if self.optimizer != "muon":
            return
        if not self.learning_rate:
            raise ValueError("--learning-rate 0 given with --optimizer muon; allowed is a number above 0")
        usual = type(self)()
        for name in ("beta1", "beta2", "adam_epsilon"):
            if (value := getattr(self, name)) != getattr(usual, name):
                raise ValueError(
                    f"{flag(name)} {value} given with --optimizer muon, which does not take it: beside Muon, Adam has "
                    "the published 0.9, 0.95 and 1e-10"
                )

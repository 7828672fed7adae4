"""Hyper-parameters of learning to predict the next token: the values of the FIRE paper's experiments on language."""

from dataclasses import dataclass

from ..limits import bounded, check_limits
from .sizes import GPTName


@dataclass(frozen=True)
class LanguageModelSettings:
    """The network and how it is trained; the defaults are the published ones."""

    network: GPTName = "gpt-0.1b"
    """A GPT, by its size."""
    learning_rate: float = bounded(6e-4, 0)
    """AdamW's highest learning rate in a phase, per update."""
    least_share: float = bounded(0.1, 0, 1)
    """The share of it that a phase ends with; it falls there in half a cosine."""
    warm_up: float = bounded(0.1, 0, 1)
    """Share of a phase's updates in which the learning rate rises in a line."""
    longest_warm_up: int = bounded(2_000, 0)
    """It rises in so many updates at most."""
    beta1: float = bounded(0.9, 0, 0.999999)
    """AdamW's decay of the first moment, per update."""
    beta2: float = bounded(0.95, 0, 0.999999)
    """AdamW's decay of the second moment, per update."""
    adam_epsilon: float = bounded(1e-8, 0)
    """Added to the root of AdamW's second moment."""
    weight_decay: float = bounded(0.1, 0)
    """AdamW's, of matrices and embeddings, times the learning rate."""
    largest_norm: float | None = bounded(1.0, 0)
    """A longer gradient is scaled down to this norm; None: never."""

    def check(self) -> None:
        """Raise ValueError, in one line, where a value makes no sense."""
        check_limits(self)

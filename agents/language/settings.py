"""Hyper-parameters of language models: the values of the FIRE paper's experiments on language."""

from dataclasses import dataclass

from ..limits import bounded, check_limits
from .sizes import GPTName


@dataclass(frozen=True)
class LanguageModelSettings:
    """The network and its training; the defaults are the published values."""

    network: GPTName = "gpt-0.1b"
    """A GPT, by its size."""
    learning_rate: float = bounded(6e-4, 0)
    """AdamW's maximum learning rate in a phase, per update."""
    least_share: float = bounded(0.1, 0, 1)
    """Share of the maximum learning rate at the end of a phase, after a cosine decay."""
    warm_up: float = bounded(0.1, 0, 1)
    """Share of a phase's updates in which the learning rate rises linearly."""
    longest_warm_up: int = bounded(2_000, 0)
    """Largest number of updates in which the learning rate rises."""
    beta1: float = bounded(0.9, 0, 0.999999)
    """AdamW's decay of the first moment, per update."""
    beta2: float = bounded(0.95, 0, 0.999999)
    """AdamW's decay of the second moment, per update."""
    adam_epsilon: float = bounded(1e-8, 0)
    """Added to the square root of AdamW's second moment."""
    weight_decay: float = bounded(0.1, 0)
    """AdamW's weight decay of matrices and embeddings, times the learning rate."""
    largest_norm: float | None = bounded(1.0, 0)
    """Largest norm of the gradient; a longer one is scaled down to it; None: no limit."""

    def check(self) -> None:
        """Raise ValueError if a value is not allowed."""
        check_limits(self)

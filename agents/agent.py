"""What the training loop asks of an agent, whatever its algorithm."""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fire import Network, PlasticityManager
from replay import Batch


class Agent(Protocol):
    """Few verbs. Nothing behind them reads a clock, a file, an environment or the command line."""

    device: torch.device

    def observe(self, observations: np.ndarray) -> None:
        """Take the observations about to be acted on into the running statistics."""

    def act(self, observations: np.ndarray, explore: bool) -> np.ndarray:
        """Actions for a batch of observations; without exploration no random stream moves."""

    def random_actions(self, count: int) -> np.ndarray:
        """Actions of the warm-up, before learning starts."""

    def update(self, batches: Batch, plasticity: PlasticityManager | None = None) -> dict[str, Tensor]:
        """One gradient step on each of K batches; the mean metrics, still on the device."""

    def losses(self, batch: Batch, seed: int) -> dict[str, Callable[[], Tensor]]:
        """By network, a function that computes its training loss on one batch; nothing changes, no stream moves."""

    def plastic(self) -> tuple[Network, ...]:
        """The networks that plasticity methods may act on."""

    def state_dict(self) -> dict[str, Tensor]:
        """Everything a resumed run needs, as named tensors."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Put a saved state back, in place."""

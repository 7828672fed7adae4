"""What a learner receives: K batches of B transitions."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Tensors of leading shape (K, B); `terminated` is 1.0 where the episode truly ended, 0.0 at truncation."""

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminated: Tensor

"""What a learner receives: K batches of B transitions."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Tensors of leading shape (K, B); `terminated` is 1.0 where the episode truly ended, 0.0 at truncation.

    `steps` counts the decisions from observations to next_observations, whose discounted rewards `rewards` adds up:
    1, or up to n with n-step returns, so that the next value's factor is gamma ** steps * (1 - terminated).
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminated: Tensor
    steps: Tensor

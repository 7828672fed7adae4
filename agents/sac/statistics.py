"""Running mean and variance of observations, as the published agents normalise theirs."""

import torch
from torch import Tensor, nn


class RunningStatistics(nn.Module):
    """Per-dimension mean and variance over everything seen (parallel formula of Chan et al. 1979), in float64."""

    mean: Tensor
    variance: Tensor
    count: Tensor

    EPSILON = 1e-8

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(size, dtype=torch.float64))
        self.register_buffer("count", torch.tensor(1e-4, dtype=torch.float64))

    @torch.no_grad()
    def update(self, batch: Tensor) -> None:
        """Take in a batch of (n, size) observations, in place and without waiting for the device."""
        batch = batch.double()
        size = len(batch)
        mean = batch.mean(0)
        variance = batch.var(0, correction=0)
        total = self.count + size
        difference = mean - self.mean
        spread = self.variance * self.count + variance * size + difference.square() * (self.count * size / total)
        self.mean.add_(difference * (size / total))
        self.variance.copy_(spread / total)
        self.count.copy_(total)

    def normalise(self, observations: Tensor) -> Tensor:
        """(x - mean) / sqrt(variance + 1e-8), in float32, not clipped.

        Observations are stored in float32, which alone makes an error of |x| / std 2^-24; the mean's adds as much. On
        the H1 tasks |mean| / std is 2 to 24, and 101 in one dimension of h1-balance_hard: the largest errors are 5e-7
        to 2e-6, there 8e-6, of which half would stay if the difference were taken in float64. It is left as it is.
        """
        scale = (self.variance + self.EPSILON).rsqrt()
        return torch.mul(observations.float() - self.mean.float(), scale.float())

"""Normalised observations are as exact as float32 observations allow, with statistics as in H1 tasks."""

import numpy as np
import pytest
import torch

from fire_rl import envs
from fire_rl.agents.sac.statistics import RunningStatistics


def errors(observations: torch.Tensor, statistics: RunningStatistics) -> tuple[float, float]:
    """Return the largest errors compared with float64: as it is, and with only the observation rounded to float32."""
    deviation = (statistics.variance + statistics.EPSILON).sqrt()
    exact = (observations - statistics.mean) / deviation
    rounded = (observations.float().double() - statistics.mean) / deviation
    ours = statistics.normalise(observations).double()
    return float((ours - exact).abs().max()), float((rounded - exact).abs().max())


@pytest.mark.parametrize("ratio", [0.0, 2.0, 24.0, 101.0, 1e4])
def test_the_error_grows_with_the_mean_over_the_deviation_and_rounding_is_half_of_it(ratio: float):
    observations = ratio + torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    statistics = RunningStatistics(3)
    statistics.update(observations)
    ours, rounded = errors(observations, statistics)
    assert ours <= 2.0**-23 * (ratio + 12)
    assert rounded >= 0.2 * ours


@pytest.mark.slow
@pytest.mark.parametrize(("task", "largest", "error"), [("h1-walk", 2.5, 8e-7), ("h1-balance_hard", 120.0, 1e-5)])
def test_h1_tasks_have_such_statistics(task: str, largest: float, error: float):
    """6,000 observations of a random policy that holds each action for two decisions."""
    environment, random = envs.make_vec(task, num_envs=4, seed=0), np.random.default_rng(0)
    observations, _ = environment.reset(seed=0)
    statistics, seen = RunningStatistics(observations.shape[1]), []
    shape = environment.action_space.shape
    assert shape is not None
    action = random.uniform(-1, 1, shape).astype(np.float32)
    for step in range(1_500):
        seen.append(torch.as_tensor(observations))
        statistics.update(seen[-1])
        if step % 2 == 0:
            action = random.uniform(-1, 1, shape).astype(np.float32)
        observations, *_ = environment.step(action)
    environment.close()
    ratio = (statistics.mean.abs() / (statistics.variance + statistics.EPSILON).sqrt()).max()
    assert 0.5 * largest < ratio < largest
    assert errors(torch.cat(seen), statistics)[0] < error

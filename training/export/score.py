"""The score of a policy: the mean return of episodes with their own starts, and an interval of the mean."""

from collections.abc import Sequence

import numpy as np

from fire_rl import envs
from fire_rl.place import called

from ..card import Score
from ..evaluate import Evaluation
from ..policy import Policy

RESAMPLES = 10_000
TOGETHER = 16  # environments that are stepped together, at most


def score_of(returns: Sequence[float], occasion: str) -> Score:
    """Return the mean of the returns, with its 95% percentile bootstrap interval, the same at every call."""
    values = np.asarray(returns, dtype=np.float64)
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(1), (0.025, 0.975))
    deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return Score(float(values.mean()), float(low), float(high), deviation, len(values), occasion)


def measured(policy: Policy, episodes: int, seed: int) -> Score:
    """Run new episodes, as `evaluate.py RUN --episodes N --seed N` does, and return their score."""
    count = min(TOGETHER, episodes)
    environment = policy.config.world.evaluated.vector(count)
    seeds = tuple(envs.spawn_seeds(seed, max(count, episodes)))
    evaluation = Evaluation(environment, seeds, None, policy.config.evaluation_exploration)
    try:
        returns, _ = evaluation.run(policy.act)
    finally:
        environment.close()
    if not np.isfinite(returns).all():
        raise ValueError(f"{policy.config.run.env} gave a return that is not a number")
    return score_of(returns.tolist()[:episodes], f"{episodes} episodes, {called('evaluate')} --seed {seed}")

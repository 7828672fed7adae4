"""What a policy is worth: episodes with starts of their own, and an interval of their mean."""

from collections.abc import Sequence

import numpy as np

from fire_rl import envs
from fire_rl.place import called

from ..card import Score
from ..evaluate import Evaluation
from ..policy import Policy

RESAMPLES = 10_000
TOGETHER = 16  # environments at most


def score_of(returns: Sequence[float], occasion: str) -> Score:
    """Their mean, with a 95% percentile bootstrap interval of the mean, which is the same at every call."""
    values = np.asarray(returns, dtype=np.float64)
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(1), (0.025, 0.975))
    deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return Score(float(values.mean()), float(low), float(high), deviation, len(values), occasion)


def measured(policy: Policy, episodes: int, seed: int) -> Score:
    """Played anew, as `evaluate.py RUN --episodes N --seed N` does."""
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

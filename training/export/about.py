"""The metadata of an exported file: the environment, its spaces, how the policy was trained, and its score."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from fire_rl import __version__, envs
from fire_rl.place import called

from ..card import Score, is_card, read_record
from ..checkpoint import read_manifest
from ..described import read_described
from ..durable import Damaged
from ..evaluate import Evaluation
from ..learners import name_of
from ..lines import Divergence, EvaluationLine, Line
from ..policy import Policy

RESAMPLES = 10_000
TOGETHER = 16  # environments that are stepped together, at most


def about(policy: Policy, score: Score | None = None) -> dict[str, str]:
    """Return the metadata as texts by name, lists and mappings as JSON.

    `score` is used in place of the run's own last evaluation.
    """
    run, spaces = policy.config.run, msgspec.to_builtins(policy.spaces)
    score = score or last_score(policy)
    shape = (f"batch x {' x '.join(map(str, policy.spaces.observation.shape))}").removesuffix(" x ")
    values: dict[str, Any] = {
        "library": "fire-rl",
        "version": version(policy),
        "exported_with": __version__,
        "commit": commit(policy),
        "environment": run.env,
        "algorithm": name_of(policy.config),
        "method": run.method,
        "step": str(policy.step),
        "seed": str(run.seed),
        "action_repeat": str(run.action_repeat),
        "observation_space": json.dumps(spaces["observation"]),
        "action_space": json.dumps(spaces["action"]),
        "input": f"observation: raw, as the environment gives it, {shape}",
        "outputs": ", ".join(policy.module().outputs),
        "score": json.dumps(None if score is None else msgspec.to_builtins(score)),
    }
    if (atari := policy.config.atari) is not None and policy.config.world.frames_per_step:
        values["atari"] = json.dumps(msgspec.to_builtins(atari))
    return values


def version(policy: Policy) -> str:
    """Return the version of fire-rl that made the checkpoint, or that the config of a card or an older run names."""
    return (_machine(policy).get("fire-rl") or read_described(policy.run).version or "unknown")[:200]


def commit(policy: Policy) -> str:
    """Return the commit of fire-rl that made the checkpoint, or that the config of a card or an older run names."""
    made = _machine(policy)
    return ((made.get("commit") if made else read_described(policy.run).commit) or "unknown")[:200]


def _machine(policy: Policy) -> dict[str, str]:
    """Return the versions and machine that made the checkpoint; nothing for a card or an older checkpoint."""
    try:
        made_with = None if is_card(policy.run) else read_manifest(policy.run, policy.step).made_with
    except Damaged:
        return {}
    return made_with.machine if made_with else {}


def last_score(policy: Policy) -> Score | None:
    """Return the score of the run's last evaluation up to the checkpoint, or the score that a card holds."""
    if is_card(policy.run):
        return read_record(policy.run).score
    lines = [line for line in evaluations(policy) if line.steps <= policy.step]
    returns = [value for value in lines[-1].values if value is not None] if lines else []
    return score_of(returns, f"the run's evaluation at step {lines[-1].steps:,}") if returns else None


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


def evaluations(policy: Policy) -> list[EvaluationLine]:
    """Return every evaluation of the run that can be read."""
    return [line for line in _lines(policy) if isinstance(line, EvaluationLine)]


def record_end(policy: Policy) -> int | None:
    """Return the last step that occurs in the run's metrics, or None."""
    return max((line.steps for line in _lines(policy)), default=None)


def divergence(policy: Policy) -> Divergence | None:
    """Return the record of the run's divergence, or None if it did not diverge."""
    return next((line for line in reversed(_lines(policy)) if isinstance(line, Divergence)), None)


def _lines(policy: Policy) -> list[Line]:
    """Return the lines of the run's metrics; none if the file is missing or damaged."""
    try:
        return [line for _, line in policy.config.reader.of(policy.run) if line]
    except (ValueError, OSError):
        return []

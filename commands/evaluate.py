"""Evaluate a checkpoint's policy over new episodes; it acts as in the run's own evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fire_rl import envs
from fire_rl.place import program
from fire_rl.training import load_policy
from fire_rl.training.command_line import read_operand
from fire_rl.training.evaluate import Evaluation
from fire_rl.training.policy import split_run
from fire_rl.training.trust import trusted

USAGE = f"""{__doc__}

  {program("evaluate")} RUN              the newest checkpoint
  {program("evaluate")} RUN@STEP         the checkpoint at this environment step"""
MOST_EPISODES, MOST_STEPS = 1_000_000, 1_000_000_000
TOGETHER = 4  # environments of an evaluation with --steps, as in DQN's published protocol


@dataclass(frozen=True)
class Options:
    """How to evaluate."""

    episodes: int = 100
    """Number of episodes; each has its own start."""
    seed: int = 1_000
    """Seed of the episodes' starts."""
    steps: int | None = None
    """Environment steps in all, of four environments, not episodes; finished episodes count (DQN's protocol)."""
    trust: Path | None = None
    """The run, if its config names your own environment or method: gives permission to import that Python code."""


def body(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    missing = f"no run given: {program('evaluate')} RUN, or RUN@STEP"
    run, options = read_operand(Options(), arguments, "evaluate", "RUN[@STEP]", USAGE, missing)
    if not 1 <= options.episodes <= MOST_EPISODES or options.seed < 0:
        raise ValueError(
            f"--episodes {options.episodes} --seed {options.seed} given; "
            f"allowed are 1 to {MOST_EPISODES:,}, and 0 or above"
        )
    if options.steps is not None and not 1 <= options.steps <= MOST_STEPS:
        raise ValueError(
            f"--steps {options.steps} given; allowed is a number of environment steps above 0, {MOST_STEPS:,} at most"
        )
    folder, step = split_run(run)
    policy = load_policy(folder, step, trusted(folder, options.trust))
    settings = policy.config.run
    count = min(16, options.episodes) if options.steps is None else TOGETHER
    evaluation = Evaluation(
        policy.config.world.evaluated.vector(count),
        tuple(envs.spawn_seeds(options.seed, max(count, options.episodes))),
        None if options.steps is None else -(-options.steps // settings.action_repeat),
        policy.config.evaluation_exploration,
    )
    open_still: list[str] = []
    within = f" that did not end within --steps {options.steps}"
    returns, lengths = evaluation.run(policy.act, unfinished=lambda: open_still.append(within))
    if not np.isfinite(returns).all():
        raise ValueError(f"{settings.env} gave a return that is not a number: {returns[~np.isfinite(returns)][0]}")
    spread = f" (standard error {returns.std(ddof=1) / np.sqrt(len(returns)):.1f})" if len(returns) > 1 else ""
    quartiles = ", ".join(f"{value:.1f}" for value in np.quantile(returns, (0, 0.25, 0.5, 0.75, 1)))
    print(f"{settings.env}, checkpoint at step {policy.step:,}: {len(returns)} episodes{''.join(open_still)}")
    print(f"  return   {returns.mean():.1f}{spread}; minimum, quartiles, maximum: {quartiles}")
    score = envs.normalised_score(settings.env, float(returns.mean()))
    if score is not None:
        print(f"  score    {score:.3f} ({policy.config.world.score_meaning})")
    print(f"  length   {lengths.mean() * settings.action_repeat:.0f} environment steps on average")
    return 0

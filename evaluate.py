"""Evaluate a checkpoint: deterministic episodes with fresh starts, the mean return and its spread."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tyro

import envs
from training import load_policy
from training.command_line import main
from training.evaluate import evaluate
from training.policy import split_run


@dataclass(frozen=True)
class Options:
    """Which checkpoint, and on how many episodes."""

    run: tyro.conf.Positional[str]
    """RUN for its newest checkpoint, RUN@STEP for the one at an environment step."""
    episodes: int = 100
    """Episodes, each from a start of its own."""
    seed: int = 1_000
    """Seed of the episodes' starts."""


def body(arguments: Sequence[str]) -> int:
    options = tyro.cli(Options, args=arguments, prog="evaluate.py", description=__doc__)
    if options.episodes < 1:
        raise ValueError(f"--episodes {options.episodes} given; allowed is 1 or more")
    policy = load_policy(*split_run(options.run))
    settings = policy.config.run
    members = max(n for n in range(1, 17) if options.episodes % n == 0)
    environment = envs.make_vec(settings.env, members, seed=0, action_repeat=settings.action_repeat)
    returns, lengths = evaluate(policy.act, environment, envs.spawn_seeds(options.seed, options.episodes))
    error = returns.std(ddof=1) / np.sqrt(len(returns)) if len(returns) > 1 else float("nan")
    quartiles = ", ".join(f"{value:.1f}" for value in np.quantile(returns, (0, 0.25, 0.5, 0.75, 1)))
    print(f"{settings.env}, checkpoint at step {policy.step:,}: {len(returns)} episodes")
    print(f"  return   {returns.mean():.1f} (standard error {error:.1f}); minimum, quartiles, maximum: {quartiles}")
    print(f"  length   {lengths.mean() * settings.action_repeat:.0f} environment steps on average")
    return 0


if __name__ == "__main__":
    main(body)

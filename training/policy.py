"""A trained policy for people who want to use it: `load_policy(RUN).act(observation)`."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fire import restore_structure

from .algorithms import Config, algorithm_of, config_from_json
from .build import Streams
from .checkpoint import DamagedCheckpoint, read_checkpoint, steps_of
from .files import read_json
from .world import to_environment


class Policy:
    """The deterministic policy of one checkpoint, in the environment's own action bounds."""

    def __init__(self, run: Path, step: int, config: Config) -> None:
        self.run, self.step, self.config = run, step, config
        environment, seed = config.world.vector(1), Streams.spawn(config.run.seed, 1).agent
        self._agent = algorithm_of(config).build_agent(config, environment, seed, "cpu")
        self._to_environment = to_environment(environment.single_action_space)
        self._observation_shape = environment.single_observation_space.shape
        environment.close()
        checkpoint = read_checkpoint(run, step)
        restore_structure(self._agent.plastic(), checkpoint.values["manager"])  # so that the tensors fit
        self._agent.load_state_dict(checkpoint.agent)

    def act(self, observation: NDArray[Any]) -> NDArray[Any]:
        """The action for one observation, or the actions for a batch of them."""
        single = np.shape(observation) == self._observation_shape
        observations = np.asarray(observation)[None] if single else np.asarray(observation)
        actions = self._to_environment(self._agent.act(observations, explore=False))
        return actions[0] if single else actions


def load_policy(run: str | Path, step: int | None = None) -> Policy:
    """The policy of a run's checkpoint at environment step `step`, or of its newest whole one."""
    run = Path(run)
    config = read_config(run)
    if step is not None:
        return Policy(run, checked_step(run, step), config)
    for newest in reversed(steps_of(run)):
        try:
            return Policy(run, newest, config)
        except DamagedCheckpoint as error:
            warnings.warn(f"checkpoint at step {newest:,} is damaged ({error}); using the one before", stacklevel=2)
    raise ValueError(f"{run} has no whole checkpoint yet")


def read_config(run: Path) -> Config:
    """A run's settings; one line where the folder is not a run."""
    try:
        return config_from_json(read_json(run / "config.json"))
    except (OSError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{run} is not a run: it has no readable config.json") from error


def checked_step(run: Path, step: int) -> int:
    """`step` if it has a checkpoint, or one line with those that there are."""
    steps = steps_of(run)
    step = read_config(run).run.reached(step)
    if step in steps:
        return step
    there = ", ".join(map(str, steps)) or "none"
    raise ValueError(f"{run} has no checkpoint at step {step}; there are: {there}")


def split_run(text: str) -> tuple[Path, int | None]:
    """`RUN` or `RUN@STEP`."""
    run, separator, step = text.rpartition("@")
    if not separator:
        return Path(text), None
    try:
        return Path(run), int(step.replace("_", "").replace(",", ""))
    except ValueError:
        raise ValueError(f"{text!r} given; allowed is RUN or RUN@STEP, such as runs/walk@500000") from None

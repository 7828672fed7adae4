"""A trained policy for people who want to use it: `load_policy(RUN).act(observation)`."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from envs.world import to_environment
from fire import restore_structure

from .agent_run import AgentRun
from .checkpoint import folder_of, read_checkpoint, steps_of
from .durable import Damaged
from .learners import read_config
from .sources import refuse_changed_sources
from .streams import Streams
from .trust import refuse_code


class Policy:
    """The deterministic policy of one checkpoint, in the environment's own action bounds."""

    def __init__(self, run: Path, step: int, config: AgentRun) -> None:
        self.run, self.step, self.config = run, step, config
        environment, seed = config.world.vector(1), Streams.spawn(config.run.seed).agent
        self._agent = config.make_agent(environment, seed, torch.device("cpu"))
        self._to_environment = to_environment(environment.single_action_space)
        self._observation_shape = environment.single_observation_space.shape
        environment.close()
        checkpoint = read_checkpoint(run, step)
        try:
            restore_structure(self._agent.plastic(), checkpoint.values.manager)  # so that the tensors fit
            self._agent.load_state_dict(checkpoint.learner)
        except Exception as error:  # whatever a stranger's tensors lead to
            raise Damaged(f"{folder_of(run, step)} does not fit the run: {in_a_line(error)}") from error

    def act(self, observation: NDArray[Any]) -> NDArray[Any]:
        """The action for one observation, or the actions for a batch of them."""
        single = np.shape(observation) == self._observation_shape
        observations = np.asarray(observation)[None] if single else np.asarray(observation)
        actions = self._to_environment(self._agent.act(observations, explore=False))
        return actions[0] if single else actions


def load_policy(run: str | Path, step: int | None = None, trust: bool = False) -> Policy:
    """The policy of a run's checkpoint at environment step `step`, or of its newest whole one.

    `trust` lets the run's files name code of its owner's, an environment or a method, which is imported then.
    """
    run = Path(run)
    config = read_config(run)
    if not isinstance(config, AgentRun):
        raise ValueError(f"{run} has no policy: nothing acts in what {config.run.env} is")
    refuse_code(config, run, ("track",), trust)  # which is not used here
    config.check()
    if step is not None:
        policy = Policy(run, checked_step(run, step), config)
        refuse_changed_sources(run, config, evaluated=True)
        return policy
    for newest in reversed(steps_of(run)):
        try:
            policy = Policy(run, newest, config)
        except Damaged as error:
            warnings.warn(f"checkpoint at step {newest:,} is damaged ({error}); using the one before", stacklevel=2)
            continue
        refuse_changed_sources(run, config, evaluated=True)
        return policy
    raise ValueError(f"{run} has no whole checkpoint" + ("" if steps_of(run) else ": none has been written"))


def in_a_line(error: BaseException) -> str:
    """An error's kind and words."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


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

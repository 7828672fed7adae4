"""Load and use a trained policy: `load_policy(RUN).act(observation)`."""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from fire_rl.agents.agent import Agent
from fire_rl.agents.learning import ValuingAgent
from fire_rl.envs.kept_spaces import KeptSpaces
from fire_rl.envs.world import to_environment
from fire_rl.fire import restore_structure

from .agent_run import AgentRun
from .card import is_card, read_agent
from .checkpoint import folder_of, newest_whole, read_checkpoint, steps_of
from .device import choose_device
from .durable import Damaged
from .error_words import in_a_line
from .folder import is_run
from .learners import read_config
from .policy_module import PolicyModule, module_of
from .pretrained import located
from .sources import refuse_changed_sources
from .spaces import spaces_of, surroundings_of
from .streams import Streams
from .trust import refuse_code

T = TypeVar("T")


class Policy:
    """The deterministic policy of one checkpoint, with actions in the environment's own bounds."""

    def __init__(self, run: Path, step: int, config: AgentRun, agent: Agent, spaces: KeptSpaces) -> None:
        self.run, self.step, self.config, self.spaces = run, step, config, spaces
        self.agent = agent
        self._to_environment = to_environment(spaces.action.space())
        self._observation_shape = spaces.observation.shape

    def act(self, observation: NDArray[Any]) -> NDArray[Any]:
        """Return the action for one observation, or the actions for a batch of observations."""
        observations, single = self._batch(observation)
        actions = self._to_environment(self.agent.act(observations, explore=False))
        return actions[0] if single else actions

    def action_values(self, observation: NDArray[Any]) -> NDArray[Any]:
        """Return the values of all actions for one observation or a batch; only agents such as DQN have them."""
        if not isinstance(self.agent, ValuingAgent):
            raise ValueError(f"{type(self.agent).__name__} has no value for each action")
        observations, single = self._batch(observation)
        values = self.agent.action_values(observations)
        return values[0] if single else values

    def module(self) -> PolicyModule:
        """Return the policy as a torch module that shares the agent's tensors; `export.py` writes it to a file."""
        return module_of(self.agent, self.spaces)

    def _batch(self, observation: NDArray[Any]) -> tuple[NDArray[Any], bool]:
        shape, expected = np.shape(observation), self._observation_shape
        single = shape == expected
        if not single and shape[1:] != expected:
            raise ValueError(f"observations have the shape {expected}, or a batch (N, *{expected}); {shape} given")
        return (np.asarray(observation)[None] if single else np.asarray(observation)), single


def load_policy(run: str | Path, step: int | None = None, trust: bool = False, device: str = "cpu") -> Policy:
    """Load the policy of a run's checkpoint at environment step `step`, or of its newest whole checkpoint.

    `run` is a run's folder, a card's folder (`export.py --card`), or the name of a policy that comes with the project,
    such as "pretrained:cartpole". The environment's package is needed only for runs of older versions, which did not
    store their spaces. With `trust`, modules that the run's files name (an environment or a method of its owner's) are
    imported, which executes their code. `device` is the device of the networks: cpu, cuda, cuda:N, or auto.
    """
    run, on = located(run), choose_device(device)
    config = read_config(run)
    if not isinstance(config, AgentRun):
        raise ValueError(f"{run} has no policy: it was trained on data ({config.run.env}), not in an environment")
    refuse_code(config, run, ("track",), trust)  # a tracker's code is not used here, so it needs no trust
    config.check()
    if is_card(run):
        return _of_a_card(run, step, config, on)
    # The warning names the line that calls `load_policy`.
    tell = partial(warnings.warn, stacklevel=4)
    policy = from_checkpoint(run, step, lambda found: _of_a_checkpoint(run, found, config, on), tell)
    refuse_changed_sources(run, config, evaluated=True)
    return policy


def from_checkpoint(run: Path, step: int | None, read: Callable[[int], T], tell: Callable[[str], object]) -> T:
    """Return `read(step)`, of the newest whole checkpoint if no step is given; see `newest_whole` for `tell`."""
    found = newest_whole(run, read, tell) if step is None else read(checked_step(run, step))
    if found is None:
        raise ValueError(f"{run} has no whole checkpoint" + ("" if steps_of(run) else ": none has been written"))
    return found


def _of_a_checkpoint(run: Path, step: int, config: AgentRun, device: torch.device) -> Policy:
    checkpoint = read_checkpoint(run, step)
    spaces = spaces_of(config, checkpoint.values.work)
    agent = config.agent_for(surroundings_of(config, spaces), Streams.spawn(config.run.seed).agent, device)
    try:
        restore_structure(agent.plastic(), checkpoint.values.manager)  # so that the tensors fit
        agent.load_state_dict(checkpoint.learner)
    except Exception as error:  # the tensors are not trusted and may cause any error
        raise Damaged(f"{folder_of(run, step)} does not fit the run: {in_a_line(error)}") from error
    return Policy(run, step, config, agent, spaces)


def _of_a_card(card: Path, step: int | None, config: AgentRun, device: torch.device) -> Policy:
    agent, record = read_agent(card, config, device)
    if step is not None and config.run.reached(step) != record.step:
        raise ValueError(f"{card} has no policy of step {step}; it has one, of step {record.step}")
    return Policy(card, record.step, config, agent, record.spaces)


def checked_step(run: Path, step: int) -> int:
    """Return `step` if it has a checkpoint; raise ValueError with the existing ones if not."""
    steps = steps_of(run)
    step = read_config(run).run.reached(step)
    if step in steps:
        return step
    there = ", ".join(map(str, steps)) or "none"
    raise ValueError(f"{run} has no checkpoint at step {step}; there are: {there}")


def split_run(text: str) -> tuple[Path, int | None]:
    """Split `RUN@STEP` into the run and the step; the step of `RUN` is None."""
    run, separator, step = text.rpartition("@")
    if not separator or "/" in step or is_run(Path(text)):  # @ may be in a name, such as /home/alice@example.com/run
        return Path(text), None
    try:
        return Path(run), int(step.replace("_", "").replace(",", ""))
    except ValueError:
        raise ValueError(f"{text!r} given; allowed is RUN or RUN@STEP, such as runs/walk@500000") from None

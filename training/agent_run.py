"""The settings of a run of reinforcement learning, and the agent that they make."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from fire_rl import envs
from fire_rl.agents import Agent, Kind, Surroundings
from fire_rl.agents.compiled import refuse_uncompiled
from fire_rl.envs import AtariSettings
from fire_rl.envs.world import World
from fire_rl.fire import Method

from .config import Config
from .evaluate import LIMIT
from .memory import require_memory_for_learning
from .metric import RETURN, Metric
from .reinforcement_settings import RunSettings
from .settings import flag


@dataclass(frozen=True)
class AgentRun(Config):
    """The settings of a run of reinforcement learning; an agent that plays Atari games has a group of settings more."""

    metric: ClassVar[Metric] = RETURN
    acts: ClassVar[bool] = True
    kind: ClassVar[Kind]

    run: RunSettings
    agent: Any  # the settings of an agent of the kind
    atari: ClassVar[AtariSettings | None] = None  # must come last: in a subclass where it is a field, the field is last

    @property
    def published(self) -> Mapping[str, Method]:
        """The methods with the values that publications use for this agent."""
        return self.kind.published

    @property
    def world(self) -> World:
        """The run's environment, by name and options."""
        return World(self.run.env, self.run.action_repeat, self.atari)

    def check(self) -> None:
        """Raise ValueError if a value is not allowed, or if a method cannot be compiled with the losses."""
        super().check()
        self.agent.check()
        if self.run.compile == "losses":
            for method in (self.methods.method, *self.methods.regularizers):
                refuse_uncompiled(method)
        if self.atari is not None:
            self.atari.check()

    def resolved(self) -> Self:
        """Return the settings with the schedule and the agent's defaults written out."""
        config = super().resolved()
        return config.altered(**vars(config.agent.resolved(config.run.steps)))

    def surroundings(self, environment: VectorEnv) -> Surroundings:
        """Return the facts about the environment that the agent is built for."""
        limit = environment.spec.max_episode_steps if environment.spec else None
        spaces = environment.single_observation_space, environment.single_action_space
        return Surroundings(self.run.env, *spaces, limit, self.run.action_repeat)

    def notes_on(self, environment: VectorEnv) -> list[str]:
        """Return notes on what a user may not expect of the environment."""
        name, notes = self.run.env, []
        if not hasattr(environment, "get_state"):
            notes.append(f"{name} has no saved state: on resuming, open episodes end as truncated, new ones start")
        if environment.spec is None or environment.spec.max_episode_steps is None:
            notes.append(f"{name} has no time limit: evaluation stops at {LIMIT:,} decisions")
        if self.atari is not None and not envs.is_atari(name) and (idle := list(map(flag, self.atari.changed()))):
            have = "have" if len(idle) > 1 else "has"
            notes.append(f"{name} is not an Atari game: {', '.join(idle)} {have} no effect here")
        return notes

    def make_agent(self, environment: VectorEnv, seed: np.random.SeedSequence, device: torch.device) -> Agent:
        """Make the agent; raise ValueError if it cannot learn in this environment or does not fit into memory."""
        return self.agent_for(self.surroundings(environment), seed, device)

    def agent_for(self, surroundings: Surroundings, seed: np.random.SeedSequence, device: torch.device) -> Agent:
        """Make the agent for spaces that are known without an environment; otherwise the same as `make_agent`."""
        self.kind.require(surroundings)
        require_memory_for_learning(self.run, self.agent, surroundings, device)
        return self.kind.build(surroundings, self.agent, seed, device)

    @property
    def evaluation_exploration(self) -> float:
        """The share of random actions in evaluations."""
        return float(self.agent.evaluation_exploration)

    @property
    def learning_rate(self) -> float:
        """The agent's learning rate."""
        return float(self.agent.learning_rate)

    def score_in_words(self, value: float) -> str | None:
        """Return the normalised score of a return in words, if the environment has one."""
        score = envs.normalised_score(self.run.env, value)
        return None if score is None else f"{score:.3f} ({self.world.score_meaning})"

    def choices(self) -> Mapping[str, str]:
        """Return the environments in which the agent can learn, for --help-all."""
        return {"Environments of --env": envs.describe_names(self.kind.actions)}

    def operations(self) -> float:
        """Return the floating-point operations of one gradient update, for the environment's spaces."""
        environment = self.world.vector(1)  # made only for its spaces
        surroundings = self.surroundings(environment)
        environment.close()
        return float(self.agent.size(surroundings.observations.shape or (), surroundings.action_count).operations)

"""From settings to the parts of a run: environments, agent, replay, plasticity manager."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

import envs
from agents import Agent
from fire import Intervention, PlasticityManager, parse_intervention
from replay import TransitionReplay
from replay.transitions import place_replay

from .evaluate import LIMIT
from .film import EvaluationFilm
from .settings import RunSettings


@dataclass(frozen=True)
class Streams:
    """The run's independent random streams, spawned from its one seed."""

    agent: np.random.SeedSequence
    environment: int
    replay: int
    evaluation: tuple[int, ...]

    @classmethod
    def spawn(cls, seed: int, eval_episodes: int) -> "Streams":
        agent, environment, replay, evaluation = np.random.SeedSequence(seed).spawn(4)
        numbers = [int(child.generate_state(1, np.uint64)[0]) for child in (environment, replay, evaluation)]
        return cls(agent, numbers[0], numbers[1], tuple(envs.spawn_seeds(numbers[2], eval_episodes)))


@dataclass(frozen=True)
class Parts:
    """What the loop drives."""

    settings: RunSettings
    agent: Agent
    environment: VectorEnv
    resumable: bool  # the environment's state can be saved
    evaluation_environment: VectorEnv
    evaluation_seeds: tuple[int, ...]
    replay: TransitionReplay
    batch_size: int
    replay_generator: torch.Generator
    manager: PlasticityManager
    to_environment: Callable[[NDArray[Any]], NDArray[Any]]
    notes: tuple[str, ...]  # sentences for the start of the run
    film: EvaluationFilm | None  # makes the videos of evaluations


def assemble(
    settings: RunSettings,
    make_agent: Callable[[VectorEnv, np.random.SeedSequence, torch.device], Agent],
    batch_size: int,
    presets: Mapping[str, Intervention] | None = None,
) -> Parts:
    """The parts of a run of any agent on flat observations and bounded actions."""
    settings.check()
    schedule = settings.schedule()
    intervention = parse_intervention(settings.reinit, presets=presets or {})
    device = choose_device(settings.device)
    streams = Streams.spawn(settings.seed, settings.eval_episodes)
    make = partial(envs.make_vec, settings.env, action_repeat=settings.action_repeat)
    environment = make(settings.num_envs, seed=streams.environment)
    observation_size, action_size = flat_sizes(environment, settings.env)
    agent = make_agent(environment, streams.agent, device)
    row_bytes = 4 * (2 * observation_size + action_size + 2)
    # No larger than the run can fill; a longer --steps later only adds room, since the ring has not wrapped.
    held = min(settings.replay_capacity, settings.steps // settings.action_repeat + settings.num_envs)
    replay_device, note = place_replay(row_bytes * held, device)
    notes = [note]
    resumable = hasattr(environment, "get_state")
    if not resumable:
        notes.append(f"{settings.env} has no saved state: on resuming, open episodes end as truncated, new ones start")
    if environment.spec is None or environment.spec.max_episode_steps is None:
        notes.append(f"{settings.env} has no time limit: evaluation stops at {LIMIT:,} decisions")
    return Parts(
        settings,
        agent,
        environment,
        resumable,
        evaluation_environment=make(settings.eval_episodes, seed=0),
        evaluation_seeds=streams.evaluation,
        replay=TransitionReplay(held, observation_size, action_size, replay_device),
        batch_size=batch_size,
        replay_generator=torch.Generator(replay_device).manual_seed(streams.replay),
        manager=PlasticityManager(agent.plastic(), intervention, schedule),
        to_environment=action_scaling(environment.single_action_space),
        notes=tuple(notes),
        film=EvaluationFilm(settings.env, settings.action_repeat, settings.eval_episodes) if settings.video else None,
    )


def choose_device(name: str) -> torch.device:
    """`auto` is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"--device {name!r} given; allowed are auto, cpu, cuda and cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"--device {name!r} given; allowed are auto, cpu, cuda and cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"--device {name!r} given; this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def flat_sizes(environment: VectorEnv, name: str) -> tuple[int, int]:
    """Sizes of observation and action; SAC works on flat, bounded boxes."""
    observation, action = environment.single_observation_space, environment.single_action_space
    if not (isinstance(observation, spaces.Box) and len(observation.shape) == 1):
        raise ValueError(f"{name}: SAC needs flat vector observations, this environment's are {observation}")
    if not (isinstance(action, spaces.Box) and len(action.shape) == 1 and np.isfinite([action.low, action.high]).all()):
        raise ValueError(f"{name}: SAC needs bounded continuous actions, this environment's are {action}")
    return observation.shape[0], action.shape[0]


def action_scaling(space: spaces.Space[Any]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """From the agent's [-1, 1] to the environment's bounds."""
    assert isinstance(space, spaces.Box)  # checked by flat_sizes
    low, high, dtype = space.low, space.high, space.dtype
    if (low == -1).all() and (high == 1).all():
        return lambda actions: actions
    return lambda actions: np.clip(low + (actions + 1) / 2 * (high - low), low, high).astype(dtype)

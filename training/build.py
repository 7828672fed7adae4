"""From settings to the parts of a run: environments, agent, replay, plasticity manager."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

import envs
from agents import Agent
from fire import Intervention, PlasticityManager, parse_intervention, parse_regularizer
from replay import FrameReplay, TransitionReplay
from replay.transitions import place_replay

from .evaluate import LIMIT, Evaluation
from .film import EvaluationFilm
from .memory import require_memory_for_environments
from .settings import RunSettings
from .world import World, to_environment

Replay: TypeAlias = TransitionReplay | FrameReplay
Array: TypeAlias = NDArray[Any]
# From the environments, how many transitions the run can fill, and the learner's device; and a sentence about it.
MakeReplay: TypeAlias = Callable[[VectorEnv, int, torch.device], tuple[Replay, str]]


@dataclass(frozen=True)
class Streams:
    """The run's independent random streams, spawned from its one seed."""

    agent: np.random.SeedSequence
    environment: int
    replay: int
    evaluation: tuple[int, ...]
    methods: int  # of what methods draw
    measures: int  # of the examples that networks are looked at on

    @classmethod
    def spawn(cls, seed: int, evaluations: int) -> "Streams":
        agent, *others = np.random.SeedSequence(seed).spawn(6)
        environment, replay, evaluation, methods, measures = (
            int(child.generate_state(1, np.uint64)[0]) for child in others
        )
        return cls(agent, environment, replay, tuple(envs.spawn_seeds(evaluation, evaluations)), methods, measures)


@dataclass(frozen=True)
class Parts:
    """What the loop drives."""

    settings: RunSettings
    agent: Agent
    world: World
    environment: VectorEnv
    resumable: bool  # the environment's state can be saved
    evaluation: Evaluation
    replay: Replay
    batch_size: int
    replay_generator: torch.Generator
    measure_seed: int
    manager: PlasticityManager
    to_environment: Callable[[Array], Array]
    learned_rewards: Callable[[Array], Array]  # from the environment's, which are the ones that are logged
    notes: tuple[str, ...]  # sentences for the start of the run
    film: EvaluationFilm | None  # makes the videos of evaluations


def assemble(
    settings: RunSettings,
    make_agent: Callable[[VectorEnv, np.random.SeedSequence, torch.device], Agent],
    batch_size: int,
    presets: Mapping[str, Intervention] | None = None,
    *,
    world: World | None = None,
    make_replay: MakeReplay | None = None,
    learned_rewards: Callable[[Array], Array] = np.asarray,
    evaluation_exploration: float = 0.0,
) -> Parts:
    """The parts of a run of any agent; without `make_replay` on flat observations and bounded actions."""
    settings.check()
    schedule = settings.schedule()
    intervention = parse_intervention(settings.reinit, presets=presets or {})
    regularizers = [parse_regularizer(text) for text in settings.regularize]
    device = choose_device(settings.device)
    world = world or World(settings.env, settings.action_repeat)
    require_memory_for_environments(settings, world)
    evaluated = settings.eval_episodes if settings.eval_steps is None else settings.num_envs
    streams = Streams.spawn(settings.seed, evaluated)
    environment = world.vector(settings.num_envs, streams.environment)
    agent = make_agent(environment, streams.agent, device)
    manager = PlasticityManager(
        agent.plastic(), intervention, schedule, regularizers, settings.triggers(), streams.methods
    )
    # No larger than the run can fill; a longer --steps later only adds room, since the ring has not wrapped.
    held = min(settings.replay_capacity, settings.steps // settings.action_repeat + settings.num_envs)
    replay, note = (make_replay or flat_replay)(environment, held, device)
    notes = [note]
    resumable = hasattr(environment, "get_state")
    if not resumable:
        notes.append(f"{settings.env} has no saved state: on resuming, open episodes end as truncated, new ones start")
    if environment.spec is None or environment.spec.max_episode_steps is None:
        notes.append(f"{settings.env} has no time limit: evaluation stops at {LIMIT:,} decisions")
    evaluation = Evaluation(
        world.evaluated.vector(evaluated),
        streams.evaluation,
        None if settings.eval_steps is None else settings.eval_steps // settings.action_repeat,
        evaluation_exploration,
    )
    return Parts(
        settings,
        agent,
        world,
        environment,
        resumable,
        evaluation=evaluation,
        replay=replay,
        batch_size=batch_size,
        replay_generator=torch.Generator(replay.device).manual_seed(streams.replay),
        measure_seed=streams.measures,
        manager=manager,
        to_environment=to_environment(environment.single_action_space),
        learned_rewards=learned_rewards,
        notes=tuple(notes),
        film=EvaluationFilm(world.evaluated, evaluated, evaluation.longest) if settings.video else None,
    )


def flat_replay(environment: VectorEnv, held: int, device: torch.device) -> tuple[Replay, str]:
    """Whole transitions of vectors."""
    spaces = environment.single_observation_space, environment.single_action_space
    observation_size, action_size = (math.prod(space.shape or ()) for space in spaces)
    place, note = place_replay(4 * (2 * observation_size + action_size + 2) * held, device)
    return TransitionReplay(held, observation_size, action_size, place), note


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

"""Traces: for environments whose state cannot be saved, the seed and the actions are saved and replayed instead."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .state_checks import MOST, State, require_count, require_names

MOST_ACTIONS = 1_000_000  # the longest episode that is replayed; some games have no time limit
SEED_END = 2**63  # seeds are below this, because they are saved as int64


@dataclass
class Trace:
    """The actions of one member of a vector since its last seeding. Episodes count from 0 for each seed of the member.

    The first episode uses the seed itself, later ones use seeds derived from it. If seeding is slow, an episode that
    begins within `patience` actions of the last seeding is not seeded: it continues the present random numbers, and
    belongs to the same trace.
    """

    seed: int
    patience: int = 0
    episode: int = 0  # the episode that is being played
    seeded: int = 0  # the episode that began with the last seeding
    actions: list[Any] = field(default_factory=list)

    def first(self) -> int:
        """Return the seed with which this trace begins."""
        if not self.seeded:
            return self.seed
        child = np.random.SeedSequence(self.seed, spawn_key=(self.seeded,))
        return int(child.generate_state(1, np.uint64)[0] >> 1)

    def next_episode(self, over: bool = True) -> int | None:
        """Count the next episode, and return its seed, or None if it continues the present random numbers.

        None is possible only if the present episode is over.
        """
        self.episode += 1
        if over and len(self.actions) < self.patience:
            return None
        self.seeded, self.actions = self.episode, []
        return self.first()


def random_seed() -> int:
    """Return a seed from the operating system's entropy."""
    return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)


def checksum(observation: Any, identity: str) -> int:
    """Return a checksum of an observation (a number, an array or a tuple of them) and of its environment's identity."""
    parts = observation if isinstance(observation, tuple) else (observation,)
    total = zlib.crc32(identity.encode())
    for part in parts:
        total = zlib.crc32(np.ascontiguousarray(part).tobytes(), total)
    return total


def traces_to_state(traces: Sequence[Trace], observations: Iterable[Any], like: NDArray[Any], identity: str) -> State:
    """Return traces as plain arrays; `like` is one action.

    The checksums of the last observations show later whether a replayed episode is the same.
    """
    lengths = np.array([len(trace.actions) for trace in traces], dtype=np.int64)
    actions = np.zeros((len(traces), max(lengths), *like.shape), dtype=like.dtype)
    for row, trace in zip(actions, traces, strict=True):
        if trace.actions:
            row[: len(trace.actions)] = trace.actions
    return {
        "seeds": np.array([trace.seed for trace in traces], dtype=np.int64),
        "episodes": np.array([trace.episode for trace in traces], dtype=np.int64),
        "seeded": np.array([trace.seeded for trace in traces], dtype=np.int64),
        "lengths": lengths,
        "actions": actions,
        "checksums": np.array([checksum(observation, identity) for observation in observations], dtype=np.int64),
    }


def traces_from_state(
    given: Mapping[str, ArrayLike], present: State, actions: gym.Space[Any], longest: int, patience: int = 0
) -> tuple[list[Trace], NDArray[np.int64]]:
    """Return traces, and the checksums that their last observations must have; raise ValueError for a wrong state.

    `present` is any state of the same vector, `actions` is the action space of one member. An episode has at most
    `longest` actions; a trace may have `patience` more, of episodes before the present one.
    """
    require_names(given, present)
    state = {name: np.asarray(given[name]) for name in present}
    for name, values in state.items():
        wanted = present[name].shape
        if name == "actions":
            wanted = (*wanted[:1], int(np.max(state["lengths"], initial=0)), *wanted[2:])
        if values.shape != wanted:
            raise ValueError(f"{name} has shape {values.shape}, {wanted} is needed")
        if values.dtype.kind != present[name].dtype.kind:
            raise ValueError(f"{name} holds {values.dtype}, {present[name].dtype} is needed")
        highest = {"seeds": SEED_END - 1, "lengths": min(longest, MOST_ACTIONS) + patience}
        if name not in ("actions", "checksums"):
            require_count(name, values, highest.get(name, MOST))
    if (state["seeded"] > state["episodes"]).any():
        raise ValueError("seeded holds an episode that lies after the present one")
    members = zip(*(state[name].tolist() for name in ("seeds", "episodes", "seeded", "lengths")), strict=True)
    traces = [
        Trace(seed, patience, episode, seeded, list(state["actions"][row, :length].astype(present["actions"].dtype)))
        for row, (seed, episode, seeded, length) in enumerate(members)
    ]
    for member, trace in enumerate(traces):
        if not all(is_possible(action, actions) for action in trace.actions):
            raise ValueError(f"actions of environment {member} hold one that is not in {actions}")
    return traces, state["checksums"].astype(np.int64)


def is_possible(action: Any, space: gym.Space[Any]) -> bool:
    """Whether an environment can be stepped with an action; it may clip continuous ones to its bounds by itself."""
    if isinstance(space, gym.spaces.Box):
        return action.shape == space.shape and bool(np.isfinite(action).all())
    return space.contains(action)


def require_same(
    checksums: NDArray[np.int64], observations: Iterable[Any], episodes: Sequence[tuple[int, int]], identity: str
) -> None:
    """Raise ValueError if a replay did not arrive where the state was saved.

    `episodes` has for each member the number of the episode that the replay arrived in, and the saved number.
    """
    for member, (wanted, observation, numbers) in enumerate(zip(checksums, observations, episodes, strict=True)):
        if numbers[0] != numbers[1] or checksum(observation, identity) != wanted:
            raise ValueError(
                f"the saved episode of environment {member} plays differently here: the state is damaged, "
                "or was saved with other settings or another version of the game's package"
            )

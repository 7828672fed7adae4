"""Observations composed from single frames equal those that the environment returned."""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

from fire_rl.replay import Batch, FrameReplay, frame_replay_bytes
from fire_rl.replay.frames import First

GAMMA = 0.9
EVENTS = ("go on", "go on", "go on", "go on", "some end", "some end", "all end", "cut", "sample")


@dataclass(frozen=True)
class Setting:
    """The settings of a replay and of a game."""

    capacity: int = 12
    members: int = 2
    stack: int = 3
    frame_shape: tuple[int, ...] = (1, 2, 2)
    dtype: torch.dtype = torch.uint8
    first: First = "repeat"
    n_steps: int = 1

    def replay(self, capacity: int | None = None) -> FrameReplay:
        return FrameReplay(
            capacity or self.capacity,
            self.members,
            self.frame_shape,
            stack=self.stack,
            dtype=self.dtype,
            first=self.first,
            n_steps=self.n_steps,
            gamma=GAMMA,
        )


class Step(NamedTuple):
    """One step of all environments, complete. The actions number the transitions from the first one on."""

    observations: NDArray[Any]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float64]
    next_observations: NDArray[Any]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class Game:
    """Environments that show noise, stack it themselves and end when told to. It remembers every step completely."""

    def __init__(self, setting: Setting, seed: int = 0) -> None:
        self.setting, self.generator = setting, np.random.default_rng(seed)
        self.recent: list[deque[NDArray[np.generic]]] = [deque(maxlen=setting.stack) for _ in range(setting.members)]
        self.history: list[Step] = []
        self.reset(range(setting.members))

    def reset(self, members: range | list[int]) -> None:
        for member in members:
            frame = self.frame()
            before = frame if self.setting.first == "repeat" else frame * 0
            self.recent[member].extend([before] * (self.setting.stack - 1) + [frame])

    def frame(self) -> NDArray[np.generic]:
        noise = self.generator.integers(1, 256, self.setting.frame_shape)
        return noise.astype(str(self.setting.dtype).removeprefix("torch."))

    def observations(self) -> NDArray[np.generic]:
        return np.stack([np.concatenate(frames) for frames in self.recent])

    def step(self, event: str) -> Step:
        members = self.setting.members
        share = {"some end": 0.5, "all end": 1.0}.get(event, 0.0)
        ended = self.generator.random(members) < share
        terminated = ended & (self.generator.random(members) < 0.5)
        truncated = ended & ~(terminated & (self.generator.random(members) < 0.7))  # sometimes both
        before = self.observations()
        for frames in self.recent:
            frames.append(self.frame())
        numbers = len(self.history) * members + np.arange(members)
        step = Step(before, numbers, self.generator.normal(size=members), self.observations(), terminated, truncated)
        self.history.append(step)
        self.reset(np.flatnonzero(ended).tolist())
        return step

    def cut(self) -> None:
        """Reset all. The newest transitions are truncated unless they ended an episode."""
        if self.history:
            newest = self.history[-1]
            self.history[-1] = newest._replace(truncated=newest.truncated | ~newest.terminated)
        self.reset(range(self.setting.members))

    def transition(self, number: int) -> tuple[NDArray[np.generic], float, NDArray[np.generic], bool, int]:
        """Return observation, n-step reward, next observation, whether it terminated, and how many were summed."""
        begin, member = divmod(number, self.setting.members)
        reward = np.float32(0)
        for count in range(self.setting.n_steps):
            step = self.history[begin + count]
            reward += np.float32(GAMMA**count) * np.float32(step.rewards[member])
            if step.terminated[member] or step.truncated[member] or step is self.history[-1]:
                break
        before = self.history[begin].observations[member]
        return before, float(reward), step.next_observations[member], bool(step.terminated[member]), count + 1


def play(replay: FrameReplay, game: Game, event: str) -> None:
    """Play the same steps in both."""
    if event == "cut":
        replay.cut()
        game.cut()
    elif event == "sample":
        compare(replay, game)
    else:
        replay.add(*game.step(event))


def compare(replay: FrameReplay, game: Game, seed: int = 0) -> None:
    """Check that everything that can be sampled equals what the game showed."""
    if not len(replay):
        return
    batch = replay.sample(4, 3 * len(replay), torch.Generator().manual_seed(seed))
    numbers = batch.actions.flatten().tolist()
    expected = [game.transition(number) for number in numbers]
    observations, rewards, next_observations, terminated, steps = zip(*expected, strict=True)
    assert torch.equal(batch.observations.flatten(0, 1), torch.from_numpy(np.stack(observations)))
    assert torch.equal(batch.next_observations.flatten(0, 1), torch.from_numpy(np.stack(next_observations)))
    assert batch.observations.dtype == batch.next_observations.dtype == game.setting.dtype
    assert torch.equal(batch.terminated.flatten(), torch.tensor(terminated, dtype=torch.float32))
    assert torch.equal(batch.steps.flatten(), torch.tensor(steps, dtype=torch.float32))
    torch.testing.assert_close(batch.rewards.flatten(), torch.tensor(rewards), rtol=1e-6, atol=1e-6)


def make_setting(
    capacity: int, members: int, stack: int, frames: tuple[tuple[int, ...], torch.dtype], first: First, n_steps: int
) -> Setting:
    return Setting(capacity, members, stack, *frames, first=first, n_steps=n_steps)


SETTINGS = st.builds(
    make_setting,
    capacity=st.integers(1, 20),
    members=st.integers(1, 3),
    stack=st.integers(1, 4),
    frames=st.sampled_from([((1, 2, 2), torch.uint8), ((2, 3), torch.uint8), ((2,), torch.float32)]),
    first=st.sampled_from(["repeat", "zeros"]),
    n_steps=st.integers(1, 4),
)


@given(setting=SETTINGS, events=st.lists(st.sampled_from(EVENTS), max_size=40), seed=st.integers(0, 1000))
@settings(max_examples=150)
def test_sampled_observations_are_those_the_environments_returned(setting: Setting, events: list[str], seed: int):
    replay, game = setting.replay(), Game(setting, seed)
    for event in events:
        play(replay, game, event)
    compare(replay, game, seed)


@given(capacity=st.integers(1, 20), members=st.integers(1, 4), events=st.lists(st.sampled_from(EVENTS[:7]), min_size=1))
@settings(max_examples=60)
def test_exactly_the_newest_are_held_and_each_can_be_sampled(capacity: int, members: int, events: list[str]):
    setting = Setting(capacity, members)
    replay, game = setting.replay(), Game(setting)
    for event in events:
        play(replay, game, event)
    held = -(-capacity // members) * members
    assert replay.capacity == held
    assert replay.added == len(events) * members
    assert len(replay) == min(held, replay.added)
    numbers = replay.sample(1, 40 * len(replay), torch.Generator().manual_seed(0)).actions
    assert set(numbers.flatten().tolist()) == set(range(replay.added - len(replay), replay.added))


def test_sampling_is_uniform_over_what_is_held():
    setting = Setting(capacity=10)
    replay, game = setting.replay(), Game(setting)
    for _ in range(12):
        play(replay, game, "some end")
    numbers = replay.sample(10, 1000, torch.Generator().manual_seed(1)).actions.flatten()
    counts = torch.bincount(numbers - 14)
    assert len(counts) == 10
    assert ((counts - 1000).abs() < 5 * (10_000 * 0.1 * 0.9) ** 0.5).all()


def test_batches_have_the_shapes_and_types_that_learners_expect():
    setting = Setting()
    replay, game = setting.replay(), Game(setting)
    play(replay, game, "go on")
    batch = replay.sample(5, 7, torch.Generator())
    assert isinstance(batch, Batch)
    assert batch.observations.shape == batch.next_observations.shape == (5, 7, 3, 2, 2)
    assert batch.actions.dtype == torch.int64
    for name in ("actions", "rewards", "terminated", "steps"):
        assert getattr(batch, name).shape == (5, 7)
    assert batch.rewards.dtype == batch.terminated.dtype == batch.steps.dtype == torch.float32
    assert batch.observations.is_contiguous()


def test_the_first_frame_of_an_episode_fills_the_stack():
    firsts: list[tuple[First, int]] = [("repeat", 7), ("zeros", 0)]
    for first, before in firsts:
        replay = FrameReplay(10, 1, (1,), stack=3, first=first)
        shown = np.array([[before, before, 7]], np.uint8), np.array([[before, 7, 9]], np.uint8)
        yes, no = np.array([True]), np.array([False])
        replay.add(shown[0], np.array([1]), np.array([0.5]), shown[1], yes, no)
        batch = replay.sample(1, 1, torch.Generator())
        assert batch.observations.tolist() == [[[before, before, 7]]]
        assert batch.next_observations.tolist() == [[[before, 7, 9]]]
        assert batch.terminated.item() == 1


def test_final_frames_make_room_for_any_number_of_short_episodes():
    setting = Setting(capacity=513, members=3)
    replay, game = setting.replay(), Game(setting)
    rooms = [len(replay.final.frames)]
    for _ in range(450):
        play(replay, game, "all end")
        rooms.append(len(replay.final.frames))
    compare(replay, game)
    assert rooms[0] < rooms[-1] == 1024, "513 are needed, and the space is doubled"
    assert all(later in (room, 2 * room) for room, later in pairwise(rooms))


def test_final_frames_that_are_not_needed_any_more_are_overwritten():
    setting = Setting(capacity=64, members=1)
    replay, game = setting.replay(), Game(setting)
    for _ in range(200):
        play(replay, game, "all end")
    compare(replay, game)
    assert len(replay.final.frames) == 64


class RecordOperations(TorchDispatchMode):
    """Records the operations of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_sampling_never_waits_for_a_device_and_gathers_frames_once():
    setting = Setting(n_steps=3, first="zeros")
    replay, game = setting.replay(), Game(setting)
    for _ in range(9):
        play(replay, game, "some end")
    with RecordOperations() as record:
        replay.sample(2, 8, torch.Generator())
    waiting = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique"}
    assert not waiting & set(record.names)
    assert record.names.count("index_select") == 3, "draws, frames and final frames"


def test_an_empty_replay_can_be_cut_but_not_sampled():
    replay = Setting().replay()
    replay.cut()
    assert len(replay) == 0
    with pytest.raises(ValueError, match="empty"):
        replay.sample(1, 1, torch.Generator())


@pytest.mark.parametrize(
    ("frames", "dtype"), [((2, 3, 2, 3), "uint8"), ((1, 3, 2, 2), "uint8"), ((2, 3, 2, 2), "float32")]
)
def test_observations_of_another_shape_or_type_are_refused(frames: tuple[int, ...], dtype: str):
    replay, none = Setting().replay(), np.zeros(2)
    observations = np.zeros(frames, dtype)
    with pytest.raises(ValueError, match=r"observations of shape .* given; this replay was made for \(2, 3, 2, 2\)"):
        replay.add(observations, none, none, observations, none > 0, none > 0)
    assert len(replay) == 0


@pytest.mark.parametrize(
    ("name", "value"), [("capacity", 0), ("num_envs", 0), ("stack", 0), ("n_steps", 0), ("first", "last")]
)
def test_settings_that_are_not_possible_are_refused(name: str, value: object):
    arguments = {"capacity": 10, "num_envs": 1, "frame_shape": (1,)} | {name: value}
    with pytest.raises(ValueError, match=f"{name} .*given; allowed"):
        FrameReplay(**arguments)  # type: ignore[arg-type]


def test_a_replay_takes_the_predicted_bytes():
    replay = FrameReplay(1000, 4, (1, 20, 20), stack=4)
    taken = replay.frames.nbytes + replay.notes.nbytes + replay.final.frames.nbytes
    assert taken == frame_replay_bytes(1000, 4, (1, 20, 20), torch.uint8, 4)
    assert frame_replay_bytes(1_000_000, 4, (1, 84, 84), torch.uint8, 4) < 7.3e9


def test_vectors_of_doubles_are_stored_in_single_precision():
    replay = FrameReplay(4, 1, (2,), dtype=torch.float32)
    ends = np.zeros(1, bool)
    replay.add(np.array([[0.1, 3]]), np.zeros(1, int), np.zeros(1), np.array([[0.2, 4]]), ends, ends)
    batch = replay.sample(1, 1, torch.Generator().manual_seed(0))
    assert torch.equal(batch.observations, torch.tensor([[[0.1, 3]]]))
    assert torch.equal(batch.next_observations, torch.tensor([[[0.2, 4]]]))


def test_different_transitions_are_drawn_from_the_newest():
    replay = FrameReplay(40, 2, (1, 3, 3), stack=1, dtype=torch.float32)
    for step in range(30):
        seen, following = (np.full((2, 1, 3, 3), number, dtype=np.float32) for number in (step, step + 1))
        nothing = np.zeros(2, dtype=bool)
        replay.add(seen, np.zeros(2, dtype=np.int64), np.zeros(2), following, nothing, nothing)
    batch = replay.sample_different(2, 3, torch.Generator().manual_seed(0), newest=6)
    assert sorted(batch.observations[..., 0, 0, 0].flatten().tolist()) == [27.0, 27.0, 28.0, 28.0, 29.0, 29.0]

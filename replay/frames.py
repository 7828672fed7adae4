"""A ring of frames, each stored once, from which stacked observations are put together when sampled.

A row is one step of all N environments: the newest frame of each observation, and beside it a note of five numbers per
environment. Row t + 1 begins as the newest frame of what step t led to, so that the next observation's newest frame is
always the row after; only where an episode ended does it lie among the final frames. The ring keeps `stack` more rows
than transitions are held: the older frames of the oldest stack, and what the newest transition led to.
"""

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .batch import Batch
from .final_frames import ROOM, FinalFrames

ACTION, REWARD, ENDING, AGE, FINAL = range(5)  # a note: int32, the reward's bits as they are
NOTE_BYTES = 5 * 4
TERMINATED, TRUNCATED, CUT = 1, 2, 4  # bits of ENDING; CUT beside TRUNCATED where `cut` ended the episode
DECISIONS_PER_EPISODE = 64  # for the memory figure: room for the final frames of episodes this short

First = Literal["repeat", "zeros"]


class FrameReplay:
    """The last `capacity` transitions (rounded up to whole steps of N environments), in memory allocated once."""

    def __init__(
        self,
        capacity: int,
        num_envs: int,
        frame_shape: tuple[int, ...],
        *,
        stack: int = 1,
        dtype: torch.dtype = torch.uint8,
        first: First = "repeat",
        device: torch.device | str = "cpu",
        n_steps: int = 1,
        gamma: float = 0.99,
    ) -> None:
        for name, value in (("capacity", capacity), ("num_envs", num_envs), ("stack", stack), ("n_steps", n_steps)):
            if value < 1:
                raise ValueError(f"{name} {value} given; allowed is 1 or more")
        if dtype not in (torch.uint8, torch.float32):
            raise ValueError(f"frames of {dtype} given; allowed are torch.uint8 and torch.float32")
        if first not in ("repeat", "zeros"):
            raise ValueError(f"first {first!r} given; allowed are 'repeat' and 'zeros'")
        self.num_envs, self.frame_shape, self.stack, self.dtype = num_envs, tuple(frame_shape), stack, dtype
        self.first, self.device, self.n_steps = first, torch.device(device), n_steps
        self.steps_held = math.ceil(capacity / num_envs)
        self.capacity = self.steps_held * num_envs
        self.rows = self.steps_held + stack
        # One row more, of zeros, stands for the frames before an episode's first.
        self.frames = torch.empty(self.rows + 1, num_envs, *self.frame_shape, dtype=dtype, device=device)
        self.frames[self.rows] = 0
        self.notes = torch.zeros(self.rows, num_envs, 5, dtype=torch.int32, device=device)
        self.final = FinalFrames(self.frame_shape, dtype, self.device)
        self.steps = self.oldest = 0  # steps ever added, and the oldest held; step t lies in row t % rows
        self.ages = np.zeros(num_envs, np.int32)  # of the next observations: decisions since the reset, up to stack - 1
        self.endings = np.zeros(num_envs, np.int32)  # of the newest transitions
        self._lags = torch.arange(stack - 1, -1, -1, device=device)
        self._ahead = torch.arange(n_steps, device=device)
        self._discounts = (gamma ** torch.arange(n_steps, dtype=torch.float64)).to(torch.float32).to(device)

    @property
    def added(self) -> int:
        """Transitions ever added."""
        return self.steps * self.num_envs

    def __len__(self) -> int:
        return (self.steps - self.oldest) * self.num_envs

    def add(
        self,
        observations: NDArray[np.generic],
        actions: NDArray[np.generic],
        rewards: NDArray[np.generic],
        next_observations: NDArray[np.generic],
        terminated: NDArray[np.generic],
        truncated: NDArray[np.generic],
    ) -> None:
        """One step of N environments; `next_observations` are the true ones, not those after a reset."""
        newest, following = self._newest_frames(observations), self._newest_frames(next_observations)
        self.oldest = max(self.oldest, self.steps + 1 - self.steps_held)
        self.final.forget(self.oldest)
        self.frames[self.steps % self.rows].copy_(newest, non_blocking=True)
        self.frames[(self.steps + 1) % self.rows].copy_(following, non_blocking=True)
        self.endings = TERMINATED * terminated.astype(np.int32) | TRUNCATED * truncated.astype(np.int32)
        columns = (actions, rewards.astype(np.float32).view(np.int32), self.endings, self.ages, self.endings * 0)
        notes = torch.from_numpy(np.stack(columns, axis=-1, dtype=np.int32, casting="unsafe"))
        ended = np.flatnonzero(self.endings)
        self.notes[self.steps % self.rows].copy_(notes, non_blocking=True)
        if len(ended):
            self._keep_final(self.steps, ended, following[ended])
        self.ages = np.where(self.endings, 0, np.minimum(self.ages + 1, self.stack - 1)).astype(np.int32)
        self.steps += 1

    def cut(self) -> None:
        """The open episodes end here, as truncated."""
        cut = np.flatnonzero(self.endings == 0) if self.steps else np.zeros(0, int)
        if len(cut):
            self.end_newest(cut, self.frames[self.steps % self.rows, torch.from_numpy(cut)])

    def end_newest(self, members: NDArray[np.intp], frames: Tensor) -> None:
        """End these environments' episodes with their newest transitions, which `frames` conclude."""
        step = self.steps - 1
        self.endings[members] = TRUNCATED | CUT
        self.notes[step % self.rows, torch.from_numpy(members), ENDING] = TRUNCATED | CUT
        self._keep_final(step, members, frames)
        self.ages[members] = 0

    def _keep_final(self, step: int, members: NDArray[np.intp], frames: Tensor) -> None:
        numbers = self.final.append(step, frames)
        self.notes[step % self.rows, torch.from_numpy(members).to(self.device), FINAL] = numbers

    def _newest_frames(self, observations: NDArray[np.generic]) -> Tensor:
        shape = (self.num_envs, self.stack * self.frame_shape[0], *self.frame_shape[1:])
        dtype = str(self.dtype).removeprefix("torch.")
        if observations.shape != shape or observations.dtype != dtype:
            raise ValueError(
                f"observations of shape {observations.shape} and {observations.dtype} given; "
                f"this replay was made for {shape} and {dtype}"
            )
        return torch.from_numpy(np.array(observations[:, -self.frame_shape[0] :]))  # a copy: the caller's may be fixed

    def sample(self, updates: int, batch_size: int, generator: torch.Generator) -> Batch:
        """K batches of B, uniform with replacement over what is held, in one gather of frames."""
        if not self.steps:
            raise ValueError("the replay is empty: add transitions before sampling")
        count = updates * batch_size
        drawn = torch.randint(len(self), (count,), generator=generator, device=generator.device).to(self.device)
        members, begin = drawn % self.num_envs, self.oldest + drawn // self.num_envs

        passed = begin[:, None] + self._ahead
        places = self._places(passed, members[:, None]).flatten()
        notes = self.notes.flatten(0, 1).index_select(0, places).view(count, self.n_steps, 5)
        stops = (notes[..., ENDING] != 0) | (passed >= self.steps - 1)
        counted = stops.cumsum(1) - stops.long() == 0  # up to the first stop, and with it
        steps = counted.sum(1)
        rewards = torch.where(counted, notes[..., REWARD].view(torch.float32), 0.0).mul(self._discounts).sum(1)
        last = notes[torch.arange(count, device=self.device), steps - 1]

        ages = torch.stack((notes[:, 0, AGE], last[:, AGE] + 1))[..., None]
        wanted = torch.stack((begin, begin + steps))[..., None] - torch.minimum(self._lags, ages)
        places = self._places(wanted, members[:, None])
        if self.first == "zeros":
            places = torch.where(self._lags <= ages, places, self.rows * self.num_envs)
        frames = self.frames.flatten(0, 1).index_select(0, places.flatten())
        frames = frames.view(2, count, self.stack, *self.frame_shape)
        ended = (last[:, ENDING] != 0).view(count, *[1] * len(self.frame_shape))
        frames[1, :, -1] = torch.where(ended, self.final.take(last[:, FINAL]), frames[1, :, -1])

        observations, next_observations = frames.view(
            2, updates, batch_size, self.stack * self.frame_shape[0], *self.frame_shape[1:]
        )
        lead = (updates, batch_size)
        return Batch(
            observations,
            notes[:, 0, ACTION].long().view(lead),
            rewards.view(lead),
            next_observations,
            (last[:, ENDING] & TERMINATED).float().view(lead),
            steps.float().view(lead),
        )

    def _places(self, steps: Tensor, members: Tensor) -> Tensor:
        return steps % self.rows * self.num_envs + members


def frame_replay_bytes(
    capacity: int, num_envs: int, frame_shape: tuple[int, ...], dtype: torch.dtype = torch.uint8, stack: int = 1
) -> int:
    """Bytes that such a FrameReplay takes when full, for episodes of 64 decisions or more."""
    steps = math.ceil(capacity / num_envs)
    frame_bytes = math.prod(frame_shape) * dtype.itemsize
    episodes = math.ceil(steps * num_envs / DECISIONS_PER_EPISODE)
    final_frames = max(ROOM, 1 << (episodes - 1).bit_length())
    rows = steps + stack
    return num_envs * ((rows + 1) * frame_bytes + rows * NOTE_BYTES) + final_frames * frame_bytes

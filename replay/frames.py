"""A ring buffer of frames, each stored once, from which stacked observations are put together when sampled.

A row is one step of all N environments: the newest frame of each observation, and a note of five numbers per
environment. Step t also writes the newest frame of its next observation into row t + 1, so that the next observation's
newest frame is always found one row later. The exception is the end of an episode: that frame lies among the final
frames. The ring has `stack` more rows than it holds steps: for the older frames of the oldest stack, and for the next
observation of the newest transition.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .batch import Batch, Drawn, different, on_device, pinned
from .final_frames import ROOM, FinalFrames
from .frame_segments import CUT, TERMINATED, TRUNCATED, FrameSegment, kind, read_frame_segment
from .ring import write_around
from .segments import Segment
from .store import Damaged, Store

ACTION, REWARD, ENDING, AGE, FINAL = range(5)  # the columns of a note, int32; the reward is a float32's bits
NOTE_BYTES = 5 * 4
SEGMENT_BYTES = 256_000_000
WRITERS = 2  # threads: one computes checksums while the other waits for the disk
DECISIONS_PER_EPISODE = 64  # for the estimate of memory: it allows for the final frames of episodes of this length

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
        actions: int | None = None,  # the number of actions, if known: a segment with any other action is refused
    ) -> None:
        for name, value in (("capacity", capacity), ("num_envs", num_envs), ("stack", stack), ("n_steps", n_steps)):
            if value < 1:
                raise ValueError(f"{name} {value} given; allowed is 1 or more")
        if stack > 256:
            raise ValueError(f"stack {stack} given; allowed is 256 or less")
        if dtype not in (torch.uint8, torch.float32):
            raise ValueError(f"frames of {dtype} given; allowed are torch.uint8 and torch.float32")
        if first not in ("repeat", "zeros"):
            raise ValueError(f"first {first!r} given; allowed are 'repeat' and 'zeros'")
        self.num_envs, self.frame_shape, self.stack, self.dtype = num_envs, tuple(frame_shape), stack, dtype
        self._array_type = str(dtype).removeprefix("torch.")
        self.first, self.device, self.n_steps, self.actions = first, torch.device(device), n_steps, actions
        self.steps_held = math.ceil(capacity / num_envs)
        self.capacity = self.steps_held * num_envs
        self.rows = self.steps_held + stack
        # One more row, of zeros, stands for the frames before the first frame of an episode.
        self.frames = torch.empty(self.rows + 1, num_envs, *self.frame_shape, dtype=dtype, device=device)
        self.frames[self.rows] = 0
        self.notes = torch.zeros(self.rows, num_envs, 5, dtype=torch.int32, device=device)
        self._begin_at(0)
        # The same memory as words of 8 bytes, if the frame's size allows it: gathering words is faster than bytes.
        word = torch.int64 if self.frames[0, 0].nbytes % 8 == 0 else dtype
        self._words = self.frames.view((self.rows + 1) * num_envs, -1).view(word)
        self._lags = torch.arange(stack - 1, -1, -1, device=device)
        self._ahead = torch.arange(n_steps, device=device)
        self._discounts = (gamma ** torch.arange(n_steps, dtype=torch.float64)).to(torch.float32).to(device)

    @property
    def kind(self) -> str:
        """What a segment must have in common with this replay, in words."""
        return kind(self.num_envs, self.frame_shape, self.dtype, self.stack)

    def _begin_at(self, step: int) -> None:
        """Empty the replay, and expect this step next."""
        self.final = FinalFrames(self.frame_shape, self.dtype, self.device)
        self.steps = self.oldest = step  # steps ever added, and the oldest held; step t lies in row t % rows
        # Ages of the next observations: decisions since the episode began, at most stack - 1.
        self.ages = np.zeros(self.num_envs, np.int32)
        self.endings = np.zeros(self.num_envs, np.int32)  # of the newest transitions

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
        """Add one step of N environments; `next_observations` are the true ones, not those after a reset."""
        both = self._newest_frames(observations), self._newest_frames(next_observations)
        newest = np.array(both, dtype=self._array_type)
        self.oldest = max(self.oldest, self.steps + 1 - self.steps_held)
        self.final.forget(self.oldest)
        write_around(self.frames, self.rows, self.steps, pinned(torch.from_numpy(newest), self.device))
        self.endings = TERMINATED * terminated.astype(np.int32) | TRUNCATED * truncated.astype(np.int32)
        final, ended = np.zeros(self.num_envs, np.int32), np.flatnonzero(self.endings)
        if len(ended):
            final[ended] = self._keep_final(self.steps, ended).numpy()
        columns = (actions, rewards.astype(np.float32).view(np.int32), self.endings, self.ages, final)
        notes = torch.from_numpy(np.stack(columns, axis=-1, dtype=np.int32, casting="unsafe"))
        self.notes[self.steps % self.rows].copy_(pinned(notes, self.device), non_blocking=True)
        self._go_on(self.ages)
        self.steps += 1

    def _go_on(self, ages: NDArray[np.int32]) -> None:
        """Compute the ages of the next observations from those of the newest transitions."""
        self.ages = np.where(self.endings, 0, np.minimum(ages + 1, self.stack - 1)).astype(np.int32)

    def cut(self) -> None:
        """End the open episodes here, as truncated."""
        if self.steps:
            self._cut(np.flatnonzero(self.endings == 0))

    def _cut(self, members: NDArray[np.intp]) -> None:
        """End the episodes of these environments, and keep as their final frames those that the next step would
        overwrite."""
        if len(members):
            row = (self.steps - 1) % self.rows, on_device(torch.from_numpy(members), self.device)
            self.notes[(*row, ENDING)] = TRUNCATED | CUT
            self.notes[(*row, FINAL)] = on_device(self._keep_final(self.steps - 1, members), self.device)
            self.endings[members] = TRUNCATED | CUT
            self.ages[members] = 0

    def _keep_final(self, step: int, members: NDArray[np.intp]) -> Tensor:
        """Keep these environments' frames in the row after the step as final frames; return their numbers."""
        following = self.frames[(step + 1) % self.rows]
        return self.final.append([(step, len(members))], torch.stack([following[one] for one in members.tolist()]))

    def _newest_frames(self, observations: NDArray[np.generic]) -> NDArray[np.generic]:
        shape, dtype = (self.num_envs, self.stack * self.frame_shape[0], *self.frame_shape[1:]), self._array_type
        # Any numeric type may become float32, but other types converted to uint8 would wrap around.
        if observations.shape != shape or (dtype == "uint8" and observations.dtype != dtype):
            raise ValueError(
                f"observations of shape {observations.shape} and {observations.dtype} given; "
                f"this replay was made for {shape} and {dtype}"
            )
        return observations[:, -self.frame_shape[0] :]

    def draw(self, updates: int, batch_size: int, generator: torch.Generator) -> Drawn:
        """Draw K batches of B transitions, uniformly with replacement from all that are held."""
        if not self.steps:
            raise ValueError("the replay is empty: add transitions before sampling")
        drawn = torch.randint(len(self), (updates, batch_size), generator=generator)
        return Drawn(self._drawn(drawn), self.gather, (self.frames, self.notes, self.final.frames))

    def _drawn(self, drawn: Tensor) -> Tensor:
        """Places of transitions that are counted from the oldest one."""
        newest = torch.full((len(drawn), 1), self.steps - 1)
        places = torch.cat((drawn % self.num_envs, self.oldest + drawn // self.num_envs, newest), dim=1)
        return on_device(places, self.device)

    def sample(self, updates: int, batch_size: int, generator: torch.Generator) -> Batch:
        """Draw K batches of B transitions, and read them in one gather of frames."""
        return self.gather(self.draw(updates, batch_size, generator).places)

    def sample_different(self, updates: int, batch_size: int, generator: torch.Generator, newest: int) -> Batch:
        """Draw K batches of B transitions from the newest ones, none of them twice."""
        ages = different(min(newest, len(self)), updates, batch_size, generator)
        return self.gather(self._drawn(len(self) - 1 - ages))

    def gather(self, places: Tensor) -> Batch:
        """Read the transitions at (K, 2 B + 1) places: B environments, B steps, and the newest step that is held."""
        updates, batch_size = len(places), places.shape[1] // 2
        count = updates * batch_size
        members, begin = (part.flatten() for part in places[:, :-1].split(batch_size, dim=1))
        newest = places[:, -1:].expand(-1, batch_size).reshape(count, 1)

        passed = begin[:, None] + self._ahead
        places = self._places(passed, members[:, None]).flatten()
        notes = self.notes.flatten(0, 1).index_select(0, places).view(count, self.n_steps, 5)
        stops = (notes[..., ENDING] != 0) | (passed >= newest)
        counted = stops.cumsum(1) - stops.long() == 0  # up to and including the first stop
        steps = counted.sum(1)
        rewards = torch.where(counted, notes[..., REWARD].view(torch.float32), 0.0).mul(self._discounts).sum(1)
        last = notes[torch.arange(count, device=self.device), steps - 1]

        ages = torch.stack((notes[:, 0, AGE], last[:, AGE] + 1))[..., None]
        wanted = torch.stack((begin, begin + steps))[..., None] - torch.minimum(self._lags, ages)
        places = self._places(wanted, members[:, None])
        if self.first == "zeros":
            places = torch.where(self._lags <= ages, places, self.rows * self.num_envs)
        frames = self._words.index_select(0, places.flatten()).view(2, count, self.stack, -1)
        final = self.final.take(last[:, FINAL]).view(count, -1).view(frames.dtype)
        frames[1, :, -1] = torch.where(last[:, ENDING, None] != 0, final, frames[1, :, -1])

        observations, next_observations = frames.view(self.dtype).view(
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

    def save(self, store: Store, known: Sequence[Segment] = ()) -> list[Segment]:
        """Write what no known segment holds to new files, and return all segments of the replay in order."""
        kept = [segment for segment in known if segment.stop > self.oldest * self.num_envs]
        begin = max(self.oldest, kept[-1].stop // self.num_envs if kept else 0)
        frame_bytes = self.frames[0, 0].nbytes
        # The factor 2: each step may end an episode, and then has a final frame as well.
        steps = max(1, SEGMENT_BYTES // (2 * self.num_envs * (frame_bytes + NOTE_BYTES)))
        ranges = [(start, min(start + steps, self.steps)) for start in range(begin, self.steps, steps)]
        if not ranges and kept and kept[-1].start < kept[-1].stop and (self.endings & CUT).any():
            # A segment without transitions, for the cut alone: the last known segment may have been written before it.
            ranges = [(self.steps, self.steps)]
        with ThreadPoolExecutor(WRITERS) as pool:
            return kept + list(pool.map(lambda steps: self._segment(*steps).write(store), ranges))

    def _segment(self, start: int, stop: int) -> FrameSegment:
        """Return steps [start, stop) with all that their observations need; the frames are not copied."""
        notes = self.notes[torch.arange(start, stop, device=self.device) % self.rows].cpu()
        before = self.notes[(start - 1) % self.rows].cpu() if start > self.oldest else torch.zeros_like(self.notes[0])
        final = notes[..., FINAL][notes[..., ENDING] != 0]
        return FrameSegment(
            start,
            self.stack,
            list(self._slices(start - min(self.stack - 1, start), stop + 1)),
            notes[..., ACTION],
            notes[..., REWARD].view(torch.float32),
            notes[..., ENDING],
            notes[..., AGE],
            before[:, ENDING] & CUT != 0,
            self.final.take(final.to(self.device)),
        )

    def _slices(self, start: int, stop: int) -> Iterator[Tensor]:
        """Yield the frames of steps [start, stop), in contiguous pieces of the ring."""
        while start < stop:
            row = start % self.rows
            count = min(stop - start, self.rows - row)
            yield self.frames[row : row + count]
            start += count

    def load(self, store: Store, segments: Sequence[Segment], added: int) -> None:
        """Load what `save` wrote when `added` transitions had been added."""
        oldest = max(0, added // self.num_envs - self.steps_held)
        self._begin_at(0)
        for number, segment in enumerate(segments):
            piece = read_frame_segment(store, segment)
            if piece.kind != self.kind:
                raise Damaged(f"{segment.file} holds {piece.kind}; this replay was made for {self.kind}")
            if self.actions and piece.actions.numel() and int(piece.actions.max()) >= self.actions:
                raise Damaged(f"{segment.file} holds action {int(piece.actions.max())}; there are {self.actions}")
            if not number:
                self._begin_at(piece.start)
                self.oldest = max(oldest, piece.start)
            if piece.start != self.steps:
                raise Damaged(f"{segment.file} does not continue at transition {self.added}")
            self._restore(piece)
        if self.added != added:
            raise Damaged(f"the segments in {store.folder} end at transition {self.added}; {added} are expected")

    def _restore(self, piece: FrameSegment) -> None:
        """Append a segment that begins where the replay ends, without the steps older than the oldest to be held."""
        if piece.start > self.oldest:
            # Only the environments whose episodes the segment before does not already mark as ended.
            self._cut(np.flatnonzero(piece.cut.numpy() & (self.endings == 0)))
        self.steps = piece.stop
        if piece.stop <= self.oldest:
            return
        begin = piece.start - piece.context
        wanted = max(begin, self.oldest - self.stack + 1)
        write_around(self.frames, self.rows, wanted, piece.frames[0][wanted - begin :])
        if piece.stop == piece.start:
            return

        skipped = max(0, self.oldest - piece.start)
        ended = piece.endings != 0
        final = piece.final_frames[int(ended[:skipped].sum()) :]
        ended = ended[skipped:]
        counts = ended.sum(1).tolist()
        columns = (piece.actions, piece.rewards.view(torch.int32), piece.endings.int(), piece.ages.int())
        notes = torch.stack((*columns, torch.zeros_like(piece.actions)), dim=-1)[skipped:]
        notes[..., FINAL][ended] = self.final.append(
            [(step, count) for step, count in enumerate(counts, piece.start + skipped) if count], final
        )
        steps = torch.arange(piece.start + skipped, piece.stop, device=self.device)
        self.notes[steps % self.rows] = notes.to(self.device)
        self.endings = piece.endings[-1].numpy().astype(np.int32)
        self._go_on(piece.ages[-1].numpy())

    def _places(self, steps: Tensor, members: Tensor) -> Tensor:
        return steps % self.rows * self.num_envs + members


def frame_replay_bytes(
    capacity: int, num_envs: int, frame_shape: tuple[int, ...], dtype: torch.dtype = torch.uint8, stack: int = 1
) -> int:
    """Return the bytes that such a FrameReplay takes when full, for episodes of 64 decisions or more on average."""
    steps = math.ceil(capacity / num_envs)
    frame_bytes = math.prod(frame_shape) * dtype.itemsize
    episodes = math.ceil(steps * num_envs / DECISIONS_PER_EPISODE)
    final_frames = max(ROOM, 1 << (episodes - 1).bit_length())
    rows = steps + stack
    return num_envs * ((rows + 1) * frame_bytes + rows * NOTE_BYTES) + final_frames * frame_bytes

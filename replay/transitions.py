"""A ring buffer of transitions with flat observations, one row each.

A row is [observation | action | reward | next observation | terminated] in float32, so that adding is one copy and
sampling K batches of B is one gather. The next observation is the true one, also at truncation.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .batch import Batch, Drawn, different, on_device, pinned
from .ring import write_around
from .segments import Segment, read_segment, write_segment
from .store import Damaged, Store

SEGMENT_ROWS = 65_536


class TransitionReplay:
    """The last `capacity` transitions, in memory allocated once."""

    def __init__(
        self, capacity: int, observation_size: int, action_size: int, device: torch.device | str = "cpu"
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity {capacity} given; allowed is 1 or more")
        self.capacity, self.device = capacity, torch.device(device)
        self.widths = (observation_size, action_size, 1, observation_size, 1)
        self.rows = torch.empty(capacity, sum(self.widths), dtype=torch.float32, device=device)
        self.added = 0  # transitions ever added; row i holds the newest one whose index % capacity == i

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    def add(
        self,
        observations: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        next_observations: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
    ) -> None:
        """Add one step of N environments; `next_observations` are the true ones, not those after a reset.

        Truncation is not stored: each row holds the next observation from which its value is bootstrapped.
        """
        columns = (observations, actions, rewards[:, None], next_observations, terminated[:, None])
        rows = torch.from_numpy(np.concatenate(columns, axis=1, dtype=np.float32, casting="unsafe"))
        write_around(self.rows, self.capacity, self.added, pinned(rows, self.device))
        self.added += len(rows)

    def cut(self) -> None:
        """End the open episodes here, as truncated. Nothing has to change, because each row is complete by itself."""

    def draw(self, updates: int, batch_size: int, generator: torch.Generator) -> Drawn:
        """Draw K batches of B transitions, uniformly with replacement from all that are held."""
        if not self.added:
            raise ValueError("the replay is empty: add transitions before sampling")
        places = torch.randint(len(self), (updates, batch_size), generator=generator)
        return Drawn(on_device(places, self.device), self.gather, (self.rows,))

    def sample(self, updates: int, batch_size: int, generator: torch.Generator) -> Batch:
        """Draw K batches of B transitions, and read them in one gather."""
        return self.gather(self.draw(updates, batch_size, generator).places)

    def sample_different(self, updates: int, batch_size: int, generator: torch.Generator, newest: int) -> Batch:
        """Draw K batches of B transitions from the newest ones, none of them twice."""
        ages = different(min(newest, len(self)), updates, batch_size, generator)
        return self.gather(on_device((self.added - 1 - ages) % self.capacity, self.device))

    def gather(self, places: Tensor) -> Batch:
        """Read the transitions at (K, B) places."""
        updates, batch_size = places.shape
        rows = self.rows.index_select(0, places.flatten()).view(updates, batch_size, -1)
        observations, actions, rewards, next_observations, terminated = rows.split(self.widths, dim=-1)
        return Batch(
            observations,
            actions,
            rewards.squeeze(-1),
            next_observations,
            terminated.squeeze(-1),
            rows.new_ones(()).expand(updates, batch_size),
        )

    def save(self, store: Store, known: Sequence[Segment] = ()) -> list[Segment]:
        """Write what no known segment holds to new files, and return all segments of the replay in order."""
        oldest = self.added - len(self)
        kept = [segment for segment in known if segment.stop > oldest]
        start = max(oldest, kept[-1].stop if kept else 0)
        for first in range(start, self.added, SEGMENT_ROWS):
            last = min(first + SEGMENT_ROWS, self.added)
            indices = torch.arange(first, last, device=self.rows.device) % self.capacity
            rows = self.rows.index_select(0, indices).cpu()
            kept.append(write_segment(store, first, {"rows": rows}, last - first))
        return kept

    def load(self, store: Store, segments: Sequence[Segment], added: int) -> None:
        """Load what `save` wrote when `added` transitions had been added."""
        oldest = reached = max(0, added - self.capacity)
        for segment in segments:
            rows = read_segment(store, segment).get("rows")
            if rows is None or rows.shape != (segment.stop - segment.start, self.rows.shape[1]):
                shape = "none" if rows is None else tuple(rows.shape)
                raise Damaged(
                    f"{segment.file} holds rows of shape {shape}, this replay's have {self.rows.shape[1]} numbers"
                )
            if segment.start > reached or segment.stop < reached or rows.dtype != torch.float32:
                raise Damaged(f"{segment.file} does not continue at transition {reached}")
            skipped = max(0, oldest - segment.start)
            write_around(self.rows, self.capacity, segment.start + skipped, rows[skipped:])
            reached = segment.stop
        if reached != added:
            raise Damaged(f"the segments in {store.folder} end at transition {reached}; {added} are expected")
        self.added = added

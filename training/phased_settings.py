"""The settings of runs that learn from data in phases; their steps are gradient updates."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Literal

from fire_rl.data.phases import batches_of
from fire_rl.fire import Either, Every, Position, Schedule

from .folder import is_folder
from .settings import DriverSettings, setting


class AtBoundaries(Every):
    """At every n-th update, always between two updates: each update is a unit of work, so that none has to be cut."""

    def next_update(self, position: Position) -> int | None:
        """Return None: no block of updates has to be cut."""
        return None


@dataclass(frozen=True)
class EpochEnds(Schedule):
    """At the end of every epoch after the update `since`; each phase has its own length of epochs."""

    starts: tuple[int, ...]  # the update at which each phase begins
    lengths: tuple[int, ...]  # the number of updates in an epoch of each phase
    total: int
    since: int = 0

    def crossed(self, before: Position, after: Position) -> bool:
        """Whether an epoch has ended since `before`."""
        return self._ends(max(after.updates, self.since)) > self._ends(max(before.updates, self.since))

    def _ends(self, updates: int) -> int:
        """Count the ends of epochs in this many updates."""
        stops = (*self.starts[1:], self.total)
        phases = zip(self.starts, stops, self.lengths, strict=True)
        return sum((min(updates, stop) - start) // length for start, stop, length in phases if start < updates)


@dataclass(frozen=True)
class PhasedSettings(DriverSettings, ABC):
    """The settings of all such runs: the data, and times in updates."""

    data: str = setting("", "trunk", "own")
    """Name of the data set; names are listed above."""
    data_dir: str | None = setting(None, "resumable", "machine")
    """Folder with the data set's files; where one is missing, a line says which, and where it comes from."""
    steps: int = setting(0, "resumable")
    """Length of the run in gradient updates; 0: all phases."""
    reinit_at: tuple[int, ...] = setting((), "schedule", "timing", "method", "own")
    """Updates at which an event happens; without any schedule: at the beginning of each phase after the first."""
    eval_every: int = 200
    """Updates between evaluations. There are more at the beginning of a phase, and before and after an event, unless
    another event came less than this before."""
    log_every: int = setting(100, "record", "own")
    """Updates between two lines of training metrics."""
    checkpoint_every: int = setting(5_000, "record", "own")
    """Updates between checkpoints. The last two are kept; the last one is at the end of the run."""
    checkpoint_at: tuple[int, ...] = setting((), "record", "own")
    """Updates whose checkpoints are always kept, so that runs can branch from them."""
    measure_every: int = 200
    """Updates between two lines of plasticity measures; 0: none."""
    batch_size: int = setting(256, "trunk")
    """Examples in an update; the last batch of an epoch may have fewer."""
    precision: Literal["float32", "tf32", "bfloat16"] = setting("float32", "machine")
    """Precision of matrix products and convolutions in updates and evaluations. tf32 and bfloat16 use fewer bits of the
    factors and are faster on a GPU. Projections and measures always use float32 or better."""

    @property
    def env(self) -> str:  # type: ignore[override]
        """The name of what is learned from: here, of the data set."""
        return self.data

    @property
    @abstractmethod
    def lengths(self) -> tuple[int, ...]:
        """The updates of each phase, computed without the data; ValueError in one line if there are no such phases."""

    @property
    def phase_starts(self) -> tuple[int, ...]:
        """The updates at which the phases after the first begin."""
        return tuple(accumulate(self.lengths[:-1]))

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of training examples in each phase, if its epochs go through all of them; else empty."""
        return ()

    @property
    def epoch_lengths(self) -> tuple[int, ...]:
        """The number of updates in an epoch of each phase."""
        return tuple(batches_of(size, self.batch_size) for size in self.sizes)

    @property
    def data_folder(self) -> Path | None:
        """The folder of --data-dir; ValueError in one line if it does not exist."""
        folder = None if self.data_dir is None else Path(self.data_dir)
        if folder is not None and not is_folder(folder):
            raise ValueError(f"--data-dir {self.data_dir} given; there is no such folder")
        return folder

    @property
    def longest(self) -> int:
        """The updates of all phases together."""
        return self.total

    @property
    def total(self) -> int:
        """The number of updates in all phases together."""
        return sum(self.lengths)

    def check(self) -> None:
        """Raise ValueError if a value is not allowed."""
        if not self.steps:
            replace(self, steps=self.total).check()
            return
        super().check()

    def check_together(self) -> None:
        """Raise ValueError if two settings do not fit together, or if the run would be longer than all phases."""
        super().check_together()
        if self.steps > (total := self.total):
            raise ValueError(f"--steps {self.steps} given; allowed are at most {total:,}, the updates of all phases")

    def schedule_of_epochs(self) -> Schedule:
        """Return a schedule with an event at the end of every epoch and at the updates of --reinit-at."""
        ends = EpochEnds((0, *self.phase_starts), self.epoch_lengths, self.total, self.reinit_from)
        return Either((ends, self.schedule_at())) if self.reinit_at else ends

    def schedule_every(self, updates: int) -> Schedule:
        """Return the schedule of --reinit-every: at boundaries, so that no event happens after the last update."""
        return AtBoundaries(updates, self.reinit_from)

"""The settings of runs that learn from data in phases; their steps are gradient updates."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Literal

from fire_rl.data.phases import batches_of
from fire_rl.fire import At, Either, Every, Position, Schedule

from .settings import DriverSettings, setting


class AtBoundaries(Every):
    """After every so many updates, each of which is a unit of work: none has to be cut where an event is due."""

    def next_update(self, position: Position) -> int | None:
        return None


@dataclass(frozen=True)
class EpochEnds(Schedule):
    """At the end of every epoch after the update `since`, each phase having epochs of its own length."""

    starts: tuple[int, ...]  # update at which each phase begins
    lengths: tuple[int, ...]  # updates of an epoch of each
    total: int
    since: int = 0

    def crossed(self, before: Position, after: Position) -> bool:
        return self._ends(max(after.updates, self.since)) > self._ends(max(before.updates, self.since))

    def _ends(self, updates: int) -> int:
        """How many there are in so many updates."""
        stops = (*self.starts[1:], self.total)
        phases = zip(self.starts, stops, self.lengths, strict=True)
        return sum((min(updates, stop) - start) // length for start, stop, length in phases if start < updates)


@dataclass(frozen=True)
class PhasedSettings(DriverSettings, ABC):
    """What any such run has: its data, and times counted in updates."""

    data: str = setting("", "trunk", "own")
    """Data set, by name; listed above."""
    data_dir: str | None = setting(None, "resumable", "machine")
    """Folder with the data set's files; where one is missing, a line says which, and where it comes from."""
    steps: int = setting(0, "resumable")
    """Length of the run in gradient updates; 0: all phases."""
    reinit_at: tuple[int, ...] = setting((), "schedule", "timing", "method", "own")
    """Updates at which an event happens; with no other schedule either: where each phase but the first begins."""
    eval_every: int = 200
    """Updates between evaluations; also where a phase begins, and before and after an event, unless one came less than
    this before."""
    log_every: int = setting(100, "record", "own")
    """Updates between two lines of training metrics."""
    checkpoint_every: int = setting(5_000, "record", "own")
    """Updates between checkpoints; the last two are kept, and one at the end."""
    checkpoint_at: tuple[int, ...] = setting((), "record", "own")
    """Updates whose checkpoints are kept for good, to branch from."""
    measure_every: int = 200
    """Updates between two lines of plasticity measures; 0: none."""
    batch_size: int = setting(256, "trunk")
    """Examples of an update; the last batch of an epoch may have fewer."""
    precision: Literal["float32", "tf32", "bfloat16"] = setting("float32", "machine")
    """Of products and convolutions in updates and evaluations: tf32 and bfloat16 keep fewer bits of what they multiply
    and are faster on a GPU; projections and measures are made in float32 or better whatever this says."""

    @property
    def env(self) -> str:  # type: ignore[override]  # what is learned from, by name
        return self.data

    @property
    @abstractmethod
    def lengths(self) -> tuple[int, ...]:
        """Updates of each phase, from arithmetic alone; ValueError, in one line, where there cannot be such phases."""

    @property
    def phase_starts(self) -> tuple[int, ...]:
        return tuple(accumulate(self.lengths[:-1]))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Training examples of each phase, where its epochs go through all of them; else none."""
        return ()

    @property
    def epoch_lengths(self) -> tuple[int, ...]:
        return tuple(batches_of(size, self.batch_size) for size in self.sizes)

    @property
    def data_folder(self) -> Path | None:
        """--data-dir; ValueError, in one line, where there is no such folder."""
        folder = None if self.data_dir is None else Path(self.data_dir)
        if folder is not None and not folder.is_dir():
            raise ValueError(f"--data-dir {self.data_dir} given; there is no such folder")
        return folder

    @property
    def longest(self) -> int:
        return self.total

    @property
    def total(self) -> int:
        """Updates of all phases."""
        return sum(self.lengths)

    def check(self) -> None:
        total = self.total
        if not self.steps:
            replace(self, steps=total).check()
            return
        super().check()
        if self.steps > total:
            raise ValueError(f"--steps {self.steps} given; allowed are at most {total:,}, the updates of all phases")

    def schedule_at(self) -> Schedule:
        """At the boundary before an update, as the phases begin: nothing cuts an update in two."""
        return At(self.reinit_at)

    def schedule_of_epochs(self) -> Schedule:
        """At the end of every epoch, beside what --reinit-at says."""
        ends = EpochEnds((0, *self.phase_starts), self.epoch_lengths, self.total, self.reinit_from)
        return Either((ends, self.schedule_at())) if self.reinit_at else ends

    def schedule_every(self, updates: int) -> Schedule:
        """At boundaries too, so that nothing acts after the last update."""
        return AtBoundaries(updates, self.reinit_from)

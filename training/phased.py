"""Learning from data in phases, as a work: a new optimizer in each phase, and one update after the other.

The examples of an update depend only on the run's seed and the update's number, so that the data have no state to save:
a run that is resumed continues with the same examples, and so do all branches of a trunk.
"""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from fire_rl.agents.optimizers import set_rate
from fire_rl.agents.supervised import Examples, Supervised
from fire_rl.fire import Network, PlasticityManager, refresh_statistics_
from fire_rl.fire.statistics import modules_with_statistics

from .cost import bytes_of
from .device import notes_on_precision
from .phased_settings import PhasedSettings
from .progress import Count
from .ranks import affordable, notes_on_ranks, wanted_examples
from .work import DrawInputs, Losses, Rates, Runs, State, Weight, Work

REFRESHED_ON = 10  # batches that represent a phase's data when running statistics are estimated
TIMED = 3  # updates in a measurement of the rate
# Uses of examples outside training; each has its own random numbers.
LOSSES, RANKS, LOOKED_AT, REHEARSAL, INPUTS, PROBES = range(6)


class Counts(msgspec.Struct, frozen=True):
    """The plain values that a checkpoint stores of such a run."""

    steps: Count
    data: str  # the checksum of the data


@dataclass(frozen=True)
class Seeds:
    """The seeds of all random generators of a run."""

    network: int
    data: int  # which examples are used
    phases: int  # which examples belong to which phase
    noise: int
    order: int  # the order of examples in an epoch
    methods: int
    measures: int

    @classmethod
    def spawn(cls, seed: int) -> Self:
        """Derive all seeds from a run's seed."""
        return cls(
            *(int(child.generate_state(1, np.uint64)[0] >> 1) for child in np.random.SeedSequence(seed).spawn(7))
        )


class Batches(Protocol):
    """The examples of a run, by the update's number."""

    starts: tuple[int, ...]  # the update at which each phase begins
    total: int

    def phase_at(self, update: int) -> int:
        """Return the number of the phase to which an update belongs."""

    def batch(self, update: int) -> Examples:
        """Return the examples of an update."""


class Phased(Work):
    """A learner that goes through phases of data; `steps` are updates."""

    needed = 0  # bytes of memory that networks, data and an update take
    looked_at: ClassVar[int] = 256  # the number of examples for measures and methods

    def __init__(
        self, settings: PhasedSettings, seeds: Seeds, learner: Supervised, batches: Batches, checksum: str
    ) -> None:
        """`checksum` is the checksum of the data; a run can be resumed only with the same data."""
        super().__init__()
        if batches.starts[1:] != settings.phase_starts or batches.total != settings.total:
            raise ValueError(
                f"{settings.data} has another number of examples than expected: are its files another version?"
            )
        self.settings, self.trained, self.batches = settings, learner, batches
        learner.precision = settings.precision
        self.device, self.method_seed, self.measure_seed = learner.device, seeds.methods, seeds.measures
        self.steps, self.checksum = 0, checksum
        wanted = wanted_examples(self.networks()) if settings.measure_every else {}
        self.rank_examples = affordable(wanted, settings.batch_size, settings.measure_every, self.device)
        self.notes = (
            *notes_on_precision(settings.precision, self.device),
            *notes_on_ranks(wanted, self.rank_examples, self.looked_at, settings.batch_size),
        )

    def networks(self) -> tuple[Network, ...]:
        """Return the networks that plasticity methods may act on."""
        return self.trained.plastic()

    # Learning

    def advance(self, update: Callable[[int], None]) -> None:
        """Do one update; a new phase begins with a new optimizer."""
        if self.steps and self.steps in self.batches.starts:
            self.trained.begin_phase()
        update(1)

    def update(self, count: int, manager: PlasticityManager) -> Mapping[str, Tensor]:
        """Do the next `count` updates, and return their mean metrics."""
        updates = range(self.steps, self.steps + count)
        batches = [self.batches.batch(number) for number in updates]
        means = self.trained.update(batches, [self.share_of_rate(number) for number in updates], manager)
        self.steps += count
        return means

    @abstractmethod
    def share_of_rate(self, update: int) -> float:
        """Return the learning rate of an update, as a share of the highest one."""

    @property
    def phase(self) -> int:
        """The phase of the next update; at the end of the run, the last phase."""
        return self.batches.phase_at(min(self.steps, self.batches.total - 1))

    def learned_phase(self, updates: int) -> int:
        """Return the phase of the last of this many updates; at a phase's beginning, this is the phase before."""
        return self.batches.phase_at(max(0, updates - 1))

    def after_event(self) -> None:
        """Estimate the running statistics again for the new weights."""
        self.refresh(self.trained.module)

    def refresh(self, module: nn.Module) -> None:
        """Estimate BatchNorm's running statistics for new weights, from batches of the present phase."""
        if self.refreshes and modules_with_statistics(module):
            refresh_statistics_(module, (examples[0] for examples in self._looked_at()))

    @property
    def refreshes(self) -> bool:
        """Whether running statistics are estimated again after an event."""
        return True

    def _looked_at(self) -> Iterator[Examples]:
        """Yield batches of the present phase that are independent of those of training."""
        for number in range(REFRESHED_ON):
            yield self.examples(self.pass_size, LOOKED_AT, self.steps, number)

    def pass_over_data(self) -> Iterator[Examples]:
        """Yield the present phase's data in batches, for methods that need more than a few examples."""
        yield from self._looked_at()

    @property
    def pass_size(self) -> int:
        """The number of examples in a batch of `pass_over_data`."""
        return self.settings.batch_size

    @abstractmethod
    def examples(self, count: int, *seed: int) -> Examples:
        """Return at least `count` random examples of the present phase; the numbers in `seed` determine which ones."""

    # What is logged

    def counts(self, updates: int) -> dict[str, int]:
        """Return the number of updates and the phase of the last one, counted from 1."""
        return {"updates": updates, "phase": self.learned_phase(updates) + 1}

    def figures(self) -> Mapping[str, float]:
        """Return the learning rate of the last update."""
        return {"learning_rate": float(self.trained.trained.optimizer.param_groups[0]["lr"])}

    def losses(self, updates: int) -> Losses:
        """Return the training loss on random examples of the present phase."""
        return self.trained.losses(self.examples(self.looked_at, LOSSES, updates), self.pass_over_data)

    def inputs(self) -> Mapping[str, DrawInputs]:
        """Draw from the examples of the present phase."""

        def draw(generator: torch.Generator) -> Tensor:
            seed = int(torch.randint(2**40, (), generator=generator))
            return self.examples(self.looked_at, INPUTS, seed)[0]

        return {self.trained.trained.name: draw}

    def runs(self, updates: int) -> Runs:
        """Return a function that runs the network on more examples, for the rank of features."""
        if not self.rank_examples:
            return {}
        return self.trained.runs(self.examples(max(self.rank_examples.values()), RANKS, updates)[0])

    # State

    def learner(self) -> Mapping[str, Tensor]:
        """Return the tensors of the network and its optimizer."""
        return self.trained.state_dict()

    def state(self, folder: Path) -> State:
        """Return the number of updates and the data's checksum."""
        return State(values=msgspec.to_builtins(Counts(self.steps, self.checksum)))

    def restore(
        self, folder: Path, learner: Mapping[str, Tensor], state: State, restructure: Callable[[], None]
    ) -> None:
        """Restore a checkpoint; raise ValueError if it was made with other data."""
        values = msgspec.convert(state.values, Counts)
        if values.data != self.checksum:
            raise ValueError(f"it was made with other data than {self.settings.data} is now: check --data-dir")
        restructure()
        if self.learned_phase(values.steps):  # later phases may have another kind of optimizer
            self.trained.begin_phase()
        self.trained.load_state_dict(learner)
        self.steps = values.steps
        if self.steps:  # measures and the log read the learning rate before the next update sets it
            set_rate(self.trained.trained.optimizer, self.share_of_rate(self.steps - 1))

    # Cost

    def rates(self) -> Rates:
        """Measure the rate of updates with their batches, on a second learner."""
        learner = self.second_learner()
        learner.precision = self.settings.precision
        batches = [self.batches.batch(number % self.batches.total) for number in range(TIMED)]
        learner.update(batches[:1], [1.0])
        start = time.perf_counter()
        learner.update(batches, [1.0] * TIMED)
        rate = TIMED / (time.perf_counter() - start)
        return Rates(rate, float("inf"))

    @abstractmethod
    def second_learner(self) -> Supervised:
        """Return a learner equal to this run's at the beginning of the run."""

    def rehearse(self) -> tuple[Sequence[Network], Losses]:
        """Return the networks of a second learner, and its losses on random examples."""
        learner = self.second_learner()
        return learner.plastic(), learner.losses(self.examples(self.looked_at, REHEARSAL))

    def weight(self) -> Weight:
        """Return the size of a checkpoint and the memory that is needed."""
        return Weight(self.settings, bytes_of(self.trained.state_dict().values()), memory=self.needed)

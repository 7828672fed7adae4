"""From the records of checkpoints to the cells of the tables: Kendall's tau of each measure with trainability."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from fire_rl.fire import MEASURES
from fire_rl.fire.trigger import TRAINABILITY

from .correlation import Sample, Tau, between, overall, within
from .results import NetworkRecord, Record

Outcome = Literal["trainability", "fit", "replace"]
AGENTS = {"dqn": "DQN", "sac": "SAC", "vision": "images"}
AGE = "updates"  # not a measure: what the number of updates alone predicts
ROWS = (*(name for name in MEASURES if name != TRAINABILITY), AGE)
SAME_AGE = "same age"
LEVELS: dict[str, Callable[[Sample, int], Tau]] = {
    "within runs": within, "between runs": between, "overall": overall, SAME_AGE: overall
}  # fmt: skip
Point = tuple[Record, str, NetworkRecord]


@dataclass(frozen=True, eq=False)
class Cell:
    """Some checkpoints: those of all networks, of one network, or of one network in one task."""

    title: str
    points: Sequence[Point]

    @property
    def runs(self) -> int:
        """The number of runs."""
        return len({record.run for record, _, _ in self.points})

    @property
    def blocks(self) -> int:
        """The number of blocks: all runs with the same agent, task and seed are one."""
        return len({record.block for record, _, _ in self.points})

    @property
    def size(self) -> str:
        """How much the cell holds, in words."""
        return f"{self.checkpoints} checkpoints, {self.runs} runs, {self.blocks} blocks"

    @property
    def checkpoints(self) -> int:
        """The number of checkpoints."""
        return len({record.key for record, _, _ in self.points})

    def outcome(self, outcome: Outcome = "trainability") -> np.ndarray:
        """Return an outcome of each point."""
        found = [
            each.trainability if outcome == "trainability" else getattr(each, outcome).value
            for _, _, each in self.points
        ]
        return np.array([np.nan if value is None else value for value in found], dtype=float)

    def measure(self, name: str) -> np.ndarray:
        """Return a measure of each point; NaN where it is missing."""
        found = [record.updates if name == AGE else each.measures.get(name) for record, _, each in self.points]
        return np.array([np.nan if value is None else value for value in found], dtype=float)

    def sample(self, name: str, outcome: Outcome = "trainability", *, same_age: bool = False) -> Sample:
        """Return a measure and an outcome with runs, blocks and strata. A stratum is the same network in the same task,
        and if `same_age` also the same numbers of steps and of updates."""
        runs = _numbered([record.run for record, _, _ in self.points])
        blocks = _numbered([record.block for record, _, _ in self.points])
        strata = _numbered([
            (record.agent, network, record.task, *((record.step, record.updates) if same_age else ()))
            for record, network, _ in self.points
        ])  # fmt: skip
        return Sample(self.measure(name), self.outcome(outcome), runs, blocks, strata)

    @cached_property
    def taus(self) -> Mapping[str, Mapping[str, Tau]]:
        """Kendall's tau with trainability by measure and level."""
        return {
            name: {
                level: tau(self.sample(name, same_age=level == SAME_AGE), len(ROWS)) for level, tau in LEVELS.items()
            }
            for name in ROWS
            if np.isfinite(self.measure(name)).any()
        }

    def ordered(self) -> list[str]:
        """Return the measures by the size of their tau within runs, the largest first."""
        return sorted(self.taus, key=lambda name: -abs(np.nan_to_num(self.taus[name]["within runs"].value)))


def _numbered(labels: Sequence[Hashable]) -> np.ndarray:
    places = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    return np.array([places[label] for label in labels], dtype=np.int64)


def points_of(records: Sequence[Record]) -> list[Point]:
    """Return one point for each network of each checkpoint that could be measured."""
    return [(record, name, each) for record in records for name, each in record.networks.items()]


def everything(records: Sequence[Record]) -> Cell:
    """Return the cell of all networks. A pair of checkpoints counts only within one network and task."""
    return Cell("all networks", points_of(records))


def by_network(records: Sequence[Record]) -> list[Cell]:
    """Return one cell for each agent's network."""
    return list(_split(points_of(records), lambda record, network: f"{AGENTS[record.agent]}, {network}"))


def by_task(records: Sequence[Record]) -> list[Cell]:
    """Return one cell for each network in each task."""
    return list(_split(points_of(records), lambda record, network: f"{record.task}, {network}"))


def _split(points: Sequence[Point], title: Callable[[Record, str], str]) -> Iterator[Cell]:
    for name in dict.fromkeys(title(record, network) for record, network, _ in points):
        yield Cell(name, [point for point in points if title(point[0], point[1]) == name])

"""What the driver asks of the work of a run, whatever is learned from: decisions of environments, phases of data.

A work advances by one unit at a time, evaluates, gives losses on examples, names its networks, and saves and restores
its own state. The driver knows time, events, log and checkpoints, and nothing of observations, images or a replay.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from fire_rl.fire import Network, PlasticityManager
from fire_rl.fire.manager import Losses as Losses
from fire_rl.fire.manager import Runs as Runs
from fire_rl.replay import Segment

from .settings import DriverSettings
from .stopping import EnvironmentCalls


@dataclass(frozen=True)
class State:
    """What a checkpoint keeps of a work, besides the learner."""

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)  # plain values
    segments: tuple[Segment, ...] = ()  # immutable files below RUN/replay, which checkpoints share


@dataclass(frozen=True)
class Rates:
    """How fast a work is on this machine, alone."""

    updates_per_second: float
    steps_per_second: float

    def seconds(self, updates: float, steps: float) -> float:
        return updates / self.updates_per_second + steps / self.steps_per_second


@dataclass(frozen=True)
class Weight:
    """What a run takes, in bytes."""

    settings: DriverSettings
    checkpoint: int  # on the disk, without the replay
    replay: int = 0  # in memory
    transitions: int = 1  # that such a replay holds
    steps_of_a_transition: int = 1
    memory: int = 0  # that networks, data and an update take besides


class Host(Protocol):
    """What a work may ask of the driver that it runs under."""

    def write(self, kind: str, values: Mapping[str, Any]) -> None:
        """A line of metrics, with where the run is."""

    def say(self, line: str) -> None:
        """A line for people, above the progress bar."""

    def attempt(self, what: str, do: Callable[[], object]) -> None:
        """Do what must not end the run where it fails, such as a picture; the failure is said."""


class Work(ABC):
    """What is learned from, and how. A work overrides the defaults below where it needs to."""

    device: torch.device
    steps: int  # how far it is, in the unit of its settings' `progress`
    method_seed: int  # of what methods draw
    notes: Sequence[str] = ()  # sentences for the start of the run
    host: Host

    def __init__(self) -> None:
        self.calls = EnvironmentCalls()  # which is told of foreign code that may hang

    @abstractmethod
    def networks(self) -> tuple[Network, ...]:
        """What plasticity methods may act on."""

    def begin(self, host: Host) -> None:
        """Be ready to advance: at the start of a run, and when it goes on."""
        self.host = host

    @abstractmethod
    def advance(self, update: Callable[[int], None]) -> None:
        """One unit of work. `update(K)` is called where K gradient updates are due; an event may happen inside it."""

    @abstractmethod
    def update(self, count: int, manager: PlasticityManager) -> Mapping[str, Tensor]:
        """So many gradient updates; the mean metrics, still on the device."""

    def counts(self, updates: int) -> dict[str, int]:
        """Where it is after so many updates, in every unit that people count in; `progress` is one of them."""
        return {"updates": updates}

    def figures(self) -> Mapping[str, float]:
        """Other numbers for a line of training metrics."""
        return {}

    @abstractmethod
    def losses(self, updates: int) -> Losses:
        """The networks' losses on examples that depend on the number of updates alone: looking changes nothing."""

    def runs(self, updates: int) -> Runs:
        """Functions that run networks on more examples than their losses are of, for the rank of their features."""
        return {}

    def heed(self, measures: Mapping[str, float]) -> None:  # noqa: B027  # most have nothing to do here
        """Take note of plasticity measures, just taken."""

    def after_event(self) -> None:  # noqa: B027  # nor here
        """What an event leaves to do, before anything looks at the networks: statistics that are of the old weights."""

    def rehearse(self) -> tuple[Sequence[Network], Losses]:
        """Copies of the networks as they are, with losses of these: methods of one's own are tried on them first."""
        try:
            twin = copy.deepcopy(self)
            return twin.networks(), twin.losses(0)
        except Exception:  # a work that cannot be copied: methods that look at losses are tried without
            return copy.deepcopy(tuple(self.networks())), {}

    @abstractmethod
    def evaluate(self, pause: Callable[[], None]) -> dict[str, Any]:
        """Evaluate what was learned: the metric by its name, and what else is to be logged. `pause` may end it."""

    def show(self, folder: Path, occasion: str) -> None:  # noqa: B027  # nor here
        """After an evaluation: what else shows it, such as a video."""

    @abstractmethod
    def learner(self) -> Mapping[str, Tensor]:
        """All that acting or predicting needs, and learning on."""

    @abstractmethod
    def state(self, folder: Path) -> State:
        """Everything else that it goes on from, `steps` among the values; what is large is written below the folder."""

    @abstractmethod
    def restore(
        self, folder: Path, learner: Mapping[str, Tensor], state: State, restructure: Callable[[], None]
    ) -> None:
        """Go on from a checkpoint. `restructure` repeats what events did to the networks, before their tensors fit."""

    def rates(self) -> Rates:
        """Measured now, on parts of no use to the run; ValueError where that cannot be done."""
        raise ValueError("nothing is known of how long this takes")

    @abstractmethod
    def weight(self) -> Weight: ...


def named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with it, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

"""The interface between the driver and the work of a run, whether it learns from environments or from phases of data.

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
from fire_rl.fire.manager import Probes as Probes
from fire_rl.fire.manager import Runs as Runs
from fire_rl.fire.network import DrawInputs as DrawInputs
from fire_rl.replay import Segment

from .settings import DriverSettings
from .stopping import EnvironmentCalls


@dataclass(frozen=True)
class State:
    """What a checkpoint stores of a work, besides the learner."""

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)  # plain values
    segments: tuple[Segment, ...] = ()  # immutable files below RUN/replay, which checkpoints share


@dataclass(frozen=True)
class Rates:
    """How fast a work is on this machine if nothing else is running."""

    updates_per_second: float
    steps_per_second: float

    def seconds(self, updates: float, steps: float) -> float:
        """Return how long this many updates and steps take."""
        return updates / self.updates_per_second + steps / self.steps_per_second


@dataclass(frozen=True)
class Weight:
    """The memory and disk space of a run, in bytes."""

    settings: DriverSettings
    checkpoint: int  # on the disk, without the replay
    replay: int = 0  # in memory
    transitions: int = 1  # the number of transitions that the replay holds
    steps_of_a_transition: int = 1
    memory: int = 0  # of networks, data and an update


class Host(Protocol):
    """What a run offers to its work: `training.reporter` implements it."""

    def write(self, kind: str, values: Mapping[str, Any]) -> None:
        """Write a line of metrics, with the run's position."""

    def say(self, line: str) -> None:
        """Print a line for the user, above the progress bar."""

    def attempt(self, what: str, do: Callable[[], object]) -> None:
        """Do something that must not end the run if it fails, such as a picture; a failure is printed."""


class Work(ABC):
    """What a run learns from, and how. A subclass overrides the defaults below if it needs to."""

    device: torch.device
    steps: int  # the steps done so far, in the unit of the settings' `progress`
    method_seed: int  # the seed of the methods' random numbers
    notes: Sequence[str] = ()  # lines that are printed at the start of the run
    host: Host

    def __init__(self) -> None:
        self.calls = EnvironmentCalls()  # records calls of other people's code, which may hang

    @abstractmethod
    def networks(self) -> tuple[Network, ...]:
        """Return the networks that plasticity methods may act on."""

    def begin(self, host: Host) -> None:
        """Prepare to advance, at the start of a run and after it is resumed."""
        self.host = host

    @abstractmethod
    def advance(self, update: Callable[[int], None]) -> None:
        """Do one unit of work; call `update(K)` when K gradient updates are due. An event may happen in that call."""

    @abstractmethod
    def update(self, count: int, manager: PlasticityManager) -> Mapping[str, Tensor]:
        """Do `count` gradient updates, and return their mean metrics as tensors that are still on the device."""

    def counts(self, updates: int) -> dict[str, int]:
        """Return the position after this many updates in all units that are logged; `progress` is one of them."""
        return {"updates": updates}

    def figures(self) -> Mapping[str, float]:
        """Return further numbers for a line of training metrics."""
        return {}

    @abstractmethod
    def losses(self, updates: int) -> Losses:
        """Return the networks' losses on examples that depend on nothing but the number of updates."""

    def runs(self, updates: int) -> Runs:
        """Return functions that run networks on more examples than their losses use, for the rank of features."""
        return {}

    def inputs(self) -> Mapping[str, DrawInputs]:
        """Return functions that draw batches of the networks' inputs with a random generator, for methods that repair
        networks; a work without them cannot use such methods."""
        return {}

    def check_probes(self) -> None:
        """Raise ValueError if copies of the networks cannot be probed, for their trainability."""
        raise ValueError(
            "--reinit-when or --trainability-every given; trainability is measured only for SAC, DQN and image "
            "classifiers, and for agents that have the function `probed`"
        )

    def probes(self, updates: int) -> Probes:
        """Return what is needed to probe the networks; the examples depend only on the number of updates."""
        return {}

    def heed(self, measures: Mapping[str, float]) -> None:  # noqa: B027  # optional: most works have nothing to do here
        """React to plasticity measures that were just taken."""

    def after_event(self) -> None:  # noqa: B027  # optional
        """Update what belongs to the old weights, such as running statistics, before the networks are used again."""

    def rehearse(self) -> tuple[Sequence[Network], Losses]:
        """Return copies of the networks and their losses, on which a user's own methods are tried before the run."""
        try:
            twin = copy.deepcopy(self)
            return twin.networks(), twin.losses(0)
        except Exception:  # this work cannot be copied: methods that need losses are tried without them
            return copy.deepcopy(tuple(self.networks())), {}

    @abstractmethod
    def evaluate(self, pause: Callable[[], None]) -> dict[str, Any]:
        """Evaluate, and return the metric under its name and other values to log.

        `pause` is called again and again, and may end the evaluation by an exception.
        """

    def show(self, folder: Path, occasion: str, stopping: Callable[[], bool]) -> None:  # noqa: B027  # optional
        """Show the evaluation that was just made in another form, such as a video, unless the run should stop."""

    @abstractmethod
    def learner(self) -> Mapping[str, Tensor]:
        """Return all tensors that are needed to act or predict, and to continue learning."""

    @abstractmethod
    def state(self, folder: Path) -> State:
        """Return everything else that is needed to continue, with `steps` among the values; large parts are written
        below the folder."""

    @abstractmethod
    def restore(
        self, folder: Path, learner: Mapping[str, Tensor], state: State, restructure: Callable[[], None]
    ) -> None:
        """Restore a checkpoint. `restructure` repeats the changes that events made to the networks' structure; it has
        to be called before tensors are loaded, so that they fit."""

    def rates(self) -> Rates:
        """Measure the rates without changing the run; raise ValueError if that is not possible."""
        raise ValueError("it is not known how long this takes")

    @abstractmethod
    def weight(self) -> Weight:
        """Return the memory and disk space that the run takes."""


def named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with the prefix, by their names without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

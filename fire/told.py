"""Whether a training loop tells the manager of its steps, where methods act at each: without that they do nothing."""

import warnings
from collections.abc import Iterable, Sequence

from .methods import Method
from .network import Network
from .schedule import Never, Position, Schedule
from .spelling import spell

PATIENCE = 10  # updates: a network that is delayed, as an actor, may not be stepped at each
LONG = 100  # updates after which a network that was never stepped is said, where others were


def refuse_idle_schedule(method: Method, schedule: Schedule) -> None:
    """A method that acts at every step alone would have events that change nothing."""
    every_step = method.acts_every_step or method.has_penalty
    if every_step and not method.acts_at_events and not isinstance(schedule, Never):
        raise ValueError(
            f"{spell(method)} acts at every gradient step and has no events: give the manager Never() as its schedule, "
            f"and {_attach()}"
        )


class Told:
    """Counts what was heard of gradient steps against what positions say; ValueError with the line that is missing."""

    def __init__(self, methods: Sequence[Method]) -> None:
        self._awaited = {
            "after_step": next((one for one in methods if one.acts_every_step), None),
            "penalty": next((one for one in methods if one.has_penalty), None),
        }
        self._heard: dict[str, set[str]] = {what: set() for what in self._awaited}  # the networks' names
        self._since: int | None = None  # updates at the first position that is known
        self.versions: list[int] | None = None  # how often each weight was written to, when it was last measured
        self._unseen: dict[str, int] = {}  # steps in a row without activations, by network
        self._said: set[str] = set()
        self.attached = False  # whether hooks on the optimizers tell of every step

    def hear(self, what: str, name: str) -> None:
        self._heard[what].add(name)

    def begin(self, position: Position) -> None:
        """Steps are expected from here on, unless an earlier position is known."""
        if self._since is None:
            self._since = position.updates

    def require(self, position: Position, names: Sequence[str], patience: int = PATIENCE) -> None:
        assert self._since is not None
        made = position.updates - self._since
        for what, method in () if self.attached else self._awaited.items():
            if method is None or made < patience or not names:
                continue
            if heard := self._heard[what]:
                silent = [name for name in names if name not in heard]
                if made >= LONG and silent:
                    self._say(
                        f"{spell(method)}: in {made:,} updates the manager was not told of a step of network "
                        f"{silent[0]!r}: if it is trained, call manager.{what}({silent[0]!r}) at its steps, too",
                        f"{what} of {silent[0]}",
                    )
                continue
            acts = "acts after every gradient step" if what == "after_step" else "adds a penalty to every loss"
            line = (
                f"manager.after_step({names[0]!r}) after each optimizer.step()"
                if what == "after_step"
                else f"manager.penalty({names[0]!r}), added to the loss before loss.backward()"
            )
            raise ValueError(
                f"{spell(method)} {acts}, and of {made:,} updates the manager was told of none, so that it did "
                f"nothing: call {line}; or {_attach()} (updates are the optimizer's steps: where gradients of several "
                "batches are summed, count the sum)"
            )

    def measured(self, networks: Iterable[Network]) -> None:
        """Say, where weights have changed between two measures, that no step was told of: such a loop has no events."""
        missing = {} if self.attached else {key: one for key, one in self._awaited.items() if not self._heard[key]}
        awaited = {what: method for what, method in missing.items() if method is not None}
        if not awaited:
            return
        now = [parameter._version for network in networks for parameter in network.module.parameters()]
        before, self.versions = self.versions, now
        for what, method in awaited.items():
            if before is not None and before != now:
                self._say(
                    f"{spell(method)}: weights have changed between two measures, and the manager was told of no "
                    f"step: call manager.{what}(name) at each; or {_attach()}",
                    f"{what} between measures",
                )

    def watched(self, method: Method, name: str, layers: int) -> None:
        """Say where a method that watches units has seen none of them at ten steps in a row, and so does nothing."""
        self._unseen[name] = 0 if layers else self._unseen.get(name, 0) + 1
        if self._unseen[name] == PATIENCE:
            self._say(
                f"{spell(method)}: at {PATIENCE} steps in a row no hidden layer of network {name!r} has run, so that "
                "it did nothing: run the very module that the manager was given, by calling it (after manager.close(), "
                "call manager.watch() first)",
                f"units of {name}",
            )

    def _say(self, line: str, once: str) -> None:
        if once not in self._said:
            self._said.add(once)
            warnings.warn(line, stacklevel=4)


def _attach() -> str:
    package = __name__.rpartition(".")[0]
    return f"once, before training: from {package}.integrations.hooks import attach; attach(manager)"

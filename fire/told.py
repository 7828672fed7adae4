"""Whether a training loop tells the manager of its steps, where methods act at each: without that they do nothing."""

from collections.abc import Sequence

from .methods import Method
from .schedule import Never, Position, Schedule
from .spelling import spell

PATIENCE = 10  # updates: a network that is delayed, as an actor, may not be stepped at each


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
        self._heard: set[str] = set()
        self._since: int | None = None  # updates at the first position that is known

    def hear(self, what: str) -> None:
        self._heard.add(what)

    def begin(self, position: Position) -> None:
        """Steps are expected from here on, unless an earlier position is known."""
        if self._since is None:
            self._since = position.updates

    def require(self, position: Position, names: Sequence[str], patience: int = PATIENCE) -> None:
        assert self._since is not None
        made = position.updates - self._since
        for what, method in self._awaited.items():
            if method is None or what in self._heard or made < patience or not names:
                continue
            acts = "acts after every gradient step" if what == "after_step" else "adds a penalty to every loss"
            line = (
                f"manager.after_step({names[0]!r}) after each optimizer.step()"
                if what == "after_step"
                else f"manager.penalty({names[0]!r}), added to the loss before loss.backward()"
            )
            raise ValueError(
                f"{spell(method)} {acts}, and of {made:,} updates the manager was told of none, so that it did "
                f"nothing: call {line}; or {_attach()}"
            )


def _attach() -> str:
    package = __name__.rpartition(".")[0]
    return f"once, before training: from {package}.integrations.hooks import attach; attach(manager)"

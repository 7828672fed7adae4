"""Check that a training loop reports its gradient steps to the manager: methods that act at each would do nothing."""

import warnings
from collections.abc import Iterable, Sequence

from .methods import Method
from .network import Network
from .schedule import Never, Position, Schedule
from .spelling import spell

PATIENCE = 10  # updates without a report before an error, since some networks, such as actors, are updated less often
LONG = 100  # updates after which a network without any reported step is named in a warning, if others have reports

CALLS = {  # what a method does, and where the loop has to call the manager
    "after_step": ("acts after every gradient step", " after each optimizer.step()"),
    "penalty": ("adds a penalty to every loss", ", added to the loss before loss.backward()"),
}


def refuse_idle_schedule(method: Method, schedule: Schedule) -> None:
    """Raise ValueError if a method that acts at every step only was given a schedule of events."""
    every_step = method.acts_every_step or method.has_penalty
    if every_step and not method.acts_at_events and not isinstance(schedule, Never):
        raise ValueError(
            f"{spell(method)} acts at every gradient step and has no events: give the manager Never() as the schedule, "
            f"and {_attach()}"
        )


class ReportedSteps:
    """Compare the reported gradient steps with the updates that positions count; name the missing call if none came."""

    def __init__(self, methods: Sequence[Method]) -> None:
        self._awaited = {
            "after_step": next((one for one in methods if one.acts_every_step), None),
            "penalty": next((one for one in methods if one.has_penalty), None),
        }
        self._calls: dict[str, set[str]] = {what: set() for what in self._awaited}  # the networks' names
        self._since: int | None = None  # updates at the first known position
        self.versions: list[int] | None = None  # torch's count of writes to each weight, at the last measurement
        self._unseen: dict[str, int] = {}  # consecutive steps without activations, by network
        self._said: set[str] = set()
        self.attached = False  # whether hooks on the optimizers report every step

    def note_call(self, what: str, name: str) -> None:
        """Note a call of `after_step` or `penalty` for a network."""
        self._calls[what].add(name)

    def begin(self, position: Position) -> None:
        """Expect steps from this position on, unless an earlier position is known."""
        if self._since is None:
            self._since = position.updates

    def require_reports(self, position: Position, names: Sequence[str], patience: int = PATIENCE) -> None:
        """Raise ValueError if no step was reported; warn if steps of some network were not."""
        assert self._since is not None
        made = position.updates - self._since
        for what, method in () if self.attached else self._awaited.items():
            if method is None or made < patience or not names:
                continue
            if reported := self._calls[what]:
                unreported = [name for name in names if name not in reported]
                if made >= LONG and unreported:
                    self._warn_once(
                        f"{spell(method)}: in {made:,} updates no step of network {unreported[0]!r} was reported to "
                        f"the manager: if it is trained, call manager.{what}({unreported[0]!r}) at its steps, too",
                        f"{what} of {unreported[0]}",
                    )
                continue
            acts, where = CALLS[what]
            raise ValueError(
                f"{spell(method)} {acts}, but of {made:,} updates none was reported to the manager, so that it did "
                f"nothing: call manager.{what}({names[0]!r}){where}; or {_attach()} (an update is one "
                "optimizer.step(): if gradients of several batches are summed, they count as one update)"
            )

    def compare_weights(self, networks: Iterable[Network]) -> None:
        """Warn if weights have changed between two measurements but no step was reported.

        This covers loops without events, which never call `require_reports`.
        """
        missing = {} if self.attached else {key: one for key, one in self._awaited.items() if not self._calls[key]}
        awaited = {what: method for what, method in missing.items() if method is not None}
        if not awaited:
            return
        now = [parameter._version for network in networks for parameter in network.module.parameters()]
        before, self.versions = self.versions, now
        for what, method in awaited.items():
            if before is not None and before != now:
                self._warn_once(
                    f"{spell(method)}: weights have changed between two measurements, but no step was reported to the "
                    f"manager: call manager.{what}(name) at each step; or {_attach()}",
                    f"{what} between measures",
                )

    def note_layers(self, method: Method, name: str, layers: int) -> None:
        """Warn if a method that needs activations got none at ten steps in a row, so that it does nothing."""
        self._unseen[name] = 0 if layers else self._unseen.get(name, 0) + 1
        if self._unseen[name] == PATIENCE:
            self._warn_once(
                f"{spell(method)}: at {PATIENCE} steps in a row no hidden layer of network {name!r} has run, so that "
                "it did nothing: call the same module object that the manager was given (after manager.close(), call "
                "manager.watch() first)",
                f"units of {name}",
            )

    def _warn_once(self, line: str, once: str) -> None:
        if once not in self._said:
            self._said.add(once)
            warnings.warn(line, stacklevel=4)


def _attach() -> str:
    package = __name__.rpartition(".")[0]
    return f"once, before training: from {package}.integrations.hooks import attach; attach(manager)"

"""All trackers of a run: each gets every message; if one fails, a warning is printed once."""

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from ..config import Config
from ..durable import Damaged
from ..files import read_json, write_json
from ..folder import TRACKED
from ..settings import names_with
from .names import require_packages, trackers_of
from .process import FINISH_LIMIT, TrackerProcess, wait_for

ATTENDED_EVERY = 0.2  # seconds
Id = Annotated[str, Meta(pattern=r"^[a-z0-9]{8,32}$")]


class Kept(Struct, frozen=True):
    """The ids, by tracker, under which a run is found again where it is recorded."""

    ids: Annotated[dict[Annotated[str, Meta(max_length=200)], Id], Meta(max_length=100)] = {}


class Tracking:
    """The trackers of a run, in the order of `--track`. Without trackers no method does anything."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        """Start the processes of the trackers."""
        self.trackers: list[TrackerProcess] = []
        self.say: Callable[[str], None] = print
        self._said: set[str] = set()
        self._attended = 0.0
        try:
            for name in trackers_of(names):
                self.trackers.append(TrackerProcess(name))
        except BaseException:
            self.close()
            raise

    def require_ready(self) -> None:
        """Wait until all trackers are imported; raise ValueError, in one line, if one cannot be."""
        for tracker in self.trackers:
            tracker.require_ready()

    def begin(self, folder: Path, about: Mapping[str, Any]) -> None:
        """Tell the trackers that a run begins, or that it goes on with the ids that its folder holds."""
        if not self.trackers:
            return
        ids = self._ids(folder)
        fresh = {each.name: secrets.token_hex(8) for each in self.trackers if each.name not in ids}
        if fresh:
            try:
                write_json(folder / TRACKED, {"ids": ids | fresh})
            except OSError as error:
                reason = f"{folder / TRACKED} cannot be written ({error.strerror or error})"
                self._warn(f"{reason}: on resuming, the run is recorded as a new one")
        for tracker in self.trackers:
            tracker.tell("begin", about={**about, "id": (ids | fresh)[tracker.name]})
        self._say_news()

    def _ids(self, folder: Path) -> dict[str, str]:
        try:
            return dict(read_json(folder / TRACKED, Kept).ids) if os.path.lexists(folder / TRACKED) else {}
        except (Damaged, OSError) as error:
            self._warn(f"{error}: the run is recorded as a new one")
            return {}

    def scalars(self, values: Mapping[str, float], step: int, line: int) -> None:
        """Send numbers by their names."""
        self._tell("scalars", values=dict(values), step=step, line=line)

    def histogram(self, name: str, values: Sequence[float], step: int, line: int) -> None:
        """Send many numbers under one name."""
        self._tell("histogram", name=name, values=list(values), step=step, line=line)

    def picture(self, name: str, path: Path, step: int, line: int) -> None:
        """Send the path of a PNG file."""
        self._tell("picture", name=name, path=str(path.absolute()), step=step, line=line)

    def attend(self) -> None:
        """Write waiting messages and read answers, while the run has no new messages."""
        if not self.trackers or time.monotonic() - self._attended < ATTENDED_EVERY:
            return
        self._attended = time.monotonic()
        for tracker in self.trackers:
            tracker.attend()
        self._say_news()

    def finish(self, ending: str, summary: Mapping[str, float] | None = None) -> None:
        """Tell the trackers that the run's process ends; they have a limited time to finish."""
        try:
            for tracker in self.trackers:
                tracker.tell("finish", ending=ending, summary=dict(summary or {}))
            deadline = time.monotonic() + FINISH_LIMIT
            while unfinished := [tracker for tracker in self.trackers if tracker.exchange()]:
                if (left := deadline - time.monotonic()) <= 0:
                    for tracker in unfinished:
                        tracker.give_up()
                    break
                wait_for(unfinished, left)
        finally:
            self.close()
        self._say_news()

    @property
    def records(self) -> list[tuple[str, str]]:
        """Each tracker with the place of its record, and whether the record is incomplete."""
        found = []
        for tracker in self.trackers:
            lost = "" if tracker.lost is None else f"incomplete ({tracker.lost}): "
            found.append((tracker.name, _printable(lost + (tracker.where or "no place given"))))
        return found

    def close(self) -> None:
        """End the processes of all trackers."""
        for tracker in self.trackers:
            tracker.close()

    def _tell(self, verb: str, **values: Any) -> None:
        for tracker in self.trackers:
            tracker.tell(verb, **values)
        self._say_news()

    def _warn(self, text: str) -> None:
        self.say(f"warning: {_printable(text)}")

    def _say_news(self) -> None:
        """Print, once each, where a tracker has its record, and why the run goes on without a tracker."""
        for tracker in self.trackers:
            if tracker.where is not None and f"{tracker.name} where" not in self._said:
                self._said.add(f"{tracker.name} where")
                self.say(f"{tracker.name}: {_printable(tracker.where)}")
            if tracker.lost is not None and tracker.name not in self._said:
                self._said.add(tracker.name)
                self._warn(f"the run goes on without {tracker.name}: {tracker.lost}")


@contextmanager
def tracked(names: Sequence[str]) -> Iterator[Tracking]:
    """Start trackers, which begin to import their packages; close them if the run cannot begin."""
    require_packages(names)
    tracking = Tracking(names)
    try:
        yield tracking
    except BaseException:
        tracking.close()
        raise


def about_run(
    folder: Path, config: Config, counts: Sequence[str], branch_from: str | None, step: int | None
) -> dict[str, Any]:
    """Return what a tracker gets to know about a run when it begins, as plain values."""
    run, metric = config.run, config.metric
    tags = [tag for tag in dict.fromkeys(run.track_tags) if branch_from is None or tag != "trunk"]  # not its trunk's
    kind = "branch" if branch_from is not None else "trunk" if "trunk" in tags else "run"
    return {
        "folder": str(folder.absolute()),
        "name": folder.absolute().name,
        "kind": kind,
        "project": run.track_project,
        "group": run.track_group,
        "tags": tags,
        "config": flat_config(config) | {"kind": kind, "branch_from": branch_from},
        "axis": run.progress,
        "counts": list(counts),
        "metric": {
            "name": metric.name, "tag": f"evaluation/{metric.name}", "unit": metric.unit, "better": metric.better
        },
        "continued_at": step,
    }  # fmt: skip


def flat_config(config: Config) -> dict[str, Any]:
    """Return every setting by name, lists as one text, headed by the method as it is compared."""
    values = {"method": config.run.method, **config.by_name()}
    return {name: " ".join(map(str, value)) if isinstance(value, tuple) else value for name, value in values.items()}


def hparams_of(config: Config, kind: str) -> dict[str, Any]:
    """Return the settings by which the results of two runs may differ.

    TensorBoard shows the first few columns in the order of their names. So the settings by which runs are grouped keep
    their names, and the others are named settings.NAME.
    """
    shown = {config.subject: config.run.env, "kind": kind, "method": config.run.method, "seed": config.run.seed}
    left_out = {*names_with(config.run, "record", "machine"), *shown, "reinit", "regularize"}
    rest = {name: value for name, value in flat_config(config).items() if name not in left_out}
    return shown | {f"settings.{name}": value for name, value in rest.items()}


def _printable(text: str) -> str:
    return re.sub(r"\s+", " ", "".join(letter if letter.isprintable() else " " for letter in text))[:600]

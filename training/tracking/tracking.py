"""All trackers of a run: each is told everything, and one that is left out is said once."""

import os
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from ..config import Config
from ..durable import Damaged
from ..files import read_json, write_json
from ..folder import TRACKED
from ..settings import names_with
from .names import trackers_of
from .process import FINISH_LIMIT, TrackerProcess, wait_for

ATTENDED_EVERY = 0.2  # seconds
Id = Annotated[str, Meta(pattern=r"^[a-z0-9]{8,32}$")]


class Kept(Struct, frozen=True):
    """By which a run is found again where it is tracked, by the tracker's name."""

    ids: Annotated[dict[Annotated[str, Meta(max_length=200)], Id], Meta(max_length=100)] = {}


class Tracking:
    """The trackers of a run, in the order of `--track`; without any, nothing happens in any verb."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        """Begin to import them."""
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
        """Wait until all are imported; ValueError, in one line, where one cannot be."""
        for tracker in self.trackers:
            tracker.require_ready()

    def begin(self, folder: Path, about: Mapping[str, Any]) -> None:
        """A run begins, or goes on under the ids that its folder keeps."""
        if not self.trackers:
            return
        ids = self._ids(folder)
        fresh = {each.name: secrets.token_hex(8) for each in self.trackers if each.name not in ids}
        if fresh:
            try:
                write_json(folder / TRACKED, {"ids": ids | fresh})
            except OSError as error:
                why = error.strerror or error
                self._warn(f"{folder / TRACKED} cannot be written ({why}): resumed, it is recorded as a new run")
        for tracker in self.trackers:
            tracker.tell("begin", about={**about, "id": (ids | fresh)[tracker.name]})
        self._say_news()

    def _ids(self, folder: Path) -> dict[str, str]:
        """Those that the run's folder keeps."""
        try:
            return dict(read_json(folder / TRACKED, Kept).ids) if os.path.lexists(folder / TRACKED) else {}
        except (Damaged, OSError) as error:
            self._warn(f"{error}: the run is recorded as a new one")
            return {}

    def scalars(self, values: Mapping[str, float], step: int, line: int) -> None:
        self._tell("scalars", values=dict(values), step=step, line=line)

    def histogram(self, name: str, values: Sequence[float], step: int, line: int) -> None:
        self._tell("histogram", name=name, values=list(values), step=step, line=line)

    def picture(self, name: str, path: Path, step: int, line: int) -> None:
        self._tell("picture", name=name, path=str(path.absolute()), step=step, line=line)

    def attend(self) -> None:
        """Look after them, where a run has nothing to say for a while."""
        if not self.trackers or time.monotonic() - self._attended < ATTENDED_EVERY:
            return
        self._attended = time.monotonic()
        for tracker in self.trackers:
            tracker.attend()
        self._say_news()

    def finish(self, ending: str, summary: Mapping[str, float] | None = None) -> None:
        """The run's process ends: each tracker has a limited time to finish."""
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
        """Each tracker with where its record is, or that it is incomplete."""
        found = []
        for tracker in self.trackers:
            where = tracker.where or "no place given"
            said = where if tracker.lost is None else f"incomplete ({tracker.lost}): {where}"
            found.append((tracker.name, _printable(said)))
        return found

    def close(self) -> None:
        for tracker in self.trackers:
            tracker.close()

    def _tell(self, verb: str, **values: Any) -> None:
        if not self.trackers:
            return
        for tracker in self.trackers:
            tracker.tell(verb, **values)
        self._say_news()

    def _warn(self, text: str) -> None:
        self.say(f"warning: {_printable(text)}")

    def _say_news(self) -> None:
        """Where a tracker has its record, and why one is left out, each once."""
        for tracker in self.trackers:
            if tracker.where is not None and f"{tracker.name} where" not in self._said:
                self._said.add(f"{tracker.name} where")
                self.say(f"{tracker.name}: {_printable(tracker.where)}")
            if tracker.lost is not None and tracker.name not in self._said:
                self._said.add(tracker.name)
                self._warn(f"the run goes on without {tracker.name}: {tracker.lost}")


def about_run(
    folder: Path, config: Config, counts: Sequence[str], branch_from: str | None, step: int | None
) -> dict[str, Any]:
    """What a tracker is told of a run when it begins: plain values."""
    run, metric = config.run, config.metric
    inherited = {"trunk"} if branch_from is not None else set[str]()
    tags = tuple(tag for tag in dict.fromkeys(run.track_tags) if tag not in inherited)
    kind = "branch" if branch_from is not None else "trunk" if "trunk" in tags else "run"
    return {
        "folder": str(folder.absolute()),
        "name": folder.absolute().name,
        "kind": kind,
        "project": run.track_project,
        "group": run.track_group,
        "tags": list(tags),
        "config": flat_config(config) | {"kind": kind, "branch_from": branch_from},
        "axis": run.progress,
        "counts": list(counts),
        "metric": {
            "name": metric.name, "tag": f"evaluation/{metric.name}", "unit": metric.unit, "better": metric.better
        },
        "continued_at": step,
    }  # fmt: skip


def flat_config(config: Config) -> dict[str, Any]:
    """Every setting by name, a list as one text, with the method that is compared first."""
    values = {"method": config.run.method, **config.by_name()}
    return {name: " ".join(map(str, value)) if isinstance(value, tuple) else value for name, value in values.items()}


def hparams_of(config: Config, kind: str) -> dict[str, Any]:
    """What may make the results of two runs differ. TensorBoard shows the first few columns, by their names: these are
    what runs are grouped by, and the rest is called settings.NAME."""
    subject = config.subject
    shown = {subject: config.run.env, "kind": kind, "method": config.run.method, "seed": config.run.seed}
    left_out = {*names_with(config.run, "record", "machine"), *shown, "reinit", "regularize"}
    rest = {name: value for name, value in flat_config(config).items() if name not in left_out}
    return shown | {f"settings.{name}": value for name, value in rest.items()}


def _printable(text: str) -> str:
    return re.sub(r"\s+", " ", "".join(letter if letter.isprintable() else " " for letter in text))[:600]

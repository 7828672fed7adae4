"""What a run tells while it goes on: lines of metrics, lines on the terminal, the progress bar and pictures."""

import gc
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fire_rl.fire import Position

from .bar import RunBar
from .config import Config
from .curve import draw_curve, draw_measures
from .divergence import require_finite
from .files import METRICS
from .history import History
from .log import RunLog
from .phase_picture import draw_phases
from .progress import Progress
from .threads import Slowdown
from .tracking.tracking import Tracking
from .work import Work

SHARE_OF_PICTURES = 0.05  # of the running time that drawing one picture may take


@dataclass(frozen=True)
class _Drawn:
    """A picture's last drawing: the number of lines that it shows, and the time before which it is not drawn again."""

    lines: int
    rests_until: float


Draw = Callable[[History, Path, str], object]


def pictures_of(history: History, config: Config) -> dict[str, Draw]:
    """Return the functions that draw a run's pictures, by the names of the files."""
    pictures: dict[str, Draw] = {"curve.png": draw_curve, "measures.png": draw_measures}
    if history.phases.points():
        pictures["phases.png"] = partial(draw_phases, starts=config.run.phase_starts)
    return pictures


def draw_missing(folder: Path, config: Config) -> list[str]:
    """Draw those pictures of a finished run that are missing or older than its metrics; return warnings."""
    last_line = (folder / METRICS).stat().st_mtime_ns

    def stale(name: str) -> bool:
        path = folder / name
        return not path.exists() or path.stat().st_mtime_ns < last_line

    expected = {"curve.png": True, "measures.png": config.run.measure_every, "phases.png": config.run.phase_starts}
    if not any(stale(name) for name, has_one in expected.items() if has_one):
        return []
    warnings, history = [], History.read(folder, config.reader)
    for name, draw in pictures_of(history, config).items():
        try:
            if stale(name):
                draw(history, folder, title_of(config))
        except Exception as error:  # as in `Reporter.attempt`
            warnings.append(f"no {name} ({reason_of(error)})")
    return warnings


def title_of(config: Config) -> str:
    """Return a run's name in its pictures and its progress bar."""
    return f"{config.run.env} {config.run.method} seed {config.run.seed}"


def reason_of(error: Exception) -> str:
    """Return an error's type and message; of the operating system's, without names of files, which may differ."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else error
    return f"{type(error).__name__}: {words}"


class Reporter:
    """Writes, prints and draws for the driver and for its work; it never decides what is due."""

    def __init__(self, folder: Path, config: Config, work: Work, progress: Progress, tracking: Tracking) -> None:
        self.folder, self.config, self.metric = folder, config, config.metric
        self.work, self.progress = work, progress
        self.title = title_of(config)
        self.log = RunLog(folder, config.reader, tracking)
        self._begun = time.perf_counter() - progress.seconds
        self._logged = (time.perf_counter(), Position(progress.updates, work.steps))
        self._update_rate = 0.0  # updates per second between the last two lines of training metrics
        self._slowdown = Slowdown()
        self._drawn: dict[str, _Drawn] = {}
        self._to_send: dict[str, None] = {}  # names of pictures, in the order in which they were drawn
        self._reported: set[tuple[str, str]] = set()  # what has failed, and why
        self.bar = RunBar(
            total=config.run.steps, initial=work.steps, unit="step", unit_scale=True, dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else 30, smoothing=0.05, desc=self.title,
        )  # fmt: skip
        bar = self.bar
        tracking.say = lambda line: bar.write(line, file=sys.stderr if line.startswith("warning") else sys.stdout)

    @property
    def seconds(self) -> float:
        """The running time so far, without interruptions."""
        return time.perf_counter() - self._begun

    # For the work too

    def write(self, kind: str, values: Mapping[str, Any]) -> None:
        """Write a line to the run's log, with the counts of the present moment."""
        self.log.write(kind, self.work.counts(self.progress.updates), values)

    def say(self, line: str) -> None:
        """Print a line above the progress bar, headed by the step."""
        self.bar.write(f"step {self.work.steps:,}: {line}")

    def attempt(self, what: str, do: Callable[[], object]) -> None:
        """Do something that the run does not depend on; if it fails, print a warning once and go on."""
        try:
            do()
        except Exception as error:  # graphics libraries and disks raise errors of many kinds
            kind, reason = what.partition("-")[0], reason_of(error)  # all videos are of one kind
            if (kind, reason) not in self._reported:
                self._reported.add((kind, reason))
                self.bar.write(f"warning: no {what} ({reason}); going on", file=sys.stderr)

    # Figures

    def write_training(self, means: Mapping[str, float]) -> None:
        """Write a line of training metrics and rates; raise Diverged if a metric is not finite.

        Print a warning if updates have become much slower, because other processes have taken the cores.
        """
        now, here, (then, there) = time.perf_counter(), Position(self.progress.updates, self.work.steps), self._logged
        elapsed = max(now - then, 1e-9)
        self._update_rate = (here.updates - there.updates) / elapsed
        rates = {
            "seconds": now - self._begun,
            "steps_per_second": (here.progress - there.progress) / elapsed,
            "updates_per_second": self._update_rate,
        }
        self.write("train", {**means, **self.work.figures(), **rates})
        require_finite(means)
        if here.updates > there.updates and (warning := self._slowdown.notice(self._update_rate)):
            self.bar.write(f"warning: {warning}", file=sys.stderr)
        self._logged = (now, here)
        self.show()

    def show(self) -> None:
        """Show the rate of updates and the last evaluation in the progress bar."""
        last = self.progress.last_evaluation
        self.bar.tell(self._update_rate, None if last is None else self.metric.said(last))

    # Pictures

    def draw_curve(self, now: bool = False) -> None:
        """Draw the learning curve."""
        self._draw("curve.png", draw_curve, now)

    def draw_all(self, now: bool = False) -> None:
        """Draw all pictures, and give those that were drawn since the last call to the trackers."""
        for name, draw in pictures_of(self.log.history, self.config).items():
            self._draw(name, draw, now)
        for path in (self.folder / name for name in self._to_send):
            if path.exists():
                self.log.picture(path, self.work.steps)
        self._to_send.clear()

    def _draw(self, name: str, draw: Draw, now: bool) -> None:
        """Draw a picture if there is anything new, unless drawing would take more than a small share of the time.

        `now` draws it in any case: at the end of a run, or when it stops.
        """
        began, lines = time.perf_counter(), self.log.history.count
        last = self._drawn.get(name)
        if last is not None and (last.lines == lines or not (now or began >= last.rests_until)):
            return
        self.attempt(name, lambda: draw(self.log.history, self.folder, self.title))
        gc.collect()  # a picture leaves thousands of objects in reference cycles, which would stay in memory
        ended = time.perf_counter()
        self._drawn[name] = _Drawn(lines, ended + (ended - began) / SHARE_OF_PICTURES)
        self._to_send[name] = None

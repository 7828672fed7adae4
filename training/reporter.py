"""What a run tells while it goes on: lines of metrics, lines on the terminal, the progress bar and pictures."""

import gc
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fire_rl.fire import Position

from .bar import RunBar
from .config import Config
from .curve import draw_curve, draw_measures
from .divergence import require_finite
from .history import History
from .log import RunLog
from .phase_picture import draw_phases
from .progress import Progress
from .threads import Slowdown
from .tracking.tracking import Tracking
from .work import Work


class Reporter:
    """Writes, prints and draws for the driver and for its work; it never decides what is due."""

    def __init__(self, folder: Path, config: Config, work: Work, progress: Progress, tracking: Tracking) -> None:
        self.folder, self.settings, self.metric = folder, config.run, config.metric
        self.work, self.progress = work, progress
        self.title = f"{config.run.env} {config.run.method} seed {config.run.seed}"
        self.log = RunLog(folder, config.reader, tracking)
        self._begun = time.perf_counter() - progress.seconds
        self._logged = (time.perf_counter(), Position(progress.updates, work.steps))
        self._update_rate = 0.0  # updates per second between the last two lines of training metrics
        self._slowdown = Slowdown()
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
            kind, reason = what.partition("-")[0], f"{type(error).__name__}: {error}"  # all videos are of one kind
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

    def draw_curve(self) -> None:
        """Draw the learning curve."""
        self._draw(draw_curve, "curve.png")

    def draw_all(self) -> None:
        """Draw the pictures that take too long to draw at every evaluation, and give all pictures to the trackers."""
        if (self.folder / "curve.png").exists():
            self.log.picture(self.folder / "curve.png", self.work.steps)
        self._draw(draw_measures, "measures.png")
        if self.log.history.phases.points():
            self._draw(partial(draw_phases, starts=self.settings.phase_starts), "phases.png")

    def _draw(self, draw: Callable[[History, Path, str], Path | None], name: str) -> None:
        self.attempt(name, lambda: draw(self.log.history, self.folder, self.title))
        if name != "curve.png" and (self.folder / name).exists():
            self.log.picture(self.folder / name, self.work.steps)
        gc.collect()  # a picture leaves thousands of objects in reference cycles, which would stay in memory

"""Shows the progress of a comparison: a live table on a terminal, plain lines elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fire_rl.training.cost import duration_in_words

from .conduct import Sweep
from .grid import Job
from .states import Standing, standing_of

# States and their colours; those that need attention come first.
STATES = {
    "failed": "red", "no trunk": "red", "diverged": "yellow", "stopping": "yellow", "running": "cyan", "queued": "dim",
    "waiting": "dim", "finished": "green",
}  # fmt: skip
EVERY = 60.0  # seconds between two summaries where there is no terminal


class LiveTable:
    """The table of a comparison; it is called with the sweep whenever something may have changed."""

    def __init__(self, console: Console | None = None, where: Callable[[Job], str | None] = lambda job: "") -> None:
        self.console = console or Console(stderr=True)
        self.where = where  # the machine a run is on; None while it waits for one
        self._live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self._states: dict[str, str] = {}
        self._progress: dict[str, Standing] = {}
        self._began: tuple[float, int] | None = None  # clock and steps done, at the first look
        self._said = time.monotonic()

    def __enter__(self) -> "LiveTable":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, sweep: Sweep) -> None:
        """Show the present state of a sweep."""
        states = {job.name: self._state(sweep, job) for job in sweep.jobs}
        for job in sweep.jobs:
            if states[job.name] in ("running", "stopping") or states[job.name] != self._states.get(job.name):
                self._progress[job.name] = standing_of(job)
        summary = self._summary(sweep, states)
        if self._live:
            rows = max(4, self.console.height - 6)
            self._live.update(table_of(sweep, states, self._progress, self.where, summary, rows), refresh=True)
        else:
            self._say(sweep, states, summary)
        self._states = states

    def _state(self, sweep: Sweep, job: Job) -> str:
        state = sweep.state(job)
        return "queued" if state == "running" and self.where(job) is None else state

    def _summary(self, sweep: Sweep, states: Mapping[str, str]) -> str:
        """Return how many runs have each state, the updates per second of all of them together, and how long the rest
        will take at the speed so far."""
        counts = Counter(states.values())
        text = f"{counts['finished']} of {len(sweep.jobs)} runs finished"
        text += "".join(f", {counts[state]} {state}" for state in STATES if counts[state] and state != "finished")
        rates = [self._progress[job.name].updates_per_second for job in sweep.jobs if states[job.name] == "running"]
        if len(known := [rate for rate in rates if rate is not None]) > 1:
            text += f"; {sum(known):,.0f} updates/s in all"
        live = [job for job in sweep.jobs if states[job.name] not in ("failed", "no trunk", "diverged")]
        left = sum(job.stop - min(self._progress[job.name].step, job.stop) for job in live)
        done = sum(job.stop - job.start for job in live) - left
        now = time.monotonic()
        if self._began is None:
            self._began = now, done
        then, before = self._began
        if left and done > before and now - then > 30 and not sweep.stopping:
            text += f"; about {duration_in_words((now - then) / (done - before) * left)} left"
        stopping = "stopping; each run writes a checkpoint first; Ctrl-C again ends them at once: "
        return stopping + text if sweep.stopping else text

    def _say(self, sweep: Sweep, states: Mapping[str, str], summary: str) -> None:
        for job in sweep.jobs:
            before = self._states.get(job.name)
            if states[job.name] != before and not (before is None and states[job.name] in ("waiting", "finished")):
                print(f"{job.name}: {states[job.name]}{reason(sweep, job)}", file=sys.stderr, flush=True)
        if time.monotonic() - self._said >= EVERY or not self._states:
            print(summary, file=sys.stderr, flush=True)
            self._said = time.monotonic()


def table_of(
    sweep: Sweep, states: Mapping[str, str], progress: Mapping[str, Standing], where: Callable[[Job], str | None],
    summary: str, rows: int,
) -> Table:  # fmt: skip
    """Return a table with a row for each run, up to `rows` of them; those that need attention come first."""
    table = Table(caption=summary, caption_justify="left", expand=True, box=None, pad_edge=False)
    reader = sweep.jobs[0].reader
    metric, subject = reader.metric, "environment" if reader.progress == "environment_steps" else "data"
    several = len({job.env for job in sweep.jobs}) > 1
    axes = list(dict.fromkeys(name for job in sweep.jobs for name in job.place))
    for name in (*((subject,) if several else ()), "method", *(name.replace("_", " ") for name in axes)):
        table.add_column(name, overflow="fold")
    table.add_column("seed", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("", ratio=1)
    for name in ("step", metric.name, "updates/s"):
        table.add_column(name, justify="right", no_wrap=True)
    jobs = sorted(sweep.jobs, key=lambda job: list(STATES).index(states[job.name]))
    for job in jobs[:rows]:
        at, state = progress[job.name], states[job.name]
        machine = where(job)
        begun = at.step > job.start or state in ("running", "stopping")
        share = (min(at.step, job.stop) - job.start) / (job.stop - job.start)
        bar = ProgressBar(1.0, max(0.0, share)) if begun else Text()
        why = reason(sweep, job)
        table.add_row(
            *((Text(job.env),) if several else ()),
            Text(job.method),
            *(Text(job.place.get(name, "")) for name in axes),
            str(job.seed),
            Text(state + (f" on {machine}" if machine else ""), style=STATES[state]),
            Text(why[2:-1] if why.startswith(" (") else why.strip(), style=STATES[state]) if why else bar,
            f"{short(at.step)} of {short(job.stop)}",
            "" if at.evaluation is None else job.reader.metric.said(at.evaluation),
            "" if state != "running" or at.updates_per_second is None else f"{at.updates_per_second:.0f}",
        )
    if len(jobs) > rows:
        table.add_row(Text(f"and {len(jobs) - rows} more", style="dim"))
    return table


def short(count: int) -> str:
    """Return a number of steps in short form: 12.4k, 1.25M."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if count >= 0.9995 * size:  # what is rounded to three digits must not become 1,000
            return f"{count / size:.3g}{letter}"
    return str(count)


def reason(sweep: Sweep, job: Job) -> str:
    """Return why a run failed, where it diverged, or why it cannot begin; nothing for other runs."""
    if failure := sweep.failed.get(job.folder):
        return f" ({failure.reason})"
    if divergence := sweep.diverged.get(job.folder):
        return f" {divergence.said}"
    return f" ({sweep.without_trunk(job)})" if sweep.state(job) == "no trunk" else ""

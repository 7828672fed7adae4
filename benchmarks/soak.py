"""Watches a long run with many events from outside, to find leaks of memory or files, and slowdowns.

    python -m benchmarks.soak --minutes 60 [--agent dqn]

A line is printed every 5 minutes, and a table at the end: memory, open files and threads after a warm-up of 10 minutes,
updates per second by quarter of the time, the checkpoint's size, and the seconds that a stop by SIGTERM takes.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

import tyro

EVERY = 10.0  # seconds between two samples
TOLD_EVERY = 300.0  # seconds between two lines
STOPS_WITHIN = 300  # seconds
LONG = 100_000_000  # environment steps, more than the watched run reaches
METHODS = {
    # An event every few seconds. Only the first ones are evaluated, because they are closer than --eval-every.
    "sac": ("--reinit", "redo", "--reinit-every", "200"),
    "dqn": ("--reinit", "redo", "--reinit-every", "200"),
}


@dataclass(frozen=True)
class Options:
    """Which run is watched, and for how long."""

    minutes: float = 60.0
    """How long the run is watched."""
    agent: Literal["sac", "dqn"] = "sac"
    """Agent of the run; its quick preset."""
    warm_up: float = 10.0
    """Minutes that are left out of the comparison; a sixth of all minutes if that is shorter."""
    method: str | None = None
    """Plasticity method, with --reinit-every 200; unset: redo."""
    keep: bool = False
    """Keep the run's folder."""


@dataclass(frozen=True)
class Sample:
    """The state of the process at one moment."""

    seconds: float  # since its start
    memory: float  # resident, in MB
    files: int
    threads: int
    processor: float  # seconds of processor time used so far


class Rates:
    """The number of updates over time, read from the metrics as they grow."""

    def __init__(self, path: Path) -> None:
        self.path, self.read, self.updates, self.events = path, 0, 0, 0
        self.points: list[tuple[float, int]] = []  # seconds and updates

    def sample(self, seconds: float) -> None:
        """Read the new lines, and record the number of updates at this time."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self.read)
                for line in file:
                    if not line.endswith(b"\n"):  # not yet complete
                        break
                    self.read += len(line)
                    self.updates = json.loads(line)["updates"]
                    self.events += line.startswith(b'{"kind": "event"')
        self.points.append((seconds, self.updates))

    def between(self, begin: float, end: float) -> float:
        """Return the updates per second between two times."""
        within = [point for point in self.points if begin <= point[0] <= end]
        if len(within) < 2 or within[-1][0] == within[0][0]:
            return float("nan")
        return (within[-1][1] - within[0][1]) / (within[-1][0] - within[0][0])


def sample(pid: int, seconds: float) -> Sample | None:
    """Return the state of the process as /proc has it; None if the process has ended."""
    try:
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        files = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
        used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        processor = sum(map(int, used)) / os.sysconf("SC_CLK_TCK")
        return Sample(seconds, int(status["VmRSS"].split()[0]) / 1024, files, int(status["Threads"]), processor)
    except (OSError, KeyError):  # an ended process that was not waited for has no VmRSS
        return None


def watch(process: subprocess.Popen[bytes], rates: Rates, minutes: float) -> list[Sample]:
    """Take samples until the time is over or the run has ended, and print a line every few minutes."""
    start, told, samples = time.monotonic(), 0.0, list[Sample]()
    while (seconds := time.monotonic() - start) < 60 * minutes and process.poll() is None:
        if (found := sample(process.pid, seconds)) is not None:
            samples.append(found)
        rates.sample(seconds)
        if seconds - told >= TOLD_EVERY and samples:
            rate, last = rates.between(told, seconds), samples[-1]
            print(
                f"{seconds / 60:6.0f} min  {last.memory:8.0f} MB  {last.files:4d} files  {last.threads:3d} threads  "
                f"{rate:7.1f} updates/s  {rates.updates:10,d} updates  {rates.events:6,d} events",
                flush=True,
            )
            told = seconds
        time.sleep(min(EVERY, max(0.1, 60 * minutes - seconds)))
    return samples


def stop(process: subprocess.Popen[bytes]) -> tuple[float | None, int]:
    """Stop the run by SIGTERM; return the seconds that this takes (None if it had ended) and the exit code."""
    if process.poll() is not None:
        return None, process.returncode
    start = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(STOPS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    return time.perf_counter() - start, code


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _processor(samples: Sequence[Sample], begin: float, end: float) -> float:
    """Seconds of processor time between two moments."""
    within = [each for each in samples if begin <= each.seconds <= end]
    return within[-1].processor - within[0].processor if len(within) > 1 else float("nan")


def show(samples: Sequence[Sample], rates: Rates, warm_up: float, folder: Path) -> None:
    """The table."""
    end = samples[-1].seconds
    first = [each for each in samples if each.seconds <= warm_up] or list(samples[:1])
    rest = [each for each in samples if each.seconds > warm_up] or list(samples[-1:])
    base = median(each.memory for each in first[len(first) // 2 :])  # of the warm-up's second half
    memory = [each.memory for each in rest]
    print(f"{'after the warm-up of':34s} {warm_up / 60:.1f} of {end / 60:.1f} minutes")
    print(f"{'resident memory, end of warm-up':34s} {base:.0f} MB")
    print(f"{'  then: median, maximum, last':34s} ", end="")
    print(", ".join(f"{100 * value / base:.1f}%" for value in (median(memory), max(memory), memory[-1])))
    for name in ("files", "threads"):
        values = [getattr(each, name) for each in rest]
        print(f"{'open ' + name if name == 'files' else name:34s} {min(values)} to {max(values)}")
    quarters = [rates.between(end * quarter / 4, end * (quarter + 1) / 4) for quarter in range(4)]
    print(f"{'updates/s by quarter':34s} " + ", ".join(f"{rate:.1f}" for rate in quarters))
    used = [_processor(samples, end * quarter / 4, end * (quarter + 1) / 4) for quarter in range(4)]
    rates_of_it = [rate * end / 4 / seconds for rate, seconds in zip(quarters, used, strict=True)]
    print(f"{'  per second of processor time':34s} " + ", ".join(f"{rate:.1f}" for rate in rates_of_it))
    print(f"{'updates, events':34s} {rates.updates:,}, {rates.events:,}")
    checkpoints = sorted((folder / "checkpoints").glob("[0-9]*"))
    if checkpoints:
        newest = checkpoints[-1]
        print(f"{'newest checkpoint':34s} {size_of(newest) / 1e6:.2f} MB", end=", ")
        print(f"its state.json {(newest / 'state.json').stat().st_size / 1e3:.1f} kB")
    print(f"{'metrics, TensorBoard, replay':34s} ", end="")
    events = sum(path.stat().st_size for path in folder.glob("events.*"))
    sizes = ((folder / "metrics.jsonl").stat().st_size, events, size_of(folder / "replay"))
    print(", ".join(f"{size / 1e6:.1f} MB" for size in sizes))


def main(options: Options) -> int:
    """Watch a run, stop it, and print the table."""
    place = Path(tempfile.mkdtemp(prefix="soak-"))
    folder, log = place / "run", place / "log"
    method = ("--reinit", options.method, "--reinit-every", "200") if options.method else METHODS[options.agent]
    command = [sys.executable, f"train_{options.agent}.py", "--preset", "quick", *method]
    # The replay is so small that it is full before the warm-up ends: a larger one would still grow afterwards.
    command += ["--steps", str(LONG), "--threads", "1", "--replay-capacity", "5000", "--run-dir", str(folder)]
    print(" ".join(command[1:]), flush=True)
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        rates = Rates(folder / "metrics.jsonl")
        try:
            samples = watch(process, rates, options.minutes)
        finally:
            seconds, code = stop(process)
    if not samples or not folder.exists():
        print(log.read_text(errors="replace")[-2000:])
        return 1
    show(samples, rates, 60 * min(options.warm_up, options.minutes / 6), folder)
    print(
        f"{'stopped by SIGTERM in':34s} " + ("the run had ended by itself" if seconds is None else f"{seconds:.1f} s")
    )
    print(f"{'exit code':34s} {code}")
    if code not in (0, 130):
        print(log.read_text(errors="replace")[-2000:])
        print(f"the run is in {place}")
        return 1
    if options.keep:
        print(f"the run is in {place}")
    else:
        shutil.rmtree(place)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Options, description=__doc__)))

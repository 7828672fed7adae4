"""Starts two processes for one run's folder at the same moment: one must do the run, the other be refused in one line.

    python -m benchmarks.races [--times 20] [--agent dqn --env MinAtar/Breakout-v1]

Each pair of command lines is raced several times; the second process begins a random delay before or after the first.
A table is printed. The exit code is 1 if both processes did the run, both were refused, a refusal was not one line, or
the run differs from an undisturbed one.
"""

import fcntl
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from benchmarks.differences import differences

from .killed import HANGS_AFTER, PROCESSES, begin_server, judge, live, one_life
from .torture import SETTINGS

REFUSED = 2  # the exit code
PROGRESS = re.compile(r"step/s|\d+%\|")


@dataclass(frozen=True)
class Options:
    """Which runs are raced, and how often."""

    agent: Literal["sac", "dqn"] = "sac"
    """Agent of the runs."""
    env: str | None = None
    """Environment; unset: h1-walk for sac, CartPole-v1 for dqn."""
    times: int = 20
    """Races of each pair."""
    seed: int = 0
    """Seed of the delays."""


@dataclass(frozen=True)
class Race:
    """The command lines of two processes for one folder."""

    name: str
    first: Callable[[Path], list[str]]
    second: Callable[[Path], list[str]]
    before: Path | None = None  # the folder is a copy of this one when the race begins
    late: bool = False  # whether the second process asks for its lock only after the first has ended
    delay: float = 0.2  # the largest number of seconds between the two


@dataclass
class Result:
    """The results of the races of one pair."""

    won: Counter[str] = field(default_factory=Counter)  # how often the first and the second process did the run
    refusals: Counter[str] = field(default_factory=Counter)  # messages of refusals, without names and numbers
    failures: list[str] = field(default_factory=list)


def racing(
    script: str, arguments: Sequence[str], folder: Path, log: Path, start: Any, delay: float, ended: Any
) -> None:
    """Wait for the start and run a script in this process. If `ended` is given, wait for it before the first lock."""
    lock = fcntl.flock

    def late(descriptor: Any, operation: int) -> None:
        ended.wait(HANGS_AFTER)
        lock(descriptor, operation)

    if ended is not None:
        fcntl.flock = late
    start.wait()
    time.sleep(delay)
    live(script, arguments, folder, log, None)


def race(pair: Race, script: str, folder: Path, delay: float, result: Result, whole: Path) -> None:
    """Do one race. A delay above 0 holds the second process back, one below 0 the first."""
    if pair.before is not None:
        shutil.copytree(pair.before, folder)
    start, ended = PROCESSES.Event(), PROCESSES.Event()
    logs = [folder.with_suffix(f".{number}.log") for number in (1, 2)]
    commands = [pair.first(folder), pair.second(folder)]
    processes = [
        PROCESSES.Process(
            target=racing,
            args=(script, command, folder, log, start, max(0.0, wait), ended if number and pair.late else None),
        )
        for number, (command, log, wait) in enumerate(zip(commands, logs, (-delay, delay), strict=True))
    ]
    for process in processes:
        process.start()
    time.sleep(0.3)  # until both wait for the start
    start.set()
    processes[0].join(HANGS_AFTER)
    ended.set()
    processes[1].join(HANGS_AFTER)
    codes = []
    for process in processes:
        codes.append(process.exitcode)
        if process.exitcode is None:
            process.kill()
            process.join()
    said = [log.read_text(errors="replace") if log.exists() else "" for log in logs]
    # To resume a finished run is allowed and changes nothing.
    allowed = ([0, 2], [2, 0], *([[0, 0]] if "--resume" in commands[1] and not pair.late else []))
    found = [] if codes in allowed else [f"exit codes {codes}"]
    for number, (code, words) in enumerate(zip(codes, said, strict=True)):
        if "Traceback" in words:
            found.append(words.strip()[-1500:])
        lines = [line for line in re.split(r"[\r\n]+", words) if line.strip() and not PROGRESS.search(line)]
        if code == REFUSED:
            result.refusals[re.sub(r"\S*/\S+|\d+", "…", lines[-1] if lines else "nothing")] += 1
            if len(lines) != 1:
                found.append(f"not one line: {lines}")
        if code == 0:
            result.won["first" if number == 0 else "second"] += 1
    if not found:
        found = [f"{folder}: {line}" for line in differences(whole, folder)]
        found += [f"left behind: {path}" for path in (*folder.rglob(".*"), *folder.glob("starting"))]
    result.failures += [f"{pair.name}: {line}" for line in found]
    if not found:
        shutil.rmtree(folder)


def pairs(script: str, new: Sequence[str], place: Path, whole: Path) -> list[Race]:
    """Return the pairs to race, after making the folders that they begin with."""
    half = place / "half"  # an unfinished run
    shorter = list(new)
    shorter[shorter.index("--steps") + 1] = str(int(shorter[shorter.index("--steps") + 1]) // 2)
    life = one_life(script, [*shorter, "--run-dir", str(half)], half, place / "half.log")
    if wrong := judge(life, shorter):
        raise RuntimeError(wrong)
    steps = new[list(new).index("--steps") + 1]

    def begun(folder: Path) -> list[str]:
        return [*new, "--run-dir", str(folder)]

    def resumed(folder: Path) -> list[str]:
        return ["--resume", str(folder), "--steps", steps]

    def again(folder: Path) -> list[str]:
        return ["--resume", str(folder)]

    return [
        Race("new, new", begun, begun),
        Race("new, new after its end", begun, begun, late=True),
        Race("new, resume", begun, again, delay=3.0),
        Race("resume, resume", resumed, resumed, before=half),
        Race("resume, new", resumed, begun, before=half, delay=1.0),
        Race("resume, new after its end", resumed, begun, before=half, late=True),
        Race("finished, new", again, begun, before=whole, delay=1.0),
    ]


def main(options: Options) -> int:
    """Race all pairs, and print the table."""
    start, generator = time.perf_counter(), np.random.default_rng(options.seed)
    script = f"train_{options.agent}"
    env = options.env or {"sac": "h1-walk", "dqn": "CartPole-v1"}[options.agent]
    place = Path(tempfile.mkdtemp(prefix="races-"))
    new, whole = ["--env", env, *SETTINGS[options.agent]], place / "whole"
    begin_server()
    life = one_life(script, [*new, "--run-dir", str(whole)], whole, place / "whole.log")
    if wrong := judge(life, new):
        print(wrong)
        return 1
    failed = 0
    print(f"{'pair':28s} {'races':>5s} {'first':>6s} {'second':>6s} {'wrong':>6s}  message of the refusal")
    for number, pair in enumerate(pairs(script, new, place, whole)):
        result = Result()
        for turn in range(options.times):
            delay = float(generator.uniform(-pair.delay, pair.delay))
            race(pair, script, place / f"run-{number}-{turn}", 0.0 if pair.late else delay, result, whole)
        failed += len(result.failures)
        told = "; ".join(f"{line} ({count})" for line, count in result.refusals.most_common())
        first, second, found = result.won["first"], result.won["second"], len(result.failures)
        print(f"{pair.name:28s} {options.times:5d} {first:6d} {second:6d} {found:6d}  {told}", flush=True)
        for failure in result.failures[:3]:
            print(f"    {failure}", flush=True)
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes")
    if not failed:
        shutil.rmtree(place)
    else:
        print(f"the runs are in {place}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Options, description=__doc__)))

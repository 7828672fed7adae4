"""The part that checks that runs with one seed are equal bit by bit: two uninterrupted, one stopped and resumed."""

import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from fire_rl.training.checkpoint import steps_of

from ..differences import differences
from .loops import LATEST, TINY, end, ended, lines_of, start, stop
from .part import Figures, Rows, Setting

NEVER = str(10**9)
OFTEN = ("--checkpoint-every", NEVER, "--log-every", "100", "--eval-episodes", "1", "--reinit", "fire")


def runs(quick: bool) -> dict[str, tuple[str, list[str], int]]:
    """Return by name the script, its arguments, and the environment step after which one run is asked to stop."""
    walk, minatar = ["--env", "h1-walk", "--preset", "quick"], ["--env", "MinAtar/Breakout-v1", "--preset", "quick"]
    if quick:
        walk += ["--steps", "700", "--learning-starts", "100", "--eval-every", NEVER, "--reinit-at", "400", *TINY]
        minatar += ["--steps", "500", "--learning-starts", "200", "--eval-every", NEVER, "--reinit-at", "300"]
        return {
            "train_sac.py, h1-walk": ("train_sac.py", walk, 500),
            "train_dqn.py, MinAtar/Breakout-v1": ("train_dqn.py", minatar, 350),
        }
    walk += ["--steps", "3000", "--eval-every", "2000", "--reinit-at", "2150"]
    minatar += ["--steps", "3000", "--learning-starts", "1000", "--eval-every", "2000", "--reinit-at", "1400"]
    frames = ["--env", "Breakout", "--replay-capacity", "10000", "--learning-starts", "800", "--eval-every", NEVER]
    return {
        "train_sac.py, h1-walk": ("train_sac.py", walk, 2300),
        "train_dqn.py, MinAtar/Breakout-v1": ("train_dqn.py", minatar, 1600),
        "train_dqn.py, Breakout": ("train_dqn.py", [*frames, "--steps", "2400", "--reinit-at", "1200"], 1400),
    }


def repeated_runs(setting: Setting, rows: Rows) -> None:
    """Run all runs at the same time on a card, or two at a time on a CPU, and add a row for each comparison."""
    with tempfile.TemporaryDirectory() as parent, ThreadPoolExecutor(9 if setting.card else 2) as pool:
        waiting: dict[str, tuple[list[Path], list[Future[Figures]]]] = {}
        for number, (name, (script, words, step)) in enumerate(runs(setting.quick).items()):
            words = [*words, *OFTEN, "--device", setting.device, "--threads", str(setting.threads)]
            folders = [Path(parent) / f"{number}-{kind}" for kind in ("one", "again", "stopped")]
            jobs = [
                pool.submit(to_the_end, setting, script, [*words, "--run-dir", str(folders[0])]),
                pool.submit(stopped_and_resumed, setting, script, words, folders[2], step),
                pool.submit(to_the_end, setting, script, [*words, "--run-dir", str(folders[1])]),
            ]
            waiting[name] = folders, jobs
        for name, (folders, jobs) in waiting.items():
            rows.add(name, partial(judged, folders, jobs))


def to_the_end(setting: Setting, script: str, words: Sequence[str]) -> Figures:
    """Run a script until it ends by itself."""
    run = start(script, words)
    try:
        if code := ended(run, script, max(1.0, setting.left - 3)):
            raise RuntimeError(f"{script} ended with exit code {code}; its output is in log.txt")
    finally:
        end(run)
    return {}


def stopped_and_resumed(setting: Setting, script: str, words: Sequence[str], folder: Path, step: int) -> Figures:
    """Run a script, stop it when its log has reached an environment step, and resume it to the end."""
    run = start(script, [*words, "--run-dir", str(folder)])
    try:
        while not lines_of(folder) and run.poll() is None and setting.left > LATEST:
            time.sleep(0.1)  # a signal before the first line would kill the run
        while run.poll() is None and reached(folder) < step and setting.left > LATEST:
            time.sleep(0.02)
        if run.poll() is None and reached(folder) < step:
            raise RuntimeError(f"{script} had reached only step {reached(folder)} of {step} when its time was over")
        code = stop(run, script)
    finally:
        end(run)
    at = steps_of(folder)[-1]
    to_the_end(setting, script, ["--resume", str(folder)])
    return {"stopped at step": at if code else "its end, before it could be stopped"}


def reached(folder: Path) -> int:
    """Return the environment step that the run's log has reached."""
    return max((int(line.get("environment_steps", 0)) for line in lines_of(folder)), default=0)


def judged(folders: Sequence[Path], jobs: Sequence[Future[Figures]]) -> Figures:
    """Wait for all three runs, and return in words how the second and third differ from the first."""
    stopped = jobs[1].result()
    for job in jobs:
        job.result()
    one, again, resumed = folders
    return dict(stopped) | {"run again": in_words(one, again), "stopped and resumed": in_words(one, resumed)}


def in_words(one: Path, other: Path) -> str:
    """Return in words how two runs differ, and print the differences."""
    found = differences(one, other)
    for line in found[:20]:
        print(f"{one.name} and {other.name}: {line[:300]}", file=sys.stderr)
    return f"{len(found)} DIFFERENCES" if found else "equal bit by bit"

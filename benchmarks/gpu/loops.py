"""The parts that run the training scripts for a while and read the rates from their logs."""

import itertools
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fire_rl.envs import AtariSettings
from fire_rl.envs.world import World
from fire_rl.training.files import read_json
from fire_rl.training.lines import read_lines

from ..timing import pace
from .conduct import ROOT
from .part import Figures, Rows, Setting

STOPS = 15.0  # seconds in which a run must end after it was asked to stop
LATEST = STOPS + 3  # seconds before the part's limit at which a run is asked to stop at the latest
ALONE = "the environment alone"
TINY = ("--critic-width", "16", "--actor-width", "16", "--batch-size", "16")


def h1_walk(setting: Setting, rows: Rows) -> None:
    """Add rows for SAC at its published sizes, and for the environment alone, which limits the whole loop."""
    world = World("h1-walk", action_repeat=2)
    rows.add(ALONE, partial(environment_alone, setting, world, 1))
    words = ["--env", "h1-walk", "--learning-starts", "1000", "--log-every", "500"]
    if setting.quick:
        words = ["--env", "h1-walk", "--learning-starts", "60", "--log-every", "50", "--steps", "400", *TINY]
    for precision in ("tf32", "float32"):
        name, more = f"train_sac.py --env h1-walk, {precision}", ["--precision", precision]
        if precision == "float32":
            rows.add(name, partial(loop, setting, "train_sac.py", [*words, *more], 12.0))
        else:
            rows.on_a_card(setting, name, partial(loop, setting, "train_sac.py", [*words, *more], 12.0))


def breakout(setting: Setting, rows: Rows) -> None:
    """Add rows for DQN at its published sizes, except for a smaller replay, and for the four environments alone."""
    rows.add(ALONE, partial(environment_alone, setting, World("Breakout", atari=AtariSettings()), 4))
    words = ["--env", "Breakout", "--replay-capacity", "100000", "--learning-starts", "2000", "--log-every", "1000"]
    if setting.quick:
        words = ["--env", "Breakout", "--replay-capacity", "1000", "--learning-starts", "40", "--log-every", "40"]
        words += ["--steps", "120"]
    rows.add("train_dqn.py --env Breakout, float32", partial(loop, setting, "train_dqn.py", words, 15.0))


def environment_alone(setting: Setting, world: World, members: int) -> Figures:
    """Return the rate of an environment's steps with random actions."""
    environment = world.vector(members, seed=0)
    environment.action_space.seed(0)
    actions = itertools.cycle([environment.action_space.sample() for _ in range(100)])
    environment.reset()
    taken = pace(
        lambda: environment.step(next(actions)), torch.device("cpu"), 0.1 if setting.quick else setting.seconds
    )
    environment.close()
    return {"decisions/s": members / taken.done, "us of a decision": 1e6 * taken.done / members}


def loop(setting: Setting, script: str, words: Sequence[str], length: float) -> Figures:
    """Return the rates of a run that is asked to stop `length` seconds after its first logged update.

    With --quick, the run is short and ends by itself.
    """
    length = math.inf if setting.quick else length
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "run"
        never = str(10**9)
        common = ["--device", setting.device, "--eval-every", never, "--checkpoint-every", never]
        common += ["--eval-episodes", "1"] if script == "train_sac.py" else ["--eval-steps", "4"]
        common += [] if setting.card else ["--threads", str(setting.threads)]
        begun = time.monotonic()
        run = start(script, [*words, *common, "--run-dir", str(folder)])
        try:
            while run.poll() is None and not updates_of(folder) and setting.left > LATEST:
                time.sleep(0.2)
            first = time.monotonic() - begun
            if run.poll() is None and not updates_of(folder):
                raise RuntimeError(f"no update was logged within {first:.0f} s")
            while run.poll() is None and time.monotonic() < begun + first + length and setting.left > LATEST:
                time.sleep(0.2)
            if not (setting.quick and run.poll() == 0):
                stop(run, script)
        finally:
            end(run)
        return {"s until it learns": first} | rates_of(folder)


def start(script: str, words: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a training script with the same output as this part."""
    return subprocess.Popen([sys.executable, str(ROOT / script), *words], cwd=ROOT, stdin=subprocess.DEVNULL)


def stop(run: subprocess.Popen[bytes], script: str) -> int:
    """Ask a run to stop, wait for it, and return its exit code: 130 if it was stopped, 0 if it had ended before."""
    run.send_signal(signal.SIGTERM)
    code = ended(run, script, STOPS)
    if code not in (0, 130):
        raise RuntimeError(f"{script} ended with exit code {code}; its output is in log.txt")
    return code


def ended(run: subprocess.Popen[bytes], script: str, patience: float) -> int:
    """Wait for the end of a run, and return its exit code."""
    try:
        return run.wait(patience)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{script} did not end within {patience:.0f} s") from None


def end(run: subprocess.Popen[bytes]) -> None:
    """Kill a run that is still running."""
    if run.poll() is None:
        run.kill()
        run.wait()


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """Return the complete lines of the run's metrics."""
    path = folder / "metrics.jsonl"
    return list(read_lines(path)) if path.exists() else []


def updates_of(folder: Path) -> int:
    """Return the number of updates that the run has logged."""
    return max((int(line.get("updates", 0)) for line in lines_of(folder)), default=0)


def rates_of(folder: Path) -> dict[str, float | int | str]:
    """Return the rates of a run: medians over its logged lines with updates, without the first one."""
    lines = [line for line in lines_of(folder) if line["kind"] == "train"]
    learning = [line for line in lines if line.get("updates_per_second", 0) > 0]
    if not learning:
        raise RuntimeError("no update was logged in the time that was left")
    repeat = read_json(folder / "config.json")["run"]["action_repeat"]
    before = [line["steps_per_second"] / repeat for line in lines if line not in learning]
    later = learning[1:] or learning
    return {
        "updates/s": statistics.median(line["updates_per_second"] for line in later),
        "best": max(line["updates_per_second"] for line in later),
        "decisions/s": statistics.median(line["steps_per_second"] for line in later) / repeat,
        "without learning": statistics.median(before) if before else "not seen",
        "updates": lines[-1]["updates"],
        "cores": len(os.sched_getaffinity(0)),
    }

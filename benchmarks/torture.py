"""Kills runs again and again at random places and resumes them: each must equal the run that was not killed.

    python -m benchmarks.torture --agent sac --kills 50
    python -m benchmarks.torture --agent dqn --env Breakout --method redo

A kill is SIGKILL, after a random time or just before the n-th file operation of one kind; before a write, the first
half of it is written. A table is printed. The exit code is 1 if a run differs, fails or leaves incomplete files behind.
"""

import json
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from benchmarks.differences import differences
from fire_rl.fire import parse_method
from fire_rl.training.folder import is_run

from .killed import TIME, Death, begin_server, judge, one_life

COMMON = ("--threads", "1", "--device", "cpu")
SETTINGS = {
    "sac": (
        *("--steps", "480", "--learning-starts", "40", "--critic-width", "8", "--actor-width", "8"),
        *("--batch-size", "16", "--replay-capacity", "150", "--eval-every", "240", "--eval-episodes", "1"),
        *("--log-every", "50", "--checkpoint-every", "110", "--checkpoint-at", "240", "--measure-every", "100"),
        *COMMON,
    ),
    "dqn": (
        *("--steps", "800", "--num-envs", "2", "--learning-starts", "60", "--replay-ratio", "0.25"),
        *("--replay-capacity", "200", "--batch-size", "4", "--hidden-width", "8", "--target-every", "20"),
        *("--eval-every", "300", "--eval-steps", "40", "--log-every", "100", "--checkpoint-every", "130"),
        *("--checkpoint-at", "400", "--measure-every", "50", *COMMON),
    ),
}
EVERY = {"sac": "151", "dqn": "31"}  # updates between two events
LONGER = {"sac": ("240", "600"), "dqn": ("400", "1000")}  # the steps at which branches begin and end


@dataclass(frozen=True)
class Options:
    """Which runs are killed, and how often."""

    agent: Literal["sac", "dqn"] = "sac"
    """Agent of the runs."""
    env: str | None = None
    """Environment; unset: h1-walk for sac, Breakout on the emulator for dqn."""
    kills: int = 50
    """Number of kills after which the table is printed."""
    method: str = "fire"
    """Plasticity method, spelled as for --reinit."""
    seed: int = 0
    """Seed of the places of the kills."""
    keep: bool = False
    """Keep the folders of runs that are equal, too."""


@dataclass
class Tally:
    """The counts so far."""

    kills: Counter[str] = field(default_factory=Counter)  # by kind
    resumes: int = 0
    begun_again: int = 0  # runs that were killed before their folder could be resumed
    compared: Counter[str] = field(default_factory=Counter)  # runs and branches
    failures: list[str] = field(default_factory=list)


def draw_death(generator: np.random.Generator, counts: Counter[str], seconds: float) -> Death:
    """Draw the place of a kill: after a time in a quarter of the cases, else before an operation of a random kind.

    All kinds are equally likely. Early places are more likely than late ones, because the rest of a run may be short.
    """
    kind, share = str(generator.choice(sorted(counts))), float(generator.random() ** 2)
    if generator.random() < 0.25:
        return Death(TIME, share * seconds)
    return Death(kind, 1 + int(share * counts[kind]))


def tortured(
    script: str, arguments: Sequence[str], folder: Path, draw: Callable[[], Death | None], tally: Tally
) -> bool:
    """Kill and resume one run until it ends by itself; return whether it ended without an error."""
    command = [*arguments, "--run-dir", str(folder)]
    while True:
        death = draw()
        life = one_life(script, command, folder, folder.with_suffix(".log"), death)
        if life.code != -signal.SIGKILL or death is None:
            if wrong := judge(life, command):
                tally.failures.append(wrong)
            return wrong is None
        tally.kills[death.kind] += 1
        if "Traceback" in life.output:
            tally.failures.append(f"{' '.join(command)}\n    {life.output.strip()[-2000:]}")
        if is_run(folder):
            command, tally.resumes = ["--resume", str(folder)], tally.resumes + 1
        else:
            tally.begun_again += 1


def compare(whole: Path, folder: Path, tally: Tally, what: str) -> bool:
    """Record differences from the run that was not killed, and incomplete files; return whether there are none."""
    found = differences(whole, folder)
    found += [f"left behind: {path.relative_to(folder)}" for path in folder.rglob(".*")]
    found += [f"left behind: {path.name}" for path in folder.glob("starting")]
    tally.compared[what] += 1
    tally.failures += [f"{folder}: {line}" for line in found]
    return not found


def show(tally: Tally, seconds: float) -> None:
    """Print the table."""
    print(f"{'kills by kind':24s} {sum(tally.kills.values())}")
    for kind, count in sorted(tally.kills.items()):
        print(f"  {kind if kind == TIME else 'before ' + kind:22s} {count}")
    print(f"{'resumed':24s} {tally.resumes}")
    print(f"{'begun again':24s} {tally.begun_again}")
    for what, count in sorted(tally.compared.items()):
        print(f"{what + ' compared':24s} {count}")
    print(f"{'differences, failures':24s} {len(tally.failures)}")
    print(f"{'minutes':24s} {seconds / 60:.1f}")
    for failure in tally.failures[:20]:
        print(f"  {failure}")


def main(options: Options) -> int:
    """Kill runs and branches until there were enough kills, and print the table."""
    start, generator, tally = time.perf_counter(), np.random.default_rng(options.seed), Tally()
    script, env = f"train_{options.agent}", options.env or {"sac": "h1-walk", "dqn": "Breakout"}[options.agent]
    place = Path(tempfile.mkdtemp(prefix="torture-"))
    at, longer = LONGER[options.agent]
    acts = parse_method(options.method).acts_at_events
    method = ["--reinit", options.method, *(("--reinit-every", EVERY[options.agent]) if acts else ())]
    whole = {"runs": place / "whole", "branches": place / "whole-branch"}
    commands = {
        "runs": ["--env", env, *SETTINGS[options.agent], *method],
        "branches": ["--branch-from", f"{whole['runs']}@{at}", *method, "--steps", longer],
    }
    begin_server()
    undisturbed: dict[str, tuple[Counter[str], float]] = {}
    for what, folder in whole.items():
        life = one_life(script, [*commands[what], "--run-dir", str(folder)], folder, folder.with_suffix(".log"))
        if wrong := judge(life, commands[what]):
            print(wrong)
            return 1
        undisturbed[what] = Counter(json.loads(folder.with_suffix(".json").read_text())), life.seconds
        print(f"undisturbed, {what}: {life.seconds:.1f} s, {sum(undisturbed[what][0].values())} operations", flush=True)
    number = 0
    while sum(tally.kills.values()) < options.kills and len(tally.failures) < 20:
        number += 1
        what = "branches" if number % 3 == 0 else "runs"
        folder = place / f"run-{number}"

        def draw(what: str = what) -> Death | None:
            return draw_death(generator, *undisturbed[what]) if sum(tally.kills.values()) < options.kills else None

        ended = tortured(script, commands[what], folder, draw, tally)
        if ended and compare(whole[what], folder, tally, what) and not options.keep:
            shutil.rmtree(folder)
    show(tally, time.perf_counter() - start)
    if not tally.failures and not options.keep:
        shutil.rmtree(place)
    else:
        print(f"the runs are in {place}")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Options, description=__doc__)))

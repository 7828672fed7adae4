"""Checks that two checkouts give the same runs bit by bit, for a change that must not change results.

python -m benchmarks.checkouts --before PATH        the other checkout, such as a clone of the commit before

Each case below is trained in both checkouts. Metrics, TensorBoard events and the newest checkpoint with its replay are
compared, without times. Runs of the other checkout are also resumed and branched from in this one.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.differences import differences

HERE = Path(__file__).resolve().parents[1]
SAC = (
    "--env", "h1-walk", "--preset", "quick", "--steps", "1200", "--learning-starts", "200", "--eval-every", "400",
    "--eval-episodes", "2", "--checkpoint-every", "400", "--log-every", "100", "--measure-every", "100",
)  # fmt: skip
PENDULUM = ("--env", "Pendulum-v1", "--action-repeat", "1", *SAC[2:])
DQN = (
    "--preset", "quick", "--steps", "3000", "--learning-starts", "400", "--eval-every", "1000", "--eval-episodes", "2",
    "--checkpoint-every", "1000", "--log-every", "200", "--measure-every", "500", "--exploration-steps", "1000",
)  # fmt: skip
ALE = (
    "--env", "Breakout", "--preset", "paper", "--steps", "800", "--learning-starts", "200", "--eval-every", "400",
    "--eval-steps", "200", "--checkpoint-every", "400", "--log-every", "100", "--replay-capacity", "2000",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A run with its script and flags. It begins at step 0, or from another case's run made by the other checkout."""

    name: str
    script: str
    flags: tuple[str, ...]
    start: str | None = None  # such as "resume sac-fire" or "branch sac-fire@400"


def method(text: str, *flags: str) -> tuple[str, ...]:
    """Return the flags of a method."""
    return ("--reinit", text, *flags)


CASES = (
    Case("sac-fire", "train_sac.py", (*SAC, *method("fire"), "--checkpoint-at", "400")),
    Case("sac-redo", "train_sac.py", (*SAC, *method("redo", "--reinit-every", "150"))),
    Case("sac-cbp", "train_sac.py", (*SAC, *method("cbp"))),
    Case("sac-injection", "train_sac.py", (*SAC, *method("injection"))),
    Case("sac-shrink", "train_sac.py", (*PENDULUM, *method("shrink-perturb", "--reinit-every", "170"))),
    Case("sac-triggered", "train_sac.py",
         (*PENDULUM, *method("reset-head", "--reinit-when", "weight_norm>1", "--reinit-cooldown", "100",
                             "--replay-ratio", "adaptive", "--regularize", "l2-init", "parseval"))),
    Case("dqn-fire", "train_dqn.py", ("--env", "CartPole-v1", *DQN, *method("fire"), "--checkpoint-at", "1000")),
    Case("dqn-redo", "train_dqn.py", ("--env", "MinAtar/Breakout-v1", *DQN, *method("redo"))),
    Case("dqn-cbp", "train_dqn.py", ("--env", "MinAtar/Breakout-v1", *DQN, *method("cbp", "--double", "True"))),
    Case("dqn-injection", "train_dqn.py", ("--env", "CartPole-v1", *DQN, *method("injection", "--n-steps", "3"))),
    Case("dqn-snr", "train_dqn.py", ("--env", "CartPole-v1", *DQN, *method("snr", "--eval-steps", "300"))),
    Case("ale-fire", "train_dqn.py", (*ALE, *method("fire"))),
    Case("ale-dash", "train_dqn.py", (*ALE, *method("dash", "--reinit-every", "150"))),
    Case("sac-resumed", "train_sac.py", ("--steps", "1600"), "resume sac-fire"),
    Case("sac-injection-resumed", "train_sac.py", ("--steps", "1600"), "resume sac-injection"),
    Case("sac-branch", "train_sac.py", ("--reinit", "redo", "--steps", "1000"), "branch sac-fire@400"),
    Case("dqn-resumed", "train_dqn.py", ("--steps", "4000"), "resume dqn-redo"),
    Case("dqn-branch", "train_dqn.py", ("--reinit", "shrink-perturb", "--steps", "2400"), "branch dqn-fire@1000"),
    Case("ale-resumed", "train_dqn.py", ("--steps", "1200"), "resume ale-fire"),
)  # fmt: skip
SWEEP = (
    "--agent", "dqn", "--env", "CartPole-v1", "--reinit", "none", "fire", "redo:tau=0.1+l2-init", "--seeds", "0-1",
    "--branch-at", "0.5", "--jobs", "2", *DQN,
)  # fmt: skip


def main() -> int:
    """Train and compare all cases; return 1 if one differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="the other checkout, with its .venv")
    parser.add_argument("--runs", type=Path, default=Path("/tmp/checkouts"), help="folder for both checkouts' runs")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    parser.add_argument("--only", default="", help="the cases whose names match this pattern")
    options = parser.parse_args()
    cases = [case for case in CASES if re.search(options.only, case.name)]
    before, now = options.runs / "before", options.runs / "now"
    shutil.rmtree(now, ignore_errors=True)
    sources = {_source(case) for case in cases}
    with ThreadPoolExecutor(options.jobs) as pool:
        for stage in (False, True):  # first runs that begin at step 0, then those that begin from them
            begun = [case for case in CASES if bool(case.start) == stage]
            others = [case for case in begun if case in cases or case.name in sources]
            list(pool.map(lambda case: train(options.before, case, before, before), others))
            list(pool.map(lambda case: train(HERE, case, now, before), [case for case in begun if case in cases]))
    failed = [case.name for case in cases if not said(case.name, differences(before / case.name, now / case.name))]
    if re.search(options.only, "sweep") and not compare_sweeps(options.before, before, now):
        failed.append("sweep")
    print(f"{len(failed)} differ: {', '.join(failed)}" if failed else "all are equal, bit by bit")
    return int(bool(failed))


def _source(case: Case) -> str:
    return (case.start or "").partition(" ")[2].partition("@")[0]


def said(name: str, found: Sequence[str]) -> bool:
    """Print the differences of a case, and return whether there are none."""
    print(f"{name}: " + ("equal" if not found else f"{len(found)} differences"), flush=True)
    for line in found[:8]:
        print(f"    {line[:400]}")
    return not found


def train(checkout: Path, case: Case, runs: Path, sources: Path) -> None:
    """Train a case; a finished run of the other checkout is not trained again."""
    folder = runs / case.name
    if (folder / "curve.png").exists() and checkout != HERE:
        return
    shutil.rmtree(folder, ignore_errors=True)
    begin, _, place = (case.start or "").partition(" ")
    words = [*case.flags, "--run-dir", str(folder), "--threads", "1", "--device", "cpu"]
    if begin == "resume":
        shutil.copytree(sources / place, folder)
        words = ["--resume", str(folder), *case.flags]
    elif begin == "branch":
        words = ["--branch-from", str(sources / place), "--run-dir", str(folder), *case.flags]
    call(checkout, case.script, *words)


def call(checkout: Path, *words: str) -> None:
    """Run a script of a checkout; exit with its output if it fails."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(checkout / ".venv/bin/python"), *words], cwd=checkout, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{checkout}: {' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


def compare_sweeps(other: Path, before: Path, now: Path) -> bool:
    """Run a sweep with shared trunks in each checkout, and make each checkout's report on the same runs."""
    for checkout, folder in ((other, before / "sweep"), (HERE, now / "sweep")):
        if not (folder / "report.html").exists():
            call(checkout, "compare.py", "--dir", str(folder), *SWEEP)
    equal = True
    for run in sorted(path.parent.name for path in (before / "sweep").glob("*/config.json")):
        equal &= said(f"sweep {run}", differences(before / "sweep" / run, now / "sweep" / run))
    reports = []
    for checkout, name in ((other, "before"), (HERE, "now")):
        folder = now / f"report-{name}"
        call(checkout, "compare.py", "--report-only", str(before / "sweep"), "--dir", str(folder))
        page = (folder / "report.html").read_text().replace(str(folder), "FOLDER")
        reports.append((page, (folder / "scores.csv").read_text()))
    same = [
        f"{name} differs" for name, one, two in zip(("report.html", "scores.csv"), *reports, strict=True) if one != two
    ]
    return said("report of the same runs", same) and equal


if __name__ == "__main__":
    sys.exit(main())

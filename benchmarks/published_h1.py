"""Computes normalised means over the fourteen H1 tasks at a million steps, from published files of results.

    python -m benchmarks.published_h1 simba_utd2.csv tdmpc2.csv simbaV2_utd2.csv xqc.csv FlashSAC.csv

For each seed, the last evaluation at or before the step is used; the seeds of a task are averaged, then the tasks. The
known means are SimBa .61, TD-MPC2 .71, SimbaV2 .78, XQC .82 and FlashSAC .91; the exit code is 1 if a mean differs. You
have to download the files, from DAVIAN-Robotics/SimbaV2 (results/baseline/simba_utd2.csv, results/baseline/tdmpc2.csv,
results/simbaV2_utd2.csv), danielpalenicek/xqc (results/xqc.csv) and Holiday-Robot/FlashSAC
(results/stateRL_cpusim/FlashSAC.csv).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from fire_rl import envs
from fire_rl.envs.humanoid import TASKS
from fire_rl.experiments.published.files import Published, read_published

KNOWN = {"simba_utd2": 0.61, "tdmpc2": 0.71, "simbaV2_utd2": 0.78, "xqc": 0.82, "FlashSAC": 0.91}


@dataclass(frozen=True)
class Options:
    """The files, and the step."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """CSV files of published results."""
    step: int = 1_000_000
    """Environment steps."""


def task_mean(method: Published, env: str, step: int) -> tuple[float, int] | None:
    """Return the mean of the seeds' normalised last evaluations up to the step, and the number of seeds with one."""
    theirs = method.environment(env)
    series = method.runs[theirs] if theirs else ()
    last = [one.returns[max(steps)] for one in series if (steps := [each for each in one.returns if each <= step])]
    scores = [score for value in last if (score := envs.normalised_score(env, value)) is not None]
    return (float(np.mean(scores)), len(scores)) if scores else None


def main(options: Options) -> int:
    """Print the mean of each method, and return 1 if one differs from the known mean."""
    wrong = 0
    for method in read_published(options.files):
        found = {task: task_mean(method, f"h1-{task}", options.step) for task in TASKS}
        means = [each[0] for each in found.values() if each]
        if len(means) < len(TASKS):
            print(f"{method.name}: {len(means)} of {len(TASKS)} tasks, no mean")
            continue
        seeds = sorted({each[1] for each in found.values() if each})
        mean, known = float(np.mean(means)), KNOWN.get(method.method) if options.step == 1_000_000 else None
        differs = known is not None and round(mean, 2) != known
        told = "" if known is None else f", known as {known:.2f}" + (": DIFFERS" if differs else "")
        print(f"{method.name}: {mean:.4f} over {len(means)} tasks, {' or '.join(map(str, seeds))} seeds each{told}")
        wrong += differs
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Options, description=__doc__)))

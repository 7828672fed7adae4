"""What a repair after FIRE's projection gains: the area of the dip, the final return and trainability, from one trunk.

    python -m benchmarks.dip --agent dqn --env MinAtar/SpaceInvaders-v1 --replay-ratio 4 --dir runs/dip-dqn
    python -m benchmarks.dip --agent sac --env Hopper-v5 --action-repeat 1 --steps 7000 --dir runs/dip-sac

First compare.py trains the trunks and the branches of all methods at half of the run, by its quick preset; if the
folder has some of these runs, it makes the others. Then each trunk's checkpoint is loaded, every method acts on a copy
of its networks, and probes measure what these can learn (docs/diagnosis.md). The result is one Markdown table of means
over the trunks, with the difference to `fire` and its exact 95% interval, from all sign flips of the paired differences
(10 trunks: 1,024). It is also written to dip.md in the folder, and each value of trainability to trainability.csv.
The dip of a run that never regains its level ends where the run ends, with its duration and its area; the column
"regained" counts the others. Flags that this command does not have are passed on to compare.py.
"""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from msgspec import Struct

from fire_rl.agents.captured import products_in
from fire_rl.commands.compare import body as compare
from fire_rl.commands.compare import make_grid
from fire_rl.commands.compare_options import read_options
from fire_rl.experiments.analysis.analyse import analyse
from fire_rl.experiments.analysis.found import Found, find_runs
from fire_rl.experiments.analysis.method_results import Gap, MethodResults, RunScores
from fire_rl.experiments.analysis.permutations import permutations
from fire_rl.experiments.analysis.records import Run
from fire_rl.experiments.analysis.results import Comparison, Options
from fire_rl.experiments.analysis.scoring import NOTHING
from fire_rl.experiments.diagnosis.loaded_run import load_run
from fire_rl.experiments.diagnosis.remedies import RemedyTests, methods_of
from fire_rl.experiments.diagnosis.subjects import subjects_of
from fire_rl.experiments.report import wording
from fire_rl.experiments.report.spreadsheet import write_table
from fire_rl.experiments.sweep.grid import Job, asked_for
from fire_rl.experiments.sweep.plan import plan
from fire_rl.fire import parse_method
from fire_rl.fire.probe import Probe
from fire_rl.training import command_line
from fire_rl.training.durable import Damaged, write_durably
from fire_rl.training.files import read_json, write_json
from fire_rl.training.folder import is_run
from fire_rl.training.memory import keep_large_blocks

AGAINST = "fire"  # the method that the others are compared with
KEPT = "trainability"  # folder of the measured trunks, inside that of the runs

Scores = Mapping[str, Mapping[str, float]]  # trainability by method and network


@dataclass(frozen=True)
class Asked:
    """What is compared."""

    dir: Path
    """Folder of the runs, the reports and the table."""
    agent: Literal["dqn", "sac"] = "dqn"
    """The agent."""
    env: str = "MinAtar/SpaceInvaders-v1"
    """The environment."""
    methods: tuple[str, ...] = (
        "none", "fire", "fire:repair=head", "fire:repair=distil", "fire:scale=true", "fire:repair=head,scale=true",
    )  # fmt: skip
    """Methods, spelled as for --reinit, without regularizers and schedules; fire must be one of them."""
    seeds: str = "0-9"
    """Seeds; each has a trunk of its own."""
    steps: int | None = None
    """Environment steps of a whole run; unset: those of the quick preset."""
    replay_ratio: float | None = None
    """Gradient updates for each transition; unset: that of the quick preset."""
    probe_updates: int = 200
    """Gradient updates of a probe of trainability."""
    probe_seeds: int = 5
    """Number of probe seeds, 3 to 11."""
    probe_rates: tuple[float, ...] = (1e-3,)
    """Learning rates of the probes. Of several, each network is probed at its best one for the first probe seed."""
    threads: int = 1
    """CPU threads of each run."""
    jobs: int = 1
    """Runs at the same time."""

    @property
    def probe(self) -> Probe:
        """The probe of trainability; raise ValueError, with the name of the flag, if there is no such probe."""
        if self.probe_updates < Probe.points:
            raise ValueError(f"--probe-updates {self.probe_updates} given; allowed are {Probe.points} or more")
        try:
            return Probe(self.probe_updates, self.probe_rates, self.probe_seeds)
        except ValueError as error:  # it begins with the name of the wrong value
            raise ValueError(f"--probe-{error}") from error


class Measured(Struct, frozen=True):
    """The trainability of one trunk, as it is kept in a file: the probe, the step and the scores."""

    probe: dict[str, Any]
    step: int
    scores: dict[str, dict[str, float]]


def words_of(asked: Asked, more: Sequence[str]) -> list[str]:
    """Return the command line of compare.py, with further words."""
    words = ["--agent", asked.agent, "--preset", "quick", "--env", asked.env, "--reinit", *asked.methods]
    words += ["--seeds", asked.seeds, "--branch-at", "0.5", "--dir", str(asked.dir), "--baseline", AGAINST]
    words += ["--threads", str(asked.threads), "--jobs", str(asked.jobs)]
    words += [] if asked.steps is None else ["--steps", str(asked.steps)]
    words += [] if asked.replay_ratio is None else ["--replay-ratio", f"{asked.replay_ratio:g}"]
    return [*words, *more]


def checked(asked: Asked, words: Sequence[str]) -> tuple[Job, ...]:
    """Return the runs to make; raise ValueError, before anything runs, for values that cannot be measured later."""
    if AGAINST not in asked.methods:
        raise ValueError(f"--methods {' '.join(asked.methods)} given; {AGAINST} must be one of them")
    _ = asked.probe
    for path in sorted((asked.dir / KEPT).glob("*.json")):
        read_measured(path)
    grid = make_grid(*read_options(words))
    if len(grid.points) > 1:
        several = ", ".join(axis.flag for axis in grid.axes)
        raise ValueError(f"{several} given with several values; allowed is one, because there is one table")
    jobs = plan(grid)
    presets = asked_for(grid.points[0], asked.env).published
    for text in asked.methods:
        if text != NOTHING and not parse_method(text, presets).acts_at_events:
            raise ValueError(f"--methods {text} given; allowed are none, and methods that act at events")
    return jobs


def read_measured(path: Path) -> Measured:
    """Return what a file of measured trainability holds; raise ValueError, in one line, if it is damaged."""
    try:
        return read_json(path, Measured)
    except Damaged as error:
        raise ValueError(f"{error}; without this file, its trunk is measured again") from error


def measured(found: Found, asked: Asked) -> dict[int, Scores]:
    """Return the trainability by the trunks' seeds; a trunk that cannot be measured is skipped, with a line."""
    steps = {run.branch.trunk: run.branch.step for run in found.runs if run.branch}
    scores: dict[int, Scores] = {}
    for trunk in found.trunks:
        try:
            if trunk.diverged:
                raise ValueError(f"it diverged {trunk.diverged.said}")
            scores[trunk.seed] = scores_of(trunk, steps.get(trunk.folder, trunk.steps), asked)
        except ValueError as error:
            print(f"{trunk.folder.name} is skipped, and not in the table: {error}", file=sys.stderr, flush=True)
    if not scores:
        raise ValueError(f"{asked.dir}: none of its {len(found.trunks)} trunks can be measured, so there is no table")
    return scores


def scores_of(trunk: Run, step: int, asked: Asked) -> Scores:
    """Return the trainability of a trunk's networks after each method; what is in the folder is not measured again."""
    path = asked.dir / KEPT / f"{trunk.folder.name}.json"
    probe = json.loads(json.dumps(asdict(asked.probe)))
    kept = read_measured(path) if path.exists() else Measured(probe, step, {})
    found = dict(kept.scores) if (kept.probe, kept.step) == (probe, step) else {}
    if missing := [method for method in asked.methods if method not in found]:
        found |= newly_measured(trunk, step, missing, asked)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"probe": probe, "step": step, "scores": found})
    return {method: found[method] for method in asked.methods}


@products_in("float32")
def newly_measured(trunk: Run, step: int, methods: Sequence[str], asked: Asked) -> dict[str, dict[str, float]]:
    """Measure the trainability of a trunk's networks after each method, on copies."""
    loaded = load_run(trunk.folder, step, trusted=False)
    subjects = subjects_of(loaded)
    benches = {subject.name: subject.bench(loaded, asked.probe) for subject in subjects}
    rates = dict.fromkeys(benches, asked.probe_rates)
    tests = RemedyTests(loaded, subjects, benches, rates, episodes=0, recovery=0)
    acting = methods_of(loaded, [each for each in methods if each != NOTHING])
    found: dict[str, dict[str, float]] = {}
    for name in methods:
        remedy = tests.untouched() if name == NOTHING else tests.tried(name, acting[name])
        found[name] = {network: effect.trainability.best.value for network, effect in remedy.effects.items()}
        print(f"{trunk.folder.name}, {name}: {found[name]}", flush=True)
    return found


def cell(values: Sequence[float], others: Sequence[float] | None) -> str:
    """Return a mean in words, with the difference to other values of the same trunks and its exact 95% interval."""
    if not values or not all(map(math.isfinite, values)):
        return wording.MISSING
    said = wording.amount(float(np.mean(values)))
    if others is None or len(others) != len(values) or not all(map(math.isfinite, others)):
        return said
    one, other = np.array(values), np.array(others)
    low, high = permutations([one], [other], paired=True).interval(0.95)
    bounds = f" [{wording.amount(low)}, {wording.amount(high)}]" if math.isfinite(low) else ""
    sign = "+" if one.mean() > other.mean() else ""
    return f"{said} ({sign}{wording.amount(float(one.mean() - other.mean()))}{bounds})"


def table_of(comparison: Comparison, scores: Mapping[int, Scores], rates: Sequence[float]) -> str:
    """Return the table in Markdown; `scores` are by the trunks' seeds, and were probed at these learning rates."""
    networks = list(dict.fromkeys(name for each in scores.values() for found in each.values() for name in found))
    unit = comparison.short_unit
    columns: dict[str, Callable[[MethodResults], list[float]]] = {
        f"area of the dip, {comparison.metric.name} × {unit}": lambda method: of_gaps(method, "area"),
        "depth of the dip": lambda method: of_gaps(method, "depth"),
        f"{unit} until regained": lambda method: of_gaps(method, "duration"),
        f"final {comparison.metric.name}": lambda method: [known(run.final) for run in method.runs],
        f"area (mean {comparison.metric.name} after the branch)": lambda method: [
            known(run.area) for run in method.runs
        ],
    }
    said = ", ".join(f"{rate:g}" for rate in rates)
    at = f"learning rate {said}" if len(rates) == 1 else f"the best of learning rates {said}"
    for network in networks:
        columns[f"trainability of {network} at {at}"] = lambda method, network=network: [  # type: ignore[misc]
            scores[run.run.seed][method.method][network] for run in method.runs
        ]
    against = comparison.method(AGAINST)
    rows = []
    for method in comparison.methods:
        cells = [cell(values(method), None if method is against else values(against)) for values in columns.values()]
        rows.append([f"`{method.method}`", str(len(method.runs)), *cells[:3], regained(method), *cells[3:]])
    heads = ["method", "trunks", *list(columns)[:3], "regained", *list(columns)[3:]]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def gap_of(run: RunScores) -> Gap | None:
    """Return a run's first dip; of a run without an event, the one after the branch, which is noise."""
    return next(iter(run.gaps), run.gap_without_event)


def of_gaps(method: MethodResults, number: str) -> list[float]:
    """Return a number of each run's dip; a duration that was not seen to end counts as the time observed."""
    found = []
    for gap in map(gap_of, method.runs):
        value = math.nan if gap is None else float(getattr(gap, number))
        found.append(float(gap.observed) if gap and math.isinf(value) else value)
    return found


def regained(method: MethodResults) -> str:
    """Return in words how many of a method's runs were seen to regain the level before the dip."""
    gaps = [gap for gap in map(gap_of, method.runs) if gap]
    return f"{sum(math.isfinite(gap.duration) for gap in gaps)} of {len(gaps)}" if gaps else wording.MISSING


def known(value: float | None) -> float:
    """Return the value, or NaN for none."""
    return math.nan if value is None else value


def body(arguments: Sequence[str]) -> int:
    """Run everything that is missing, and print the table; return the exit code."""
    asked, more = tyro.cli(Asked, args=arguments, description=__doc__, return_unknown_args=True)
    words = words_of(asked, more)
    jobs = checked(asked, words)
    keep_large_blocks()
    if (code := compare(words)) or "--dry-run" in more:
        return code
    torch.set_num_threads(asked.threads)
    found = find_runs([job.folder for job in jobs if is_run(job.folder)])
    scores = measured(found, asked)
    runs = [run for run in found.runs if run.seed in scores]
    (comparison,) = analyse(runs, Options(baseline=AGAINST), found.trunks).comparisons
    table = table_of(comparison, scores, asked.probe_rates)
    write_durably(asked.dir / "dip.md", f"{table}\n".encode())
    rows = [
        (seed, comparison.branch_step, method, network, f"{value:.4f}")
        for seed, by_method in sorted(scores.items())
        for method, by_network in sorted(by_method.items())
        for network, value in by_network.items()
    ]
    write_table(asked.dir / "trainability.csv", ("seed", "step", "method", "network", "trainability"), rows)
    print(f"\n{asked.agent}, {asked.env}\n\n{table}")
    return 0


if __name__ == "__main__":
    command_line.main(body, "python -m benchmarks.dip", sys.argv[1:])

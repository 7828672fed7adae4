"""What a repair after FIRE's projection gains: the area of the dip, the final return and trainability, from one trunk.

    python -m benchmarks.dip --agent dqn --env MinAtar/SpaceInvaders-v1 --replay-ratio 4 --dir runs/dip-dqn
    python -m benchmarks.dip --agent sac --env Hopper-v5 --action-repeat 1 --steps 7000 --dir runs/dip-sac

First compare.py trains the trunks and the branches of all methods at half of the run, by its quick preset; if the
folder has some of these runs, it makes the others. Then each trunk's checkpoint is loaded, every method acts on a copy
of its networks, and probes measure what these can learn (docs/diagnosis.md). The result is one Markdown table of means
over the trunks, with the difference to `fire` and its exact 95% interval, from all sign flips of the paired differences
(10 trunks: 1,024). It is also written to dip.md in the folder, and each value of trainability to trainability.csv.
Flags that this command does not have are passed on to compare.py.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro

from fire_rl.commands.compare import body as compare
from fire_rl.experiments.analysis.analyse import analyse
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.analysis.method_results import MethodResults, RunScores
from fire_rl.experiments.analysis.permutations import permutations
from fire_rl.experiments.analysis.records import Run
from fire_rl.experiments.analysis.results import Comparison, Options
from fire_rl.experiments.diagnosis.loaded_run import load_run
from fire_rl.experiments.diagnosis.remedies import RemedyTests, methods_of, trainability
from fire_rl.experiments.diagnosis.subjects import subjects_of
from fire_rl.experiments.report import wording
from fire_rl.experiments.report.spreadsheet import write_table
from fire_rl.fire.diagnosis import FORMS, Reading
from fire_rl.fire.probe import Probe
from fire_rl.training.durable import write_durably
from fire_rl.training.memory import keep_large_blocks

AGAINST = "fire"  # the method that the others are compared with

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
    """Methods, spelled as for --reinit; fire must be one of them."""
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
    """Learning rates of the probes."""
    threads: int = 1
    """CPU threads of each run."""
    jobs: int = 1
    """Runs at the same time."""


def words_of(asked: Asked, more: Sequence[str]) -> list[str]:
    """Return the command line of compare.py, with further words."""
    words = ["--agent", asked.agent, "--preset", "quick", "--env", asked.env, "--reinit", *asked.methods]
    words += ["--seeds", asked.seeds, "--branch-at", "0.5", "--dir", str(asked.dir), "--baseline", AGAINST]
    words += ["--threads", str(asked.threads), "--jobs", str(asked.jobs)]
    words += [] if asked.steps is None else ["--steps", str(asked.steps)]
    words += [] if asked.replay_ratio is None else ["--replay-ratio", f"{asked.replay_ratio:g}"]
    return [*words, *more]


def scores_of(trunk: Run, step: int, asked: Asked) -> Scores:
    """Return the trainability of a trunk's networks after each method; read it from the folder if it is there."""
    probe = Probe(asked.probe_updates, asked.probe_rates, asked.probe_seeds)
    path = asked.dir / "trainability" / f"{trunk.folder.name}.json"
    described = {"probe": json.loads(json.dumps(asdict(probe))), "step": step}
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if {key: kept.get(key) for key in described} == described and set(asked.methods) <= kept["scores"].keys():
        return dict(kept["scores"])
    loaded = load_run(trunk.folder, step, trusted=False)
    subjects = subjects_of(loaded)
    benches = {subject.name: subject.bench(loaded, probe) for subject in subjects}
    rates = {
        name: (bench.read("fit", bench.fresh, "fit", asked.probe_rates).best.fresh_rate,)
        for name, bench in benches.items()
    }
    found: dict[str, dict[str, float]] = {"none": {}}
    for subject in subjects:
        bench, module = benches[subject.name], subject.network.module
        readings: dict[str, Reading] = {form: bench.read(form, [module], form, rates[subject.name]) for form in FORMS}
        found["none"][subject.name] = trainability(readings).best.value
    tests = RemedyTests(loaded, subjects, benches, rates, episodes=0, recovery=0)
    for name, method in methods_of(loaded, [each for each in asked.methods if each != "none"]).items():
        effects = tests.tried(name, method).effects
        found[name] = {network: effect.trainability.best.value for network, effect in effects.items()}
        print(f"{trunk.folder.name}, {name}: {found[name]}", flush=True)
    path.parent.mkdir(exist_ok=True)
    write_durably(path, json.dumps(described | {"scores": found}, indent=1).encode())
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


def table_of(comparison: Comparison, scores: Mapping[int, Scores]) -> str:
    """Return the table in Markdown; `scores` are by the trunks' seeds."""
    networks = list(dict.fromkeys(name for each in scores.values() for found in each.values() for name in found))
    unit = comparison.short_unit
    columns: dict[str, Callable[[MethodResults], list[float]]] = {
        f"area of the dip, {comparison.metric.name} × {unit}": lambda method: of_gaps(method, "area"),
        "depth of the dip": lambda method: of_gaps(method, "depth"),
        f"{unit} until regained": lambda method: of_gaps(method, "duration"),
        f"final {comparison.metric.name}": lambda method: [known(run.final) for run in method.runs],
        f"mean {comparison.metric.name} after the branch": lambda method: [known(run.area) for run in method.runs],
    }
    for network in networks:
        columns[f"trainability of {network}"] = lambda method, network=network: [  # type: ignore[misc]
            scores[run.run.seed][method.method][network] for run in method.runs
        ]
    against = comparison.method(AGAINST)
    rows = []
    for method in comparison.methods:
        cells = [cell(values(method), None if method is against else values(against)) for values in columns.values()]
        rows.append([f"`{method.method}`", str(len(method.runs)), *cells])
    heads = ["method", "trunks", *columns]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def of_gaps(method: MethodResults, number: str) -> list[float]:
    """Return a number of each run's dip; of a run without an event, the one after the branch, which is noise."""
    return [one_gap(run, number) for run in method.runs]


def one_gap(run: RunScores, number: str) -> float:
    """Return a number of a run's first dip; a duration that was not seen to end counts as the time observed."""
    gap = next(iter(run.gaps), run.gap_without_event)
    if gap is None:
        return math.nan
    value = float(getattr(gap, number))
    return value if math.isfinite(value) else float(gap.observed)


def known(value: float | None) -> float:
    """Return the value, or NaN for none."""
    return math.nan if value is None else value


def main(asked: Asked, more: Sequence[str] = ()) -> int:
    """Run everything that is missing, and print the table."""
    if AGAINST not in asked.methods:
        raise SystemExit(f"--methods {' '.join(asked.methods)} given; {AGAINST} must be one of them")
    keep_large_blocks()
    torch.set_num_threads(asked.threads)
    if code := compare(words_of(asked, more)):
        return code
    found = find_runs([asked.dir])
    (comparison,) = analyse(found.runs, Options(baseline=AGAINST), found.trunks).comparisons
    assert comparison.branch_step is not None
    scores = {trunk.seed: scores_of(trunk, comparison.branch_step, asked) for trunk in found.trunks}
    table = table_of(comparison, scores)
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
    raise SystemExit(main(*tyro.cli(Asked, description=__doc__, return_unknown_args=True)))

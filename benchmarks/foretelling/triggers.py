"""Test triggers on held-out seeds: an event when trainability, or another measure, crosses a threshold.

    python -m benchmarks.foretelling.triggers [--dir runs/foretelling-triggers] [--jobs 2] [--dry-run]

The rule, the same for every measure:
1. Candidates are the quartiles of the measure over the checkpoints of this game in results.jsonl.
2. Every candidate is run on the seeds A. The threshold with the highest mean final return on A is chosen; of equal
   ones, the one with fewer events.
3. Only the chosen thresholds are run on the seeds B, beside no method and beside the method once at half the run. Only
   B is judged: compare.py writes its report into DIR/judge.
No seed of the checkpoints is in A or B, and no seed is in both. The same command continues after an interruption.
The two tables are printed, and written to DIR/triggers.md. A difference is that to no method on the same seeds, with
its exact 95% interval from all sign flips.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from fire_rl.commands import compare
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.analysis.scoring import score
from fire_rl.experiments.report import wording
from fire_rl.fire.trainability import updates_of
from fire_rl.training.durable import write_durably
from fire_rl.training.settings import PROBE_EVERY

from ..dip import cell
from .__main__ import run
from .results import RESULTS, Record, read_results
from .table import by_task

Measure = Literal["trainability", "dormant", "dead", "active", "effective_rank", "stable_rank", "weight_norm"]
RISES = {"dormant", "dead", "weight_norm"}  # measures whose high values are said to be bad; of the others the low ones
QUARTILES = (0.25, 0.5, 0.75)
TABLES = "triggers.md"
NOTHING = "none"  # the method that does nothing


@dataclass(frozen=True)
class Options:
    """Which triggers are tested, and on which seeds."""

    dir: Path = Path("runs/foretelling-triggers")
    """Folder of the runs."""
    results: Path = Path("runs/foretelling") / RESULTS
    """Checkpoints from which candidates are taken, made by python -m benchmarks.foretelling."""
    game: str = "MinAtar/SpaceInvaders-v1"
    """Game of DQN, quick preset."""
    replay_ratio: float = 8
    """Updates per decision; at a high ratio plasticity is lost sooner."""
    steps: int = 12_000
    """Environment steps of each run."""
    method: str = "fire"
    """Method of the events."""
    measures: tuple[Measure, ...] = ("trainability", "dormant", "effective_rank")
    """Measures whose triggers are tested."""
    choose: str = "10-13"
    """Seeds A, on which thresholds are chosen."""
    judge: str = "20-25"
    """Seeds B, on which the chosen thresholds are judged."""
    jobs: int = 2
    """Runs at once, with one thread each."""
    dry_run: bool = False
    """Say which runs there are and what they cost, and do nothing."""


@dataclass(frozen=True)
class Outcome:
    """What a run ended with."""

    final: float
    """The final return."""
    mean: float
    """The mean return over the run."""
    events: int
    """The number of events."""


Tried = Mapping[str, Sequence[float]]  # candidate thresholds by measure
Outcomes = dict[str, dict[int, Outcome]]  # by method and seed


def candidates(records: Sequence[Record], game: str, measure: str) -> tuple[float, ...]:
    """Return the quartiles of a measure over the checkpoints of a game, with two digits, each once."""
    cell = next((cell for cell in by_task(records) if cell.points[0][0].task == game), None)
    values = np.array([]) if cell is None else cell.outcome() if measure == "trainability" else cell.measure(measure)
    values = values[np.isfinite(values)]
    if not len(values):
        raise ValueError(f"no checkpoint of {game} has {measure}: run python -m benchmarks.foretelling first")
    return tuple(dict.fromkeys(float(f"{value:.2g}") for value in np.quantile(values, QUARTILES)))


def spelled(method: str, measure: str, threshold: float) -> str:
    """Return the method with its trigger, as compare.py takes it."""
    return f"{method}@when={measure}{'>' if measure in RISES else '<'}{threshold:g}"


def words_of(options: Options, part: str, methods: Sequence[str]) -> list[str]:
    """Return the words of the compare.py command for the seeds A (choose) or B (judge)."""
    words = ["--agent", "dqn", "--preset", "quick", "--env", options.game, "--reinit", *methods]
    words += ["--replay-ratio", f"{options.replay_ratio:g}", "--steps", str(options.steps)]
    words += ["--learning-starts", "1000", "--eval-every", str(max(1, options.steps // 20)), "--seeds"]
    words += [options.choose if part == "choose" else options.judge, "--dir", str(options.dir / part)]
    return [*words, "--jobs", str(options.jobs), "--threads", "1", "--device", "cpu", "--keep-replay", "False"]


def outcomes(folder: Path) -> Outcomes:
    """Return the outcome of each run in a folder, by method and seed; raise ValueError if a run has no final return."""
    found: Outcomes = {}
    for each in find_runs([folder]).runs:
        scores = score(each, counted=True)
        if scores.final is None or scores.area is None:
            raise ValueError(f"{each.folder} has no final return; see its log, and start the same command again")
        schedule = "".join(f"@when={trigger}" for trigger in each.schedule.get("reinit_when", ()))
        outcome = Outcome(scores.final, scores.area, len(each.events))
        found.setdefault(f"{each.method}{schedule}", {})[each.seed] = outcome
    return found


def chosen_of(options: Options, tried: Tried, found: Outcomes) -> dict[str, float]:
    """Return the chosen threshold of each measure by the rule above."""
    chosen: dict[str, float] = {}
    for measure, thresholds in tried.items():
        results = {threshold: found[spelled(options.method, measure, threshold)].values() for threshold in thresholds}
        ranked = {
            threshold: (np.mean([run.final for run in runs]), -np.mean([run.events for run in runs]))
            for threshold, runs in results.items()
        }
        chosen[measure] = max(ranked, key=ranked.__getitem__)
    return chosen


def table_of(found: Outcomes, methods: Sequence[str], bold: Sequence[str] = ()) -> str:
    """Return the outcomes of methods in Markdown, with the differences to no method; the names in `bold` are bold."""
    lines = ["| method | runs | events | final return | mean return |", "| --- | ---: | ---: | ---: | ---: |"]
    nothing = found[NOTHING]
    for method in methods:
        runs, name = found[method], f"**`{method}`**" if method in bold else f"`{method}`"
        seeds = sorted(runs)
        others = None if method == NOTHING or seeds != sorted(nothing) else [nothing[seed] for seed in seeds]
        cells = [
            cell([getattr(runs[seed], what) for seed in seeds], others and [getattr(other, what) for other in others])
            for what in ("final", "mean")
        ]
        events = wording.amount(float(np.mean([run.events for run in runs.values()])))
        lines.append(f"| {name} | {len(runs)} | {events} | {' | '.join(cells)} |")
    return "\n".join(lines)


def refuse_shared_seeds(options: Options, records: Sequence[Record]) -> None:
    """Raise ValueError if a seed is used twice: it would not be held out."""
    seeds = {part: set(compare.parse_seeds([getattr(options, part)])) for part in ("choose", "judge")}
    seen = {record.seed for record in records if record.task == options.game}
    if shared := (seeds["choose"] & seeds["judge"]) | (seeds["judge"] & seen) | (seeds["choose"] & seen):
        raise ValueError(
            f"--choose {options.choose} --judge {options.judge} given; seed {min(shared)} would be used twice: "
            f"{options.results} has the seeds {', '.join(map(str, sorted(seen)))}"
        )


def main(options: Options) -> int:
    """Choose on the seeds A, then judge on the seeds B; return the exit code."""
    records = read_results(options.results)
    refuse_shared_seeds(options, records)
    tried: Tried = {measure: candidates(records, options.game, measure) for measure in options.measures}
    every = [spelled(options.method, measure, each) for measure, values in tried.items() for each in values]
    if options.dry_run:
        say_cost(options, tried, every)
        return 0
    if code := compare.body(words_of(options, "choose", [NOTHING, *every])):
        return code
    found = outcomes(options.dir / "choose")
    winners = [spelled(options.method, *each) for each in chosen_of(options, tried, found).items()]
    judged = [NOTHING, options.method, *winners]
    words = words_of(options, "judge", judged)
    if code := compare.body([*words, "--baseline", NOTHING, "--reference", winners[0]]):
        return code
    tables = (
        f"Candidates, on the seeds {options.choose}; the chosen ones are bold:\n\n"
        f"{table_of(found, [NOTHING, *every], winners)}\n\n"
        f"Judged, on the seeds {options.judge}:\n\n{table_of(outcomes(options.dir / 'judge'), judged)}\n"
    )
    write_durably(options.dir / TABLES, tables.encode())
    print(f"\n{tables}")
    return 0


def say_cost(options: Options, tried: Tried, every: Sequence[str]) -> None:
    """Print both sweeps as compare.py's --dry-run does, with the updates that trainability adds."""
    compare.body([*words_of(options, "choose", [NOTHING, *every]), "--dry-run"])
    middle = [spelled(options.method, measure, values[len(values) // 2]) for measure, values in tried.items()]
    print("\nwhich thresholds are judged is not known yet; the middle candidates stand for them here")
    compare.body([*words_of(options, "judge", [NOTHING, options.method, *middle]), "--dry-run"])
    checks = int(options.replay_ratio * (options.steps - 1_000) // PROBE_EVERY)
    if "trainability" in tried:
        print(f"\na run with trainability makes {checks} checks of {updates_of(1):,} updates on copies besides")


if __name__ == "__main__":
    sys.exit(run(lambda: main(tyro.cli(Options))))

"""Test triggers on held-out seeds: an event when trainability, or another measure, crosses a threshold.

    python -m benchmarks.foretelling.triggers [--dir runs/foretelling-triggers] [--jobs 2] [--dry-run]

The rule, the same for every measure:
1. Candidates are the quartiles of the measure over the checkpoints of this game in results.jsonl.
2. Every candidate is run on the seeds A. The threshold with the highest mean final return on A is chosen; of equal
   ones, the one with fewer events.
3. Only the chosen thresholds are run on the seeds B, beside no method and beside the method once at half the run. Only
   B is judged: compare.py writes its report into DIR/judge.
No seed of the checkpoints is in A or B, and no seed is in both. The same command continues after an interruption.
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
from fire_rl.fire.trainability import updates_of
from fire_rl.training.files import write_json
from fire_rl.training.settings import PROBE_EVERY

from .__main__ import run
from .results import RESULTS, Record, read_results
from .table import by_task

Measure = Literal["trainability", "dormant", "dead", "active", "effective_rank", "stable_rank", "weight_norm"]
RISES = {"dormant", "dead", "weight_norm"}  # measures whose high values are said to be bad; of the others the low ones
QUARTILES = (0.25, 0.5, 0.75)
CHOICE = "choice.json"


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


Tried = Mapping[str, Sequence[float]]  # candidate thresholds by measure
Outcomes = dict[str, list[tuple[float, int]]]  # final return and number of events of each run, by method


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
    """Return the final return and the number of events of each run that has ended, by method."""
    found: Outcomes = {}
    for each in find_runs([folder]).runs:
        if (final := score(each, counted=True).final) is not None:
            schedule = "".join(f"@when={trigger}" for trigger in each.schedule.get("reinit_when", ()))
            found.setdefault(f"{each.method}{schedule}", []).append((final, len(each.events)))
    return found


def chosen_of(options: Options, tried: Tried, found: Outcomes) -> dict[str, float]:
    """Return the chosen threshold of each measure by the rule above."""
    chosen: dict[str, float] = {}
    for measure, thresholds in tried.items():
        results = {threshold: found[spelled(options.method, measure, threshold)] for threshold in thresholds}
        ranked = {
            threshold: (np.mean([final for final, _ in runs]), -np.mean([events for _, events in runs]))
            for threshold, runs in results.items()
        }
        chosen[measure] = max(ranked, key=ranked.__getitem__)
    return chosen


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
    if code := compare.body(words_of(options, "choose", ["none", *every])):
        return code
    found = outcomes(options.dir / "choose")
    chosen = chosen_of(options, tried, found)
    winners = [spelled(options.method, measure, threshold) for measure, threshold in chosen.items()]
    write_json(options.dir / CHOICE, {"candidates": tried, "chosen": chosen, "seeds": options.choose, "found": found})
    words = words_of(options, "judge", ["none", options.method, *winners])
    if code := compare.body([*words, "--baseline", "none", "--reference", winners[0]]):
        return code
    print(f"\nchosen on seeds {options.choose}: {', '.join(winners)}\njudged on seeds {options.judge}:")
    for method, runs in outcomes(options.dir / "judge").items():
        finals, events = ([run[place] for run in runs] for place in (0, 1))
        print(f"  {method:40} final return {np.mean(finals):6.1f}, {np.mean(events):.1f} events, {len(runs)} runs")
    return 0


def say_cost(options: Options, tried: Tried, every: Sequence[str]) -> None:
    """Print both sweeps as compare.py's --dry-run does, with the updates that trainability adds."""
    compare.body([*words_of(options, "choose", ["none", *every]), "--dry-run"])
    middle = [spelled(options.method, measure, values[len(values) // 2]) for measure, values in tried.items()]
    print("\nwhich thresholds are judged is not known yet; the middle candidates stand for them here")
    compare.body([*words_of(options, "judge", ["none", options.method, *middle]), "--dry-run"])
    checks = int(options.replay_ratio * (options.steps - 1_000) // PROBE_EVERY)
    if "trainability" in tried:
        print(f"\na run with trainability makes {checks} checks of {updates_of(1):,} updates on copies besides")


if __name__ == "__main__":
    sys.exit(run(lambda: main(tyro.cli(Options))))

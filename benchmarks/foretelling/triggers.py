"""Test triggers on held-out seeds: an event when trainability, or another measure, crosses a threshold.

    python -m benchmarks.foretelling.triggers [--dir runs/foretelling-triggers] [--jobs 2] [--dry-run]

The rule, the same for every measure:
1. Candidates are the quartiles of the measure over the checkpoints of this game in results.jsonl, and an event comes
   below or above them, as asked. The effective rank is tested on both sides: a low one is usually called bad, but a
   high one goes with low trainability in the checkpoints of SpaceInvaders.
2. Every candidate is run on the seeds A. The threshold with the highest mean final return on A is chosen; of equal
   ones, the one with fewer events.
3. Only the chosen thresholds are run on the seeds B, beside no method, and beside the method with regular events. Only
   B is judged: compare.py writes its report into DIR/judge.
No seed of the checkpoints is in A or B, and no seed is in both. The same command continues after an interruption.
The two tables are printed, and written to DIR/triggers.md. A difference is that to no method on the same seeds, with
its exact 95% interval from all sign flips.
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from fire_rl.commands import compare
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.analysis.labels import named_by_schedule
from fire_rl.experiments.analysis.levels import continued, failing_value
from fire_rl.experiments.analysis.scoring import NOTHING, score
from fire_rl.experiments.report import wording
from fire_rl.fire import MEASURES
from fire_rl.fire.trainability import updates_of
from fire_rl.fire.trigger import TRAINABILITY
from fire_rl.training.durable import write_durably
from fire_rl.training.settings import PROBE_EVERY

from ..dip import cell
from .__main__ import run
from .results import RESULTS, Record, read_results
from .table import by_task

QUARTILES = (0.25, 0.5, 0.75)
DIGITS = 4  # of a candidate
TABLES = "triggers.md"


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
    measures: tuple[str, ...] = ("trainability<", "dormant>", "effective_rank<", "effective_rank>")
    """Measures whose triggers are tested, each with the side on which an event comes."""
    choose: str = "10-13"
    """Seeds A, on which thresholds are chosen."""
    judge: str = "20-25"
    """Seeds B, on which the chosen thresholds are judged."""
    periods: tuple[int, ...] = (PROBE_EVERY,)
    """Updates between the regular events beside them; the default is as often as a trigger can have events."""
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


Tried = Mapping[str, Sequence[str]]  # candidate triggers by measure and side
Outcomes = dict[str, dict[int, Outcome]]  # by method and seed


def candidates(records: Sequence[Record], game: str, measure: str) -> tuple[str, ...]:
    """Return a trigger for each quartile of a measure, given with its side, over the checkpoints of a game."""
    name = measure[:-1]
    if measure[-1:] not in ("<", ">") or name not in MEASURES:
        allowed = f"a measure with a side, such as dormant> or {TRAINABILITY}<"
        raise ValueError(f"--measures {measure} given; allowed is {allowed}; measures are {', '.join(MEASURES)}")
    cell = next((cell for cell in by_task(records) if cell.points[0][0].task == game), None)
    values = np.array([]) if cell is None else cell.outcome() if name == TRAINABILITY else cell.measure(name)
    values = values[np.isfinite(values)]
    if not len(values):
        raise ValueError(f"no checkpoint of {game} has {name}: run python -m benchmarks.foretelling first")
    return tuple(dict.fromkeys(f"{measure}{value:.{DIGITS}g}" for value in np.quantile(values, QUARTILES)))


def spelled(method: str, trigger: str) -> str:
    """Return the method with its trigger, as compare.py takes it."""
    return f"{method}@when={trigger}"


def words_of(options: Options, part: str, methods: Sequence[str]) -> list[str]:
    """Return the words of the compare.py command for the seeds A (choose) or B (judge)."""
    words = ["--agent", "dqn", "--preset", "quick", "--env", options.game, "--reinit", *methods]
    words += ["--replay-ratio", f"{options.replay_ratio:g}", "--steps", str(options.steps)]
    words += ["--learning-starts", "1000", "--eval-every", str(max(1, options.steps // 20)), "--seeds"]
    words += [options.choose if part == "choose" else options.judge, "--dir", str(options.dir / part)]
    return [*words, "--jobs", str(options.jobs), "--threads", "1", "--device", "cpu", "--keep-replay", "False"]


def outcomes(folder: Path, seeds: Collection[int]) -> Outcomes:
    """Return the outcomes of these seeds' runs in a folder, by method; a run that diverged has that of a random policy.

    ValueError: a run has no final return, or a method lacks a seed.
    """
    runs = named_by_schedule([run for run in find_runs([folder]).runs if run.seed in seeds])
    found: Outcomes = {}
    for each in continued(runs, failing_value(runs[0].env, runs, runs[0].metric)) if runs else ():
        scores = score(each, counted=True)
        if scores.final is None or scores.area is None:
            raise ValueError(f"{each.folder} has no final return; see its log, and start the same command again")
        found.setdefault(each.method, {})[each.seed] = Outcome(scores.final, scores.area, len(each.events))
    for method, by_seed in found.items():
        if missing := set(seeds) - set(by_seed):
            raise ValueError(f"{folder} has no run of {method} with the seed {min(missing)}")
    return found


def chosen_of(options: Options, tried: Tried, found: Outcomes) -> list[str]:
    """Return the chosen method of each measure, with its trigger, by the rule above."""

    def rank(name: str) -> tuple[float, float]:
        runs = found[name].values()
        return float(np.mean([run.final for run in runs])), -float(np.mean([run.events for run in runs]))

    return [max((spelled(options.method, trigger) for trigger in triggers), key=rank) for triggers in tried.values()]


def table_of(found: Outcomes, methods: Sequence[str], bold: Sequence[str] = ()) -> str:
    """Return the outcomes of methods in Markdown, with the differences to no method; the names in `bold` are bold."""
    lines = ["| method | runs | events | final return | mean return |", "| --- | ---: | ---: | ---: | ---: |"]

    def numbers(method: str, what: str) -> list[float]:
        return [getattr(found[method][seed], what) for seed in sorted(found[method])]

    for method in methods:
        name = f"**`{method}`**" if method in bold else f"`{method}`"
        events = wording.amount(float(np.mean(numbers(method, "events"))))
        cells = [
            cell(numbers(method, what), None if method == NOTHING else numbers(NOTHING, what))
            for what in ("final", "mean")
        ]
        lines.append(f"| {name} | {len(found[method])} | {events} | {' | '.join(cells)} |")
    return "\n".join(lines)


def refuse_shared_seeds(options: Options, records: Sequence[Record]) -> None:
    """Raise ValueError if a seed is used twice: it would not be held out."""
    chosen, judged = (set(seeds_of(part)) for part in (options.choose, options.judge))
    seen = {record.seed for record in records if record.task == options.game}
    if shared := (chosen & judged) | (judged & seen) | (chosen & seen):
        raise ValueError(
            f"--choose {options.choose} --judge {options.judge} given; seed {min(shared)} would be used twice: "
            f"{options.results} has the seeds {', '.join(map(str, sorted(seen)))}"
        )


def regular(options: Options) -> list[str]:
    """Return the method with regular events, once for each period; raise ValueError for a period below 1."""
    if min(options.periods, default=1) < 1:
        raise ValueError(f"--periods {min(options.periods)} given; allowed are numbers of updates, at least 1")
    return [f"{options.method}@every={period}" for period in dict.fromkeys(options.periods)]


def seeds_of(text: str) -> list[int]:
    """Return the seeds that a text such as 20-25 names."""
    return list(compare.parse_seeds([text]))


def main(options: Options) -> int:
    """Choose on the seeds A, then judge on the seeds B; return the exit code."""
    if "@" in options.method:
        raise ValueError(f"--method {options.method} given; it must have no schedule of its own")
    records = read_results(options.results)
    refuse_shared_seeds(options, records)
    tried: Tried = {measure: candidates(records, options.game, measure) for measure in options.measures}
    every = [spelled(options.method, trigger) for triggers in tried.values() for trigger in triggers]
    beside = [NOTHING, *regular(options)]
    if options.dry_run:
        say_cost(options, tried, every, beside)
        return 0
    if code := compare.body(words_of(options, "choose", [NOTHING, *every])):
        return code
    found = outcomes(options.dir / "choose", seeds_of(options.choose))
    winners = chosen_of(options, tried, found)
    judged = [*beside, *winners]
    words = words_of(options, "judge", judged)
    if code := compare.body([*words, "--baseline", NOTHING, "--reference", winners[0]]):
        return code
    results = outcomes(options.dir / "judge", seeds_of(options.judge))
    tables = (
        f"Candidates, on the seeds {options.choose}; the chosen ones are bold:\n\n"
        f"{table_of(found, [NOTHING, *every], winners)}\n\n"
        f"Judged, on the seeds {options.judge}:\n\n{table_of(results, judged)}\n"
    )
    write_durably(options.dir / TABLES, tables.encode())
    print(f"\n{tables}")
    return 0


def say_cost(options: Options, tried: Tried, every: Sequence[str], beside: Sequence[str]) -> None:
    """Print both sweeps as compare.py's --dry-run does, with the updates that trainability adds."""
    compare.body([*words_of(options, "choose", [NOTHING, *every]), "--dry-run"])
    middle = [spelled(options.method, triggers[len(triggers) // 2]) for triggers in tried.values()]
    print("\nwhich thresholds are judged is not known yet; the middle candidates stand for them here")
    compare.body([*words_of(options, "judge", [*beside, *middle]), "--dry-run"])
    checks = int(options.replay_ratio * (options.steps - 1_000) // PROBE_EVERY)
    if any(measure.startswith(TRAINABILITY) for measure in tried):
        print(f"\na run with trainability makes {checks} checks of {updates_of(1):,} updates on copies besides")


if __name__ == "__main__":
    sys.exit(run(lambda: main(tyro.cli(Options))))

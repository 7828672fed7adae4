"""The results as text: `scores.csv`, a row for each run, and `summary.md`, tables for people."""

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from replay.durable import write_durably

from ..analysis.results import Across, AcrossMethod, Comparison, Contrast, MethodResults, Results, RunScores
from ..analysis.statistics import Interval
from .wording import (
    MISSING,
    amount,
    counted,
    decimals,
    duration,
    ended,
    findings,
    interval,
    number,
    percent,
    place,
    runs_and_diverged,
    step_interval,
)

COLUMNS = (
    "agent", "env", "method", "seed", "trunk", "branch_step", "steps", "ended", "final", "normalised", "area",
    "normalised_area", "steps_to_threshold", "reached", "wall_seconds", "own_seconds", "updates_per_second", "folder",
)  # fmt: skip

FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet begins to compute at


def write_scores(results: Results, path: Path) -> Path:
    """Write `scores.csv`: numbers in full; empty where there is none, as of a threshold never reached.

    Text that a spreadsheet would take for a formula has an apostrophe before it: methods are anybody's words.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for comparison in results.comparisons:
        table.writerows(map(_cell, _row(run)) for method in comparison.methods for run in method.runs)
    write_durably(path, text.getvalue().encode())
    return path


def _cell(value: object) -> object:
    if not isinstance(value, str | Path):
        return value
    text = str(value)
    in_a_row = text.replace("\r", " ").replace("\n", " ")  # a bare \r is not quoted, and would begin a row
    return f"'{in_a_row}" if text.startswith(FORMULAS) else in_a_row


def _row(scores: RunScores) -> list[object]:
    run, branch = scores.run, scores.run.branch
    return [
        run.agent, run.env, run.method, run.seed, branch and place(branch.trunk), branch and branch.step, run.reached,
        ended(run), scores.final, scores.normalised, scores.area, scores.normalised_area,
        _finite(scores.steps_to_threshold), scores.reached, run.seconds, run.own_seconds,
        _finite(run.updates_per_second), place(run.folder),
    ]  # fmt: skip


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def summary(results: Results) -> str:
    """The text of `summary.md`."""
    parts = ["# Comparison", ""]
    if results.notes:
        parts += [_bullets(results.notes), ""]
    for comparison in results.comparisons:
        parts += [*_comparison(comparison), ""]
    for across in results.across:
        parts += [*_across(across), ""]
    return "\n".join(parts).rstrip() + "\n"


def write_summary(results: Results, path: Path) -> Path:
    write_durably(path, summary(results).encode())
    return path


def escaped(text: str) -> str:
    """Text that Markdown leaves as it is, in a table too."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(text.split()))


def _comparison(comparison: Comparison) -> Iterator[str]:
    methods = comparison.methods
    yield f"## {escaped(comparison.agent)} on {escaped(comparison.env)}\n"
    if comparison.branch_step is not None:
        yield f"Every run is a branch at step {comparison.branch_step:,}; areas count from there on.\n"
    scored = [method for method in methods if method.final is not None]
    if not scored:
        yield "No run has finished: there are no scores yet.\n"
    else:
        yield "Final return: mean of the evaluations in the last 10% of the steps. Area: mean return over the steps.\n"
        yield from _scores(scored)
        yield from _threshold(comparison, scored)
    yield from _contrasts(comparison)
    yield from _gaps(methods)
    yield from _events(methods)
    yield from _cost(methods)
    if comparison.notes:
        yield _bullets(comparison.notes)


def _across(across: Across) -> Iterator[str]:
    yield f"## {escaped(across.agent)} on {len(across.envs)} environments, normalised scores\n"
    yield f"{escaped(', '.join(across.envs))}. 0 is a random policy's return, 1 success or a human's.\n"
    yield from _scores(across.methods, "normalised score", "median of environments")
    yield from _contrasts(across)
    if across.notes:
        yield _bullets(across.notes)


def _scores(
    methods: Sequence[MethodResults | AcrossMethod], what: str = "return", middle: str = "median"
) -> Iterator[str]:
    """IQM, mean and median of the final scores, IQM of the areas and, of returns, of the normalised ones."""
    finals = [method.final for method in methods if method.final is not None]
    columns = {
        f"final {what}, IQM": [final.iqm for final in finals],
        "mean": [final.mean for final in finals],
        middle: [final.median for final in finals],
        "area, IQM": [method.area.iqm for method in methods if method.area is not None],
    }
    normalised = [method.normalised for method in methods if isinstance(method, MethodResults)]
    if normalised and None not in normalised:
        columns["normalised final, IQM"] = [each.iqm for each in normalised if each is not None]
    cells = [[interval(each, decimals(column)) for each in column] for column in columns.values()]
    names = [(escaped(m.method), runs_and_diverged(m, m.final.iqm)) for m in methods if m.final is not None]
    yield _table(("method", "n", *columns), [(*name, *row) for name, *row in zip(names, *cells, strict=True)]) + "\n"
    yield _made(columns)


def _threshold(comparison: Comparison, methods: Sequence[MethodResults]) -> Iterator[str]:
    if comparison.threshold is None:
        return
    threshold = comparison.threshold
    branches = any(run.run.branch for method in comparison.methods for run in method.runs)
    already = sum(method.threshold.already for method in methods if method.threshold is not None)
    said = f"Threshold: {number(threshold.value)}, {escaped(threshold.meaning)}. Steps are environment steps."
    said += " Branches are looked at from the branch on." * branches
    yield f"{said} {counted(already, 'run')} had reached it before the branch.\n" if already else f"{said}\n"
    rows = [
        [
            escaped(method.method), str(method.n), percent(method.threshold.share),
            step_interval(method.threshold.median_steps),
        ]
        for method in methods if method.threshold is not None
    ]  # fmt: skip
    yield _table(("method", "n", "runs that reached it", "median steps to it"), rows) + "\n"
    found = [method.threshold for method in methods if method.threshold is not None]
    yield _made({"runs": [each.share for each in found], "steps": [each.median_steps for each in found]})


def _contrasts(compared: Comparison | Across) -> Iterator[str]:
    if not compared.contrasts:
        return
    yield "Differences (first method minus second), and the probability that a run of the first is better:\n"
    rows = [_contrast(each) for each in compared.contrasts]
    differences = ("final, IQM", "final, mean", "area, IQM")
    heads = ("methods", "n", *differences, "better final", "on trunks", "better area", "runs")
    yield _table(heads, rows) + "\n"
    yield _made({
        "differences": [each.final_iqm for each in compared.contrasts],
        "better": [each.improvement for each in compared.contrasts],
        "on trunks": [each.trunks.share for each in compared.contrasts if each.trunks],
    })  # fmt: skip
    yield _bullets(findings(compared)) + "\n"


def _contrast(each: Contrast) -> list[str]:
    differences = [interval(found, difference=True) for found in (each.final_iqm, each.final_mean, each.area_iqm)]
    names, how = f"{escaped(each.method)} − {escaped(each.against)}", "paired by trunk" if each.paired else "not paired"
    trunks = f"{each.trunks.better} of {each.trunks.n}, {percent(each.trunks.share)}" if each.trunks else MISSING
    chances = [interval(each.improvement, 2), trunks, interval(each.improvement_area, 2)]
    return [names, each.final_iqm.counted("pair" if each.paired else "run"), *differences, *chances, how]


def _gaps(methods: Sequence[MethodResults]) -> Iterator[str]:
    gaps = [(method.method, method.gap) for method in methods if method.gap is not None]
    gaps += [(f"{m.method}, nothing done", m.pretended) for m in methods if gaps and m.pretended is not None]
    rows = [
        [
            escaped(name), str(gap.depth.n), str(gap.events), interval(gap.depth), percent(gap.share),
            percent(gap.regained), step_interval(gap.duration),
        ]
        for name, gap in gaps
    ]  # fmt: skip
    if rows:
        yield "Stability gap: how deep the return falls after an evaluated event, and when it is back.\n"
        heads = ("method", "n", "events", "depth", "share of the return", "events regained", "median steps to it")
        yield _table(heads, rows) + "\n"
        yield _made({
            "depth and share": [gap.depth for _, gap in gaps], "regained": [gap.regained for _, gap in gaps],
            "steps": [gap.duration for _, gap in gaps],
        })  # fmt: skip


def _events(methods: Sequence[MethodResults]) -> Iterator[str]:
    rows = [
        [
            escaped(method.method), escaped(network.name), f"{method.events.count:,}",
            f"{min(event.step for _, event in method.events.listed):,}",
            *(amount(value) for value in (network.squared_frobenius_error, network.deviation_before)),
            amount(network.deviation_after), duration(method.events.seconds),
        ]
        for method in methods if method.events is not None for network in method.events.networks
    ]  # fmt: skip
    if rows:
        yield "Events, means per event: squared Frobenius error (SFE), deviation from isometry (DfI).\n"
        yield (
            _table(("method", "network", "events", "first at", "SFE", "DfI before", "DfI after", "time in all"), rows)
            + "\n"
        )


def _cost(methods: Sequence[MethodResults]) -> Iterator[str]:
    rows = [
        [
            escaped(method.method), str(method.cost.n), duration(method.cost.seconds),
            duration(method.cost.own_seconds), number(method.cost.updates_per_second),
        ]
        for method in methods if method.cost is not None
    ]  # fmt: skip
    if rows:
        yield _table(("method", "n", "wall time of a run", "of it without the trunk", "updates/s"), rows) + "\n"


def _made(columns: Mapping[str, Sequence[Interval]]) -> str:
    """What stands in the brackets of a table, and where it does not stand in all of them, in which columns."""
    made: dict[str, list[str]] = {}
    for column, intervals in columns.items():
        for way in dict.fromkeys(each.method for each in intervals):
            made.setdefault(way, []).append(column)
    said = [way if len(made) == 1 else f"{way} ({', '.join(where)})" for way, where in made.items()]
    return f"In brackets: {escaped('; '.join(said))}.\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {escaped(sentence)}" for sentence in sentences)

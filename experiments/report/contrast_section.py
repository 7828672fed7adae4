"""The report's section on pairs of methods: their differences and the probability of improvement."""

from collections.abc import Sequence

from fire_rl.training.metric import Metric

from ..analysis.results import Compared, Contrast, Together, TrunkCounts
from ..analysis.statistics import SETTLING_RUNS, Interval
from . import wording
from .drawing import LONGEST_NAME, Looks, shortened_apart
from .findings import p_value
from .sections import Section, Table, TableRow, columns_in_words, rows_figure, ways


def contrast_section(compared: Compared, looks: Looks) -> Section | None:
    """Return the section on differences; None if no two methods are compared."""
    contrasts, metric = compared.contrasts, compared.metric
    if not contrasts:
        return None
    pairs, used = _pairs(contrasts), [looks[contrast.method] for contrast in contrasts]
    minus, over = [" − ".join(pair) for pair in pairs], [" over ".join(pair) for pair in pairs]
    better = wording.by_direction(metric, "right", "left")
    dots = [contrast.trunk_differences for contrast in contrasts]
    figures = (
        rows_figure(
            zip(minus, used, [c.final.iqm for c in contrasts], strict=True), f"Difference of final {metric.name}, IQM",
            f"difference of {metric.words}; {better} of the line is better", metric, dots, difference=True, line=0,
        ),
        rows_figure(
            zip(over, used, [c.final.improvement for c in contrasts], strict=True), "Probability of improvement",
            "probability; 0.5 means no difference", most=2, line=0.5, limits=(-0.02, 1.02),
        ),
    )  # fmt: skip
    tables = (_sizes(contrasts, metric), _chances(contrasts, metric), _together(contrasts, metric))
    shares = [score.trunks.share for c in contrasts for score in (c.final, c.area) if score.trunks]
    notes = ways([found for c in contrasts for found in (c.final.iqm, c.final.improvement)])
    notes += ways(shares, "Shares of trunks") + ways(_simultaneous(contrasts), "Differences of means")
    if len(_simultaneous(contrasts)) < 2 * len(contrasts):
        notes += ("A difference of means has no interval if there are too few runs or pairs for one.",)
    return Section("Differences", _text(contrasts), figures, tables, notes)


def _text(contrasts: Sequence[Contrast]) -> str:
    text = "An interval that contains 0, or 0.5 for a probability, does not settle which method is better."
    if len(contrasts) > 1:
        text += " An interval that excludes it settles this only if the corrected p value is small enough, too."
    if any(contrast.final.iqm.smallest < SETTLING_RUNS for contrast in contrasts):
        text += f" With fewer than {SETTLING_RUNS} runs or pairs, no difference is called settled."
    if any(contrast.paired for contrast in contrasts):
        text += " Paired: both methods branch from the same trunks, which are resampled jointly."
        text += " Each small dot is the difference between the two branches of one trunk."
    if not all(contrast.paired for contrast in contrasts):
        text += " Not paired: the runs of both methods are resampled independently."
    return text


def _sizes(contrasts: Sequence[Contrast], metric: Metric) -> Table:
    cells = columns_in_words([[c.final.iqm, c.final.mean, c.area.iqm, c.area.mean] for c in contrasts], metric, True)
    rows = tuple(TableRow(c.method, (*_first(c, "−"), *row)) for c, row in zip(contrasts, cells, strict=True))
    columns = ("methods", "n", "final, IQM", "final, mean", "area, IQM", "area, mean")
    caption = f"Differences{metric.words.removeprefix(metric.name)}, the first method minus the second"
    return Table(caption, columns, rows)


def _together(contrasts: Sequence[Contrast], metric: Metric) -> Table:
    """Return the table of the same differences with corrected p values and simultaneous intervals."""
    cells = columns_in_words([[c.final.together.interval, c.area.together.interval] for c in contrasts], metric, True)
    rows = tuple(
        TableRow(c.method, (*_first(c, "−"), final, *_ps(c.final.together), area, *_ps(c.area.together)))
        for c, (final, area) in zip(contrasts, cells, strict=True)
    )
    columns = ("methods", "n", "final, mean", "p", "corrected p", "area, mean", "p", "corrected p")
    tests = " and ".join(dict.fromkeys(c.final.together.test for c in contrasts))
    unit, many = metric.words.removeprefix(metric.name), len(contrasts)
    caption = f"Differences of means{unit}; p of the {tests}, corrected for {many} differences by Holm's method"
    return Table(caption, columns, rows)


def _ps(together: Together) -> tuple[str, str]:
    alone, corrected = (p_value(p).removeprefix("p = ").removeprefix("p ") for p in (together.p, together.corrected))
    return alone, corrected


def _simultaneous(contrasts: Sequence[Contrast]) -> list[Interval]:
    found = [score.together.interval for c in contrasts for score in (c.final, c.area)]
    return [interval for interval in found if interval.bounded]


def _chances(contrasts: Sequence[Contrast], metric: Metric) -> Table:
    cells = columns_in_words([[c.final.improvement, c.area.improvement] for c in contrasts], most=2)
    larger = wording.by_direction(metric, "larger", "smaller")
    columns = ["methods", "n", f"{metric.better} final", "on trunks", f"{larger} area", "on trunks"]
    rows = [
        [*_first(c, "over"), final, _trunks(c.final.trunks), area, _trunks(c.area.trunks)]
        for c, (final, area) in zip(contrasts, cells, strict=True)
    ]
    if not any(contrast.paired for contrast in contrasts):
        columns, *rows = ([*row[:3], row[4]] for row in (columns, *rows))
    found = tuple(TableRow(c.method, tuple(row)) for c, row in zip(contrasts, rows, strict=True))
    caption = "Probability that a run of the first method does better than one of the second"
    return Table(caption, tuple(columns), found)


def _first(contrast: Contrast, word: str) -> tuple[str, str]:
    names = f"{contrast.method} {word} {contrast.against}"
    return names, contrast.final.iqm.runs_in_words("pair" if contrast.paired else "run")


def _trunks(counts: TrunkCounts | None) -> str:
    """Return the counts as text, such as `4 of 5, 80% [38, 96]`."""
    if counts is None:
        return wording.MISSING
    ties = f" ({counts.tied} tied)" if counts.tied else ""
    return f"{counts.better} of {counts.share.n}{ties}, {wording.percent(counts.share)}"


def _pairs(contrasts: Sequence[Contrast]) -> list[tuple[str, str]]:
    """Return both names of each pair, shortened so that a figure has room for both."""
    room = LONGEST_NAME - 3
    rooms = [max(room // 2, room - len(contrast.method)) for contrast in contrasts]
    against = shortened_apart([contrast.against for contrast in contrasts], rooms)
    left = [room - len(name) for name in against]
    return list(zip(shortened_apart([contrast.method for contrast in contrasts], left), against, strict=True))

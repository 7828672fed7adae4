"""The report's section on two methods beside each other: differences, and which is probably better."""

from collections.abc import Sequence

from ..analysis.results import Contrast, TrunkCounts
from ..analysis.statistics import SETTLING_RUNS
from . import wording
from .figures import LONGEST_NAME, shortened
from .sections import Looks, Section, Table, TableRow, columns_said, rows_figure, rows_of, ways


def differences(contrasts: Sequence[Contrast], looks: Looks, unit: str) -> Section | None:
    if not contrasts:
        return None
    pairs = [_pair(contrast) for contrast in contrasts]
    used = [looks[contrast.method] for contrast in contrasts]
    minus, over = [" − ".join(pair) for pair in pairs], [" over ".join(pair) for pair in pairs]
    dots = {name: contrast.differences for name, contrast in zip(minus, contrasts, strict=True)}
    found = [(name, look, c.final_iqm) for name, look, c in zip(minus, used, contrasts, strict=True)]
    chances = [(name, look, c.improvement) for name, look, c in zip(over, used, contrasts, strict=True)]
    figures = (
        rows_figure(
            rows_of(found, dots, difference=True), f"Difference of final {unit}, IQM",
            f"difference of {unit}; right of the line is better", 0,
        ),
        rows_figure(
            rows_of(chances, most=2), "Probability of improvement", "probability; 0.5 is no difference", 0.5,
            (-0.02, 1.02),
        ),
    )  # fmt: skip
    tables = (_sizes(contrasts), _chances(contrasts))
    return Section("Differences", _text(contrasts), figures, tables, _notes(contrasts))


def _text(contrasts: Sequence[Contrast]) -> str:
    text = "An interval that holds 0, or a probability whose interval holds 0.5, does not settle which is better."
    if any(contrast.final_iqm.smallest < SETTLING_RUNS for contrast in contrasts):
        text += f" One of fewer than {SETTLING_RUNS} runs or pairs settles nothing, wherever it lies."
    if any(contrast.paired for contrast in contrasts):
        text += " Paired: both methods branch from the same trunks, which are resampled jointly."
    if any(contrast.differences for contrast in contrasts):
        text += " Small dots are trunks: the difference of their two branches."
    if not all(contrast.paired for contrast in contrasts):
        text += " Not paired: the runs of both methods are resampled independently."
    return text


def _notes(contrasts: Sequence[Contrast]) -> tuple[str, ...]:
    shares = [counts.share for c in contrasts for counts in (c.trunks, c.trunks_area) if counts]
    notes = ways([found for c in contrasts for found in (c.final_iqm, c.improvement)])
    return notes + ways(shares, "Shares of trunks")


def _sizes(contrasts: Sequence[Contrast]) -> Table:
    cells = columns_said([[c.final_iqm, c.final_mean, c.area_iqm, c.area_mean] for c in contrasts], True)
    rows = tuple(TableRow(c.method, (*_first(c, "−"), *row)) for c, row in zip(contrasts, cells, strict=True))
    columns = ("methods", "n", "final, IQM", "final, mean", "area, IQM", "area, mean")
    return Table("Differences, the first method minus the second", columns, rows)


def _chances(contrasts: Sequence[Contrast]) -> Table:
    cells = columns_said([[c.improvement, c.improvement_area] for c in contrasts], most=2)
    columns: tuple[str, ...] = ("methods", "n", "higher final", "larger area")
    said: list[tuple[str, ...]] = [(*_first(c, "over"), *row) for c, row in zip(contrasts, cells, strict=True)]
    if any(contrast.trunks for contrast in contrasts):
        columns = (*columns[:3], "on trunks", columns[3], "on trunks")
        said = [
            (*names, final, _trunks(c.trunks), area, _trunks(c.trunks_area))
            for c, (*names, final, area) in zip(contrasts, said, strict=True)
        ]
    rows = tuple(TableRow(c.method, row) for c, row in zip(contrasts, said, strict=True))
    return Table("Probability that a run of the first method does better than one of the second", columns, rows)


def _first(contrast: Contrast, word: str) -> tuple[str, str]:
    names = f"{contrast.method} {word} {contrast.against}"
    return names, contrast.final_iqm.counted("pair" if contrast.paired else "run")


def _trunks(counts: TrunkCounts | None) -> str:
    """`4 of 5, 80% [38, 96]`"""
    if counts is None:
        return wording.MISSING
    ties = f" ({counts.tied} tied)" if counts.tied else ""
    return f"{counts.better} of {counts.n}{ties}, {wording.percent(counts.share)}"


def _pair(contrast: Contrast) -> tuple[str, str]:
    """Both names, short enough that a figure has room for the second too."""
    room = LONGEST_NAME - 3
    against = shortened(contrast.against, max(room // 2, room - len(contrast.method)))
    return shortened(contrast.method, room - len(against)), against

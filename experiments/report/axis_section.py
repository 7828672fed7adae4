"""The report's chapter over the axes: the methods' scores at each value of a setting, as figures and tables."""

from ..analysis.axis import OverAxis, over_axes
from ..analysis.results import Results
from . import wording
from .axis_figures import SCORES, draw_over_axis, positions, title_of
from .drawing import WIDTH, Looks, page_image
from .sections import Chapter, Illustration, Section, Table, TableRow, columns_in_words, ways


def axis_chapter(results: Results, looks: Looks) -> Chapter | None:
    """Return the chapter over the axes; None if there are no axes."""
    found = over_axes(results)
    if not found:
        return None
    words = " and ".join(dict.fromkeys(over.axis.words for over in found))
    sections = [_section(over, looks) for over in found]
    lead = "Every value has a comparison and a chapter of its own, below. This chapter shows them side by side."
    return Chapter("axes", f"Over the {words}", lead, (), (), (), "", sections)


def _section(over: OverAxis, looks: Looks) -> Section:
    metric, used = over.compared[0].metric, [looks[curve.method] for curve in over.curves]
    alt = f"Final {metric.name} and area under the curve over the {over.axis.words}: {_in_words(over)}"
    narrow = page_image(draw_over_axis(over, looks, WIDTH, 520, side_by_side=False), alt, used)
    wide = page_image(draw_over_axis(over, looks, 900, 340, side_by_side=True), alt, used)
    figure = Illustration(narrow, f"{over.where}: IQM with its interval", wide)
    intervals = [each.iqm for curve in over.curves for what in SCORES for each in curve.scores(what) if each]
    logarithmic = " The axis is logarithmic." if positions(over.values)[1] == "log" else ""
    text = (
        f"Each point is the interquartile mean (IQM) of a method's runs at one value of the {over.axis.words}, with "
        "the same interval as in the chapter of that value. Runs with different values are never averaged."
        f"{logarithmic} The methods are shifted sideways a little, so that no interval hides another."
    )
    tables = tuple(_table(over, what, title_of(what, metric)) for what in SCORES)
    branched = all(each.branch_step is not None for each in over.compared)
    trunks = f"The methods branch from trunks that were trained with the same {over.axis.words}."
    notes = (*ways(intervals), f"n: {_counts(over)}.", *([trunks] if branched else []))
    title = f"Over the {over.axis.words}: {over.compared[0].agent} on {over.where}"
    return Section(title, text, (figure,), tables, notes, tuple(curve.method for curve in over.curves))


def _table(over: OverAxis, what: str, title: str) -> Table:
    found = [[scores and scores.iqm for scores in curve.scores(what)] for curve in over.curves]
    said = columns_in_words(found, over.compared[0].metric)
    names = [curve.method for curve in over.curves]
    rows = tuple(TableRow(name, (name, *cells)) for name, cells in zip(names, said, strict=True))
    columns = ("method", *(f"{over.axis.words} {value}" for value in over.values))
    return Table(f"{title[0].upper()}{title[1:]}, IQM", columns, rows)


def _counts(over: OverAxis) -> str:
    said = []
    for curve in over.curves:
        counts = [str(found.n) if found else "0" for found in curve.found]
        said.append(f"{curve.method} {counts[0] if len(set(counts)) == 1 else ', '.join(counts)}")
    return "; ".join(said)


def _in_words(over: OverAxis) -> str:
    metric = over.compared[0].metric
    said = []
    for curve in over.curves:
        ends = [scores.iqm.value if scores else None for scores in curve.scores("final")]
        said.append(f"{curve.method} {', '.join(wording.in_unit(end, metric) for end in ends)}")
    return f"final at {', '.join(over.values)}: {'; '.join(said)}"

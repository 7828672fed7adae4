"""The report's section on results of others: from which files they are, and how many evaluations of how many seeds."""

from ..analysis.results import Comparison
from . import wording
from .sections import Section, Table, TableRow


def published_sections(comparison: Comparison) -> list[Section]:
    """One where there are any, none elsewhere."""
    methods = [(method, method.published) for method in comparison.methods if method.published]
    if not methods:
        return []
    rows = []
    for method, file in methods:
        steps = [run.steps for run in method.runs]
        last = [float(run.values[-1]) for run in method.runs]
        rows.append(TableRow(method.method, (
            method.method, str(len(method.runs)), wording.ranges(run.run.seed for run in method.runs),
            wording.plural(min(map(len, steps)), "evaluation"), f"{max(each[-1] for each in steps):,.0f}",
            wording.in_unit(sum(last) / len(last), comparison.metric), str(wording.place(file)),
        )))  # fmt: skip
    columns = ("method", "n", "seeds", "of each", "last step", "mean there", "file")
    text = (
        "Made by others, read from the files below and shown as far as runs here go. They share no trunk and perhaps "
        "not every setting with the runs here, so no difference to them is computed: compare the intervals, and read "
        "what is to be kept in mind."
    )
    table = Table("Published results", columns, tuple(rows), words=(2, 3, 6))
    return [Section("Published results", text, (), (table,))]

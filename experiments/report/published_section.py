"""The report's section on published results: their files, seeds and numbers of evaluations."""

from ..analysis.results import Comparison
from . import wording
from .sections import Section, Table, TableRow


def published_sections(comparison: Comparison) -> list[Section]:
    """Return the section on published results in a list; an empty list if there are none."""
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
    columns = ("method", "n", "seeds", "per seed", "last step", "mean at the last step", "file")
    text = (
        "These results were made by others. They were read from the files below and are shown up to the last step of "
        "the runs here. They share no trunk, and perhaps not all settings, with the runs here, so differences to them "
        "are not computed: compare the intervals, and read the notes on the differences in protocol."
    )
    table = Table("Published results", columns, tuple(rows), words=(2, 3, 6))
    return [Section("Published results", text, (), (table,))]

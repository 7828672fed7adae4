"""The report on a comparison: one page that opens anywhere, its main figure for papers, its numbers and its text."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.markers import MarkerStyle

from training.durable import write_durably

from ..analysis.results import Results
from ..analysis.statistics import ENOUGH_RUNS, SETTLING_RUNS
from .contents import report_of
from .drawing import DARK, GRID, INK, MUTED, PAPER, Look, png, style, svg
from .markdown import markdown
from .paper_figure import draw_paper_figure
from .sections import Report
from .spreadsheet import write_scores


def write_report(results: Results, folder: Path, command: str = "") -> Path:
    """Write `report.html`, `curves.png`, `curves.svg`, `scores.csv` and `summary.md`; returns the first.

    `command` is what one types to make it again. Each file is whole or absent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = report_of(results, command)
    with style():
        figure = draw_paper_figure(
            [*results.comparisons, *(each for each in results.across if each.curves)], report.methods
        )
        write_durably(folder / "curves.png", png(figure))
        write_durably(folder / "curves.svg", svg(figure, text_as_paths=True).encode())
    write_scores(results, folder / "scores.csv")
    write_durably(folder / "summary.md", markdown(report).encode())
    write_durably(folder / "report.html", page(report).encode())
    return folder / "report.html"


def page(report: Report) -> str:
    """The text of `report.html`. Everything that is not from the template itself is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html.jinja").render(
        **vars(report),
        signs={name: (f"m{index}", look) for index, (name, look) in enumerate(report.methods.items())},
        outlines={name: _outline(look) for name, look in report.methods.items()},
        theme=_theme(report.methods),
        few_runs=ENOUGH_RUNS,
        settling_runs=SETTLING_RUNS,
    )


def _theme(methods: Mapping[str, Look]) -> dict[str, dict[str, str]]:
    """Colours by theme, by the names that the page's style uses."""
    names = {"ink": INK, "muted": MUTED, "line": GRID, "paper": PAPER}
    signs = {f"m{index}": look for index, look in enumerate(methods.values())}
    return {
        "light": names | {name: look.color for name, look in signs.items()},
        "dark": {name: DARK[color] for name, color in names.items()} | {n: look.dark for n, look in signs.items()},
    }


def _outline(look: Look) -> Markup:
    """A marker's outline as an SVG path around 0, 5 units wide; numbers and letters only."""
    marker = MarkerStyle(look.marker)
    path = marker.get_path().transformed(marker.get_transform())
    polygons = [np.asarray(polygon, dtype=float) for polygon in path.to_polygons(closed_only=True)]
    extent = max(float(np.abs(polygon).max()) for polygon in polygons)
    parts = ("M" + "L".join(f"{x / extent * 4:.2f} {-y / extent * 4:.2f}" for x, y in polygon) for polygon in polygons)
    return Markup("".join(parts))

"""Writes the report of a comparison: the HTML page, the figures for papers, the tables and the Markdown text."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle

from fire_rl.training.durable import write_durably

from ..analysis.axis import over_axes
from ..analysis.results import Results
from ..analysis.statistics import ENOUGH_RUNS, SETTLING_RUNS
from .axis_section import draw_axis_paper
from .contents import report_of
from .drawing import DARK, GRID, INK, MUTED, PAPER, Look, Looks, pdf, png, style, svg_for_papers
from .latex import latex_table
from .markdown import markdown
from .paper_figure import draw_paper_figure, sheet_of
from .phase_sections import draw_panels, panels_of
from .sections import Report
from .spreadsheet import write_curves, write_phases, write_scores

FILES = {
    "page": "report.html", "figures": "curves.pdf, curves.svg, curves.png", "numbers": "scores.csv, curves.csv",
    "table": "table.tex", "text": "summary.md",
}  # fmt: skip
AXIS = "axis.pdf, axis.svg, axis.png"  # only if runs differ in a setting
PHASES = "phases.pdf, phases.svg, phases.png, phases.csv"  # only if the data comes in phases


def write_report(results: Results, folder: Path, command: str = "", width: str = "double") -> Path:
    """Write the files in FILES, AXIS and PHASES, and return the path of the page.

    `command` makes the report again; `width` is the width of the figures for papers. No file is ever written in part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = report_of(results, command)
    panels = [*results.comparisons, *(each for each in results.across if each.curves)]
    with style():
        write_durably(folder / "curves.png", png(draw_paper_figure(panels, report.methods)))
    with style(for_papers=True):
        _write_for_papers(folder / "curves", lambda: draw_paper_figure(panels, report.methods, sheet_of(width)))
        if found := over_axes(results):
            figure = _write_for_papers(folder / "axis", lambda: draw_axis_paper(found, report.methods, width))
            write_durably(folder / "axis.png", png(figure))
        if pictures := [panel for comparison in results.comparisons for panel in panels_of(comparison)]:
            figure = _write_for_papers(folder / "phases", lambda: draw_panels(pictures, width))
            write_durably(folder / "phases.png", png(figure))
            write_phases(results, folder / "phases.csv")
    write_scores(results, folder / "scores.csv")
    write_curves(results, folder / "curves.csv")
    write_durably(folder / "table.tex", latex_table(results).encode())
    write_durably(folder / "summary.md", markdown(report).encode())
    write_durably(folder / "report.html", page(report).encode())
    return folder / "report.html"


def _write_for_papers(path: Path, draw: Callable[[], Figure]) -> Figure:
    """Write a figure as PDF and as SVG, with their text as text."""
    figure = draw()
    write_durably(path.with_suffix(".pdf"), pdf(figure))
    write_durably(path.with_suffix(".svg"), svg_for_papers(figure).encode())
    return figure


def page(report: Report) -> str:
    """Return the text of `report.html`. Everything that does not come from the template is escaped."""
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


def _theme(methods: Looks) -> dict[str, dict[str, str]]:
    """Return the colours of both themes, by the names that the page's style sheet uses."""
    names = {"ink": INK, "muted": MUTED, "line": GRID, "paper": PAPER}
    signs = {f"m{index}": look for index, look in enumerate(methods.values())}
    return {
        "light": names | {name: look.color for name, look in signs.items()},
        "dark": {name: DARK[color] for name, color in names.items()} | {n: look.dark for n, look in signs.items()},
    }


def _outline(look: Look) -> Markup:
    """Return a marker's outline as an SVG path that reaches 4 units from 0 in each direction."""
    marker = MarkerStyle(look.marker)
    path = marker.get_path().transformed(marker.get_transform())
    polygons = [np.asarray(polygon, dtype=float) for polygon in path.to_polygons(closed_only=True)]
    extent = max(float(np.abs(polygon).max()) for polygon in polygons)
    parts = ("M" + "L".join(f"{x / extent * 4:.2f} {-y / extent * 4:.2f}" for x, y in polygon) for polygon in polygons)
    return Markup("".join(parts))

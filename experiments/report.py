"""The report on a comparison: one page that opens anywhere, its main figure for papers, and its numbers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.markers import MarkerStyle

from replay.durable import write_durably

from . import wording
from .curve_figures import draw_paper_figure, panel_across, panel_of
from .figures import DARK, GRID, INK, MUTED, PAPER, Look, looks, png, style, svg
from .records import Run
from .results import Comparison, Results
from .run_sections import run_sections
from .score_sections import across_sections, score_sections
from .scores import write_scores, write_summary
from .sections import Section


@dataclass(frozen=True)
class Chapter:
    """One agent in one environment, or in all of them."""

    name: str
    agent: str
    env: str
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    sections: tuple[Section, ...]


def write_report(results: Results, folder: Path, command: str = "") -> Path:
    """Write `report.html`, `curves.png`, `curves.svg`, `scores.csv` and `summary.md`; returns the first.

    `command` is what one types to make it again. Each file is whole or absent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    methods = looks(results.methods)
    with style():
        panels = [panel_of(comparison) for comparison in results.comparisons]
        panels += [panel_across(across) for across in results.across if all(m.curve for m in across.methods)]
        figure = draw_paper_figure(panels, methods)
        write_durably(folder / "curves.png", png(figure))
        write_durably(folder / "curves.svg", svg(figure, text_as_paths=True).encode())
        page = render(results, methods, command)
    write_scores(results, folder / "scores.csv")
    write_summary(results, folder / "summary.md")
    write_durably(folder / "report.html", page.encode())
    return folder / "report.html"


def render(results: Results, methods: Mapping[str, Look], command: str) -> str:
    """The page. Everything that is not from the template itself is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html.jinja").render(
        title=_title(results),
        facts=_facts(results),
        command=command,
        chapters=_chapters(results, methods),
        notes=results.notes,
        signs={name: (f"m{index}", look) for index, (name, look) in enumerate(methods.items())},
        outlines={name: _outline(look) for name, look in methods.items()},
        theme=_theme(methods),
        few_runs=wording.FEW_RUNS,
    )


def _title(results: Results) -> str:
    envs = list(dict.fromkeys(comparison.env for comparison in results.comparisons))
    where = envs[0] if len(envs) == 1 else wording.counted(len(envs), "environment")
    return f"{wording.counted(len(results.methods), 'method')} on {where}" if envs else "No runs yet"


def _chapters(results: Results, methods: Mapping[str, Look]) -> list[Chapter]:
    found = [
        Chapter(
            f"all-{index}", across.agent, f"{len(across.envs)} environments together", tuple(wording.findings(across)),
            (f"Environments: {', '.join(across.envs)}.", *across.notes), tuple(across_sections(across, methods)),
        )
        for index, across in enumerate(results.across)
    ]  # fmt: skip
    return found + [
        Chapter(
            f"env-{index}", comparison.agent, comparison.env, tuple(wording.findings(comparison)), comparison.notes,
            (*score_sections(comparison, methods), *run_sections(comparison, methods)),
        )
        for index, comparison in enumerate(results.comparisons)
    ]  # fmt: skip


def _facts(results: Results) -> dict[str, str]:
    """What was compared, and with what it was made."""
    runs = [run.run for comparison in results.comparisons for method in comparison.methods for run in method.runs]
    finished = sum(run.finished for run in runs)
    facts = {
        "Agents": _each(f"{comparison.agent} on {comparison.env}" for comparison in results.comparisons),
        "Runs": f"{finished} finished of {len(runs)}" + (f", and {wording.counted(len(results.trunks), 'trunk')}" if results.trunks else ""),
        "Seeds": wording.ranges(run.seed for run in runs),
        "Steps": _each(f"{run.steps:,}" for run in runs),
        "Replay ratio": _each(f"{run.replay_ratio}" for run in runs),
        "Branch": _each(map(_branch, results.comparisons)),
        "Baseline": _each(comparison.baseline for comparison in results.comparisons),
    }
    keys = dict.fromkeys(key for run in runs for key in run.made_with)
    made = {key: _each(run.made_with.get(key, "?") for run in runs) for key in keys}
    last = ("commit", "processor", "gpu", "threads")
    facts["Versions"] = ", ".join(f"{key} {value}" for key, value in made.items() if key not in last)
    facts |= {key.capitalize() if key != "gpu" else "GPU": made[key] for key in last if key in made}
    return {name: value for name, value in facts.items() if value}


def _branch(comparison: Comparison) -> str:
    if comparison.branch_step is not None:
        return f"every method from the same trunks at step {comparison.branch_step:,}"
    branches = any(run.run.branch for method in comparison.methods for run in method.runs)
    return "some runs are branches, at different steps" if branches else "none: each run is its own from the start"


def _each(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))


# The theme and the signs of methods


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
    polygons = path.to_polygons(closed_only=True)
    extent = max(float(abs(polygon).max()) for polygon in polygons)
    parts = ("M" + "L".join(f"{x / extent * 4:.2f} {-y / extent * 4:.2f}" for x, y in polygon) for polygon in polygons)
    return Markup("".join(parts))

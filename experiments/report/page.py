"""The report on a comparison: one page that opens anywhere, its main figure for papers, and its numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.markers import MarkerStyle

from replay.durable import write_durably

from ..analysis.records import Run
from ..analysis.results import Comparison, Results
from ..analysis.statistics import ENOUGH_RUNS, SETTLING_RUNS
from .curve_figures import Panel, panel_across, panel_of
from .figures import DARK, GRID, INK, MUTED, PAPER, Look, looks, png, style, svg
from .paper_figure import draw_paper_figure
from .run_sections import run_sections
from .score_sections import across_sections, score_sections
from .scores import write_scores, write_summary
from .sections import Section
from .wording import counted, findings, headline, how_many_ended, made_by, ranges


@dataclass(frozen=True)
class Chapter:
    """One agent in one environment, or in all of them."""

    name: str
    agent: str
    env: str
    lead: str
    headline: Sequence[str]
    findings: Sequence[str]
    notes: Sequence[str]
    made_by: str  # intervals of the findings
    sections: Sequence[Section]


def write_report(results: Results, folder: Path, command: str = "") -> Path:
    """Write `report.html`, `curves.png`, `curves.svg`, `scores.csv` and `summary.md`; returns the first.

    `command` is what one types to make it again. Each file is whole or absent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    methods = looks(results.methods)
    with style():
        panels = [panel_of(comparison) for comparison in results.comparisons]
        together = [panel_across(across, results.comparisons) for across in results.across]
        figure = draw_paper_figure([*panels, *(panel for panel in together if panel.curves)], methods)
        write_durably(folder / "curves.png", png(figure))
        write_durably(folder / "curves.svg", svg(figure, text_as_paths=True).encode())
        page = _render(results, _chapters(results, panels, together, methods), methods, command)
    write_scores(results, folder / "scores.csv")
    write_summary(results, folder / "summary.md")
    write_durably(folder / "report.html", page.encode())
    return folder / "report.html"


def _render(results: Results, chapters: Sequence[Chapter], methods: Mapping[str, Look], command: str) -> str:
    """The page. Everything that is not from the template itself is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html.jinja").render(
        title=_title(results),
        facts=_facts(results),
        command=command,
        chapters=chapters,
        lead=_lead(results),
        notes=(*results.notes, *_shared_notes(results)),
        signs={name: (f"m{index}", look) for index, (name, look) in enumerate(methods.items())},
        outlines={name: _outline(look) for name, look in methods.items()},
        theme=_theme(methods),
        few_runs=ENOUGH_RUNS,
        settling_runs=SETTLING_RUNS,
    )


def _title(results: Results) -> str:
    envs = list(dict.fromkeys(comparison.env for comparison in results.comparisons))
    where = envs[0] if len(envs) == 1 else counted(len(envs), "environment")
    return f"{counted(len(results.methods), 'method')} on {where}" if envs else "No runs yet"


def _runs(results: Results) -> list[Run]:
    return [run.run for comparison in results.comparisons for method in comparison.methods for run in method.runs]


def _lead(results: Results) -> str:
    """What this is, in a line; the rest stands at the end."""
    runs = _runs(results)
    steps = " or ".join(dict.fromkeys(f"{run.steps:,}" for run in runs))
    agents = ", ".join(dict.fromkeys(comparison.agent for comparison in results.comparisons))
    finished = all(run.finished for run in runs)
    done = counted(len(runs), "run") if finished else f"{how_many_ended(runs)} runs"
    return f"{agents}, {done}, {steps} steps each, seeds {ranges(run.seed for run in runs)}" if runs else ""


def _chapters(
    results: Results, panels: Sequence[Panel], together: Sequence[Panel], methods: Mapping[str, Look]
) -> list[Chapter]:
    found = []
    for index, (across, panel) in enumerate(zip(results.across, together, strict=True)):
        lead = f"Environments: {', '.join(across.envs)}."
        sections = across_sections(across, panel, methods)
        where = f"{len(across.envs)} environments together"
        said = lead, headline(across), findings(across), across.notes
        found.append(Chapter(f"all-{index}", across.agent, where, *said, made_by(across), sections))
    for index, (comparison, panel) in enumerate(zip(results.comparisons, panels, strict=True)):
        sections = [*score_sections(comparison, panel, methods), *run_sections(comparison, panel, methods)]
        said = "", headline(comparison), findings(comparison), comparison.notes
        found.append(Chapter(f"env-{index}", comparison.agent, comparison.env, *said, made_by(comparison), sections))
    return found


def _shared_notes(results: Results) -> tuple[str, ...]:
    """What has to be known of all environments, said once."""
    first, *others = [comparison.notes for comparison in results.comparisons] or [()]
    return tuple(note for note in first if all(note in notes for notes in others))


def _facts(results: Results) -> dict[str, str]:
    """What was compared, and with what it was made."""
    runs = _runs(results)
    facts = {
        "Agent": _each(f"{comparison.agent} on {comparison.env}" for comparison in results.comparisons),
        "Runs": how_many_ended(runs) + (f", and {counted(len(results.trunks), 'trunk')}" if results.trunks else ""),
        "Seeds": ranges(run.seed for run in runs),
        "Steps": _each(f"{run.steps:,}" for run in runs),
        "Replay ratio": _each(f"{run.replay_ratio}" for run in runs),
        "Branch": _each(map(branch_said, results.comparisons)),
        "Baseline": _each(comparison.baseline for comparison in results.comparisons),
    }
    keys = dict.fromkeys(key for run in runs for key in run.made_with)
    made = {key: _each(run.made_with.get(key, "?") for run in runs) for key in keys}
    last = ("commit", "processor", "gpu", "threads")
    facts["Versions"] = ", ".join(f"{key} {value}" for key, value in made.items() if key not in last)
    facts |= {key.capitalize() if key != "gpu" else "GPU": made[key] for key in last if key in made}
    return {name: value for name, value in facts.items() if value}


def branch_said(comparison: Comparison) -> str:
    """Whether the methods have their trunks in common."""
    trunks = [{run.run.branch.trunk for run in method.runs if run.run.branch} for method in comparison.methods]
    if comparison.branch_step is not None:
        same = all(own == trunks[0] for own in trunks)
        subsets = any(own == set().union(*trunks) for own in trunks)
        from_where = (
            "from the same trunks" if same else "from the same trunks, though not from all of them"
            if subsets else "from trunks that the methods do not share"
        )  # fmt: skip
        return f"every method {from_where}, at step {comparison.branch_step:,}"
    branches = any(trunks)
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
    polygons = [np.asarray(polygon, dtype=float) for polygon in path.to_polygons(closed_only=True)]
    extent = max(float(np.abs(polygon).max()) for polygon in polygons)
    parts = ("M" + "L".join(f"{x / extent * 4:.2f} {-y / extent * 4:.2f}" for x, y in polygon) for polygon in polygons)
    return Markup("".join(parts))

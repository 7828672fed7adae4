"""Builds the contents of a report: its title, chapters, notes, and the facts about the runs."""

from collections.abc import Iterable, Sequence

from ..analysis.records import Run
from ..analysis.results import Across, Compared, Comparison, Results
from ..kept import value_text
from .axis_section import axis_chapter
from .drawing import Looks, looks, style
from .findings import findings, headline, made_by
from .phase_sections import panels_of, phase_sections
from .run_sections import run_sections
from .score_sections import score_sections
from .sections import Chapter, Report
from .wording import how_many_ended, plural, ranges, schedules_in_words, terms


def report_of(results: Results, command: str = "") -> Report:
    """Return everything that the page and the Markdown text show."""
    first, *others = [comparison.notes for comparison in results.comparisons] or [()]
    shared = [note for note in first if all(note in notes for notes in others)]
    shown = (*results.methods, *results.published)
    methods, notes = looks(shown, results.options.spellings), (*results.notes, *shared)
    with style():
        over = axis_chapter(results, methods)
        chapters = [over] if over else []
        chapters += [_chapter(each, f"all-{index}", methods, notes) for index, each in enumerate(results.across)]
        chapters += [_chapter(each, f"env-{index}", methods, notes) for index, each in enumerate(results.comparisons)]
    return Report(
        title=_title(results),
        lead=_lead(results),
        notes=notes,
        chapters=chapters,
        facts=_facts(results),
        command=command,
        methods=methods,
        terms=terms(results.comparisons),
        acts=_act(results),
        phases=any(panels_of(comparison) for comparison in results.comparisons),
    )


def _chapter(compared: Comparison | Across, name: str, methods: Looks, known: Sequence[str]) -> Chapter:
    sections, lead = score_sections(compared, methods), ""
    if isinstance(compared, Comparison):
        sections += [*phase_sections(compared, methods), *run_sections(compared, methods)]
    else:
        lead = f"Environments: {', '.join(compared.envs)}."
    return Chapter(
        name=name,
        title=f"{compared.agent} · {compared.where}",
        lead=lead,
        headline=headline(compared),
        findings=findings(compared),
        notes=[note for note in compared.notes if note not in known],
        made_by=made_by(compared),
        sections=sections,
    )


def _act(results: Results) -> bool:
    return any(comparison.acts for comparison in results.comparisons)


def _title(results: Results) -> str:
    envs = list(dict.fromkeys(comparison.env for comparison in results.comparisons))
    where = envs[0] if len(envs) == 1 else plural(len(envs), "environment" if _act(results) else "data set")
    over = "".join(f", {plural(len(axis.values), 'value')} of the {axis.words}" for axis in results.axes)
    return f"{plural(len(results.methods), 'method')} on {where}{over}" if envs else "No runs yet"


def _runs(compared: Iterable[Compared]) -> list[Run]:
    return [run.run for each in compared for method in each.own for run in method.runs]


def _lead(results: Results) -> str:
    """Return one line that describes the runs; the details are at the end of the report."""
    runs = _runs(results.comparisons)
    steps = " or ".join(dict.fromkeys(f"{run.steps:,}" for run in runs))
    units = " or ".join(dict.fromkeys(comparison.short_unit for comparison in results.comparisons))
    agents = ", ".join(dict.fromkeys(comparison.agent for comparison in results.comparisons))
    finished = all(run.finished for run in runs)
    done = plural(len(runs), "run") if finished else f"{how_many_ended(runs)} runs"
    return f"{agents}, {done}, {steps} {units} each, seeds {ranges(run.seed for run in runs)}" if runs else ""


def _facts(results: Results) -> dict[str, str]:
    """Return the facts about the runs and about the software and machine that made them."""
    runs = _runs(results.comparisons)
    facts = {
        "Agent": _each(f"{comparison.agent} on {comparison.env}" for comparison in results.comparisons),
        "Runs": how_many_ended(runs) + (f", and {plural(len(results.trunks), 'trunk')}" if results.trunks else ""),
        "Seeds": ranges(run.seed for run in runs),
        "Steps": _each(f"{run.steps:,}" for run in runs),
        "Replay ratio": _each((value_text(run.replay_ratio) for run in runs if run.replay_ratio is not None), ", "),
        "Schedules": schedules_in_words(results.comparisons),
        "Branch": _each(map(branch_in_words, results.comparisons)),
        "Baseline": _each(comparison.baseline for comparison in results.comparisons),
    }
    keys = dict.fromkeys(key for run in runs for key in run.made_with)
    made = {key: _each(run.made_with.get(key, "?") for run in runs) for key in keys}
    last = ("commit", "processor", "gpu", "threads")
    facts["Versions"] = ", ".join(f"{key} {value}" for key, value in made.items() if key not in last)
    facts |= {key.capitalize() if key != "gpu" else "GPU": made[key] for key in last if key in made}
    return {name: value for name, value in facts.items() if value}


def branch_in_words(comparison: Comparison) -> str:
    """Return in words whether the runs branch, at which step, and whether the methods share their trunks."""
    trunks = [{run.run.branch.trunk for run in method.runs if run.run.branch} for method in comparison.own]
    if comparison.branch_step is not None:
        from_where = "from trunks that the methods do not share"
        if set().union(*trunks) in trunks:
            same = all(own == trunks[0] for own in trunks)
            from_where = "from the same trunks" + ("" if same else ", but some methods not from all of them")
        return f"every method {from_where}, at step {comparison.branch_step:,}"
    if any(trunks):
        return "some runs are branches, at different steps"
    return "none: each run was trained separately from the start"


def _each(values: Iterable[str], between: str = "; ") -> str:
    return between.join(dict.fromkeys(values))

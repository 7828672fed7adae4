"""The report's sections on what was reached: curves, scores and profiles, and in which order they stand with others."""

from collections.abc import Mapping, Sequence

from ..analysis.results import Across, AcrossMethod, Comparison, MethodResults
from . import wording
from .curve_figures import LOW, NARROW, WIDE, Panel, draw_curves, draw_method, limits_of
from .differences import differences
from .figures import picture
from .recovery import gaps, threshold
from .score_figures import draw_profiles
from .sections import Figured, Looks, Section, Table, TableRow, columns_said, rows_figure, rows_of, ways

AGGREGATES = (("iqm", "IQM"), ("mean", "Mean"), ("median", "Median"))

Runs = Mapping[str, Sequence[float]]


def score_sections(comparison: Comparison, panel: Panel, looks: Looks) -> list[Section]:
    scored = [method for method in comparison.methods if method.final and method.area]
    found = (
        _curves(panel, looks),
        _each_method(panel, looks),
        _scores(comparison, scored, looks),
        differences(comparison.contrasts, looks, "return"),
        _profiles(scored, looks, "final return"),
        threshold(comparison, looks),
        gaps(comparison, looks),
    )
    return [section for section in found if section]


def across_sections(across: Across, panel: Panel, looks: Looks) -> list[Section]:
    found = (
        _curves(panel, looks),
        _scores_across(across, looks),
        differences(across.contrasts, looks, "normalised score"),
        _profiles(across.methods, looks, "final normalised score"),
    )
    return [section for section in found if section]


def _curves(panel: Panel, looks: Looks) -> Section | None:
    if not panel.curves:
        return None
    used = [looks[name] for name in panel.curves]
    figures = []
    for name, title in AGGREGATES:
        last = {method: float(getattr(curve, name).value[-1]) for method, curve in panel.curves.items()}
        said = "; ".join(f"{method} {wording.number(value)}" for method, value in last.items())
        alt = f"{title} of the {panel.ylabel} over environment steps. At the end: {said}"
        main = name == "iqm"
        narrow = picture(draw_curves(panel, looks, NARROW if main else LOW, name, main), alt, used)
        wide = picture(draw_curves(panel, looks, WIDE, name, main), alt, used) if main else None
        bounded = any(getattr(curve, name).bounded for curve in panel.curves.values())
        shown = [*(["its band"] if bounded else []), *(["every run"] if main and panel.runs else [])]
        caption = f"{title}, with {' and '.join(shown)}" if shown else title
        figures.append(Figured(narrow, caption, wide))
    text = [f"Each evaluation's mean {panel.ylabel}, brought together over the runs of a method."]
    if panel.branch_step is not None:
        text.append(f"Dashed: the branch at {wording.steps(panel.branch_step)} steps.")
    if any(curve.before for curve in panel.curves.values()):
        text.append("Upright, thin: what an event did at once.")
    if panel.trunk is not None:
        text.append("Grey, before it: the trunks, which are the same for all methods.")
    if any(not run.counted for runs in panel.runs.values() for run in runs):
        text.append("Dotted: unfinished runs, which are not counted.")
    if any(run.run.diverged for runs in panel.runs.values() for run in runs):
        text.append("Crosses: where runs diverged; from there on they count with the return of a policy that fails.")
    counts = ", ".join(f"{name} {wording.runs_of(curve.iqm)}" for name, curve in panel.curves.items())
    notes = (*ways((curve.iqm for curve in panel.curves.values()), "Bands, at each point"), f"n: {counts}.")
    if any(curve.interpolated for curve in panel.curves.values()):
        notes += ("Runs that were evaluated at other steps than others are interpolated between their evaluations.",)
    return Section("Learning curves", " ".join(text), tuple(figures), (), notes, tuple(panel.curves))


def _each_method(panel: Panel, looks: Looks) -> Section | None:
    if len(panel.curves) < 2:
        return None
    limits = limits_of(panel)
    figures = []
    for name, curve in panel.curves.items():
        finals = [run.final for run in panel.runs[name] if run.final is not None]
        ends = ", ".join(map(wording.number, finals))
        alt = f"Runs of {name} over environment steps, n = {curve.n}. Final returns: {ends}"
        figures.append(Figured(picture(draw_method(panel, name, looks, limits), alt, [looks[name]]), ""))
    text = "Thin lines: every run of one method. Thick: their IQM and its band. Grey: the other methods' IQMs."
    return Section("Each method by itself", text, tuple(figures), small=True)


def _scores(comparison: Comparison, scored: Sequence[MethodResults], looks: Looks) -> Section | None:
    if not scored:
        return None
    finals: Runs = {m.method: [run.final for run in m.runs if run.final is not None] for m in scored}
    areas: Runs = {m.method: [run.area for run in m.runs if run.area is not None] for m in scored}
    figures = []
    for what, runs in (("final", finals), ("area", areas)):
        title = {"final": "Final return, IQM", "area": "Area under the curve, IQM"}[what]
        rows = rows_of([(m.method, looks[m.method], getattr(m, what).iqm) for m in scored], runs)
        figures.append(rows_figure(rows, title, "return" if what == "final" else "mean return over the steps"))
    since = "" if comparison.branch_step is None else ", from the branch on"
    text = (
        "Final return: mean of the evaluations in the last 10% of the steps. "
        f"Area: under the curve, divided by its length{since}. Small dots are runs."
    )
    tables = [_aggregates("Final return", scored, "final"), _aggregates("Area under the curve", scored, "area")]
    normalised = [method for method in scored if method.normalised]
    if normalised and comparison.references:
        tables.append(_aggregates("Final score, normalised", normalised, "normalised"))
        random, success = map(wording.number, comparison.references)
        text += (
            f" Normalised: 0 is a random policy's return, {random}, and 1 success, or in Atari a human's, {success}."
        )
    notes = ways(getattr(m, what).iqm for m in scored for what in ("final", "area"))
    if any(method.n <= 4 for method in scored):
        notes += ("Of three runs or fewer the IQM is their mean, of four their median.",)
    return Section("Final return and area under the curve", text, tuple(figures), tuple(tables), notes)


def _scores_across(across: Across, looks: Looks) -> Section:
    finals = {m.method: [run.normalised for run in m.runs if run.normalised is not None] for m in across.methods}
    areas = {
        m.method: [run.normalised_area for run in m.runs if run.normalised_area is not None] for m in across.methods
    }
    figures = []
    for what, title, runs in (
        ("final", "Final normalised score, IQM", finals), ("area", "Area under the curve, normalised, IQM", areas),
    ):  # fmt: skip
        rows = rows_of([(m.method, looks[m.method], getattr(m, what).iqm) for m in across.methods], runs)
        figures.append(rows_figure(rows, title, "normalised score"))
    tables = (
        _aggregates("Final normalised score", across.methods, "final"),
        _aggregates("Area under the curve, normalised", across.methods, "area"),
    )
    text = (
        "0 is a random policy, 1 is success or, in Atari games, a human. The median is that of the environments' "
        "means. Small dots are runs, of all environments."
    )
    notes = ways(getattr(m, what).iqm for m in across.methods for what in ("final", "area"))
    return Section("Final score and area under the curve", text, tuple(figures), tables, notes)


def _aggregates(caption: str, methods: Sequence[MethodResults | AcrossMethod], what: str) -> Table:
    found = [getattr(method, what) for method in methods]
    said = columns_said([[scores.iqm, scores.mean, scores.median] for scores in found])
    rows = tuple(
        TableRow(method.method, (method.method, wording.runs_and_diverged(method, scores.iqm), *cells))
        for method, scores, cells in zip(methods, found, said, strict=True)
    )
    return Table(caption, ("method", "n", *(title for _, title in AGGREGATES)), rows)


def _profiles(methods: Sequence[MethodResults | AcrossMethod], looks: Looks, xlabel: str) -> Section | None:
    profiles = {method.method: method.profile for method in methods if method.profile}
    if not profiles:
        return None
    alt = f"For each {xlabel}, the share of runs above it, for {', '.join(profiles)}"
    figure = picture(draw_profiles(profiles, looks, xlabel), alt, [looks[name] for name in profiles])
    text = "The share of a method's runs that ended above a score. Where a curve is above another, its runs did better."
    notes = ways((profile.share for profile in profiles.values()), "Bands, at each point")
    counts = ", ".join(f"{name} {wording.runs_of(profile.share)}" for name, profile in profiles.items())
    notes += (f"n: {counts}.",)
    return Section("Performance profiles", text, (Figured(figure, "Performance profiles"),), (), notes, tuple(profiles))

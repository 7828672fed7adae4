"""The report's sections on what was reached: curves, scores, differences, profiles, thresholds and gaps."""

import math
from collections.abc import Mapping, Sequence

from ..analysis.results import Across, AcrossMethod, Comparison, Contrast, MethodResults
from . import wording
from .curve_figures import LOW, NARROW, WIDE, Panel, draw_curves, draw_method, limits_of
from .figures import LONGEST_NAME, picture, shortened
from .score_figures import Row, draw_profiles
from .sections import Figured, Looks, Section, Table, TableRow, columns_said, rows_figure, rows_of, ways

AGGREGATES = (("iqm", "IQM"), ("mean", "Mean"), ("median", "Median"))

Runs = Mapping[str, Sequence[float]]


def score_sections(comparison: Comparison, panel: Panel, looks: Looks) -> list[Section]:
    scored = [method for method in comparison.methods if method.final and method.area]
    found = (
        _curves(panel, looks),
        _each_method(panel, looks),
        _scores(comparison, scored, looks),
        _differences(comparison.contrasts, looks, "return"),
        _profiles(scored, looks, "final return"),
        _threshold(comparison, looks),
        _gaps(comparison, looks),
    )
    return [section for section in found if section]


def across_sections(across: Across, panel: Panel, looks: Looks) -> list[Section]:
    found = (
        _curves(panel, looks),
        _scores_across(across, looks),
        _differences(across.contrasts, looks, "normalised score"),
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
    if panel.trunk is not None:
        text.append("Grey, before it: the trunks, which are the same for all methods.")
    if any(not run.counted for runs in panel.runs.values() for run in runs):
        text.append("Dotted: unfinished runs, which are not counted.")
    counts = ", ".join(f"{name} {curve.n}" for name, curve in panel.curves.items())
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
    return Section("Final return and area under the curve", text, tuple(figures), tuple(tables), notes)


def _scores_across(across: Across, looks: Looks) -> Section:
    figures = []
    for what, title in (("final", "Final normalised score, IQM"), ("area", "Area under the curve, normalised, IQM")):
        rows = rows_of([(m.method, looks[m.method], getattr(m, what).iqm) for m in across.methods])
        figures.append(rows_figure(rows, title, "normalised score"))
    tables = (
        _aggregates("Final normalised score", across.methods, "final"),
        _aggregates("Area under the curve, normalised", across.methods, "area"),
    )
    text = (
        "0 is a random policy, 1 is success or, in Atari games, a human. The median is that of the environments' means."
    )
    notes = ways(getattr(m, what).iqm for m in across.methods for what in ("final", "area"))
    return Section("Final score and area under the curve", text, tuple(figures), tables, notes)


def _aggregates(caption: str, methods: Sequence[MethodResults | AcrossMethod], what: str) -> Table:
    found = [getattr(method, what) for method in methods]
    said = columns_said([[scores.iqm, scores.mean, scores.median] for scores in found])
    rows = tuple(
        TableRow(method.method, (method.method, str(scores.iqm.n), *cells))
        for method, scores, cells in zip(methods, found, said, strict=True)
    )
    return Table(caption, ("method", "n", *(title for _, title in AGGREGATES)), rows)


def _differences(contrasts: Sequence[Contrast], looks: Looks, unit: str) -> Section | None:
    if not contrasts:
        return None
    names = [f"{contrast.method} − {contrast.against}" for contrast in contrasts]
    pairs = [_pair(contrast) for contrast in contrasts]
    shown = list(
        zip(
            [" − ".join(pair) for pair in pairs],
            [looks[contrast.method] for contrast in contrasts],
            contrasts,
            strict=True,
        )
    )
    better = [" over ".join(pair) for pair in pairs]
    chances = rows_of([(name, look, c.improvement) for name, (_, look, c) in zip(better, shown, strict=True)], most=2)
    figures = (
        rows_figure(
            rows_of([(name, look, c.final_iqm) for name, look, c in shown], difference=True),
            f"Difference of final {unit}, IQM", f"difference of {unit}; right of the line is better", 0,
        ),
        rows_figure(chances, "Probability of improvement", "probability; 0.5 is no difference", 0.5, (-0.02, 1.02)),
    )  # fmt: skip
    differences = columns_said([[c.final_iqm, c.final_mean, c.area_iqm, c.area_mean] for c in contrasts], True)
    chance_cells = columns_said([[c.improvement, c.improvement_area] for c in contrasts], most=2)
    rows = tuple(
        TableRow(c.method, (name, wording.counted(c.final_iqm.n, "pair" if c.paired else "run"), *row, *chance))
        for name, c, row, chance in zip(names, contrasts, differences, chance_cells, strict=True)
    )
    columns = (
        "methods",
        "n",
        "final, IQM",
        "final, mean",
        "area, IQM",
        "area, mean",
        "P(higher final)",
        "P(larger area)",
    )
    table = Table(
        "Differences, and probability that a run of the first does better than one of the second", columns, rows
    )
    text = "An interval that holds 0, or a probability whose interval holds 0.5, does not settle which is better."
    if any(contrast.paired for contrast in contrasts):
        text += " Paired: both methods branch from the same trunks, which are resampled jointly."
    if not all(contrast.paired for contrast in contrasts):
        text += " Not paired: the runs of both methods are resampled independently."
    return Section("Differences", text, figures, (table,), ways(c.final_iqm for c in contrasts))


def _pair(contrast: Contrast) -> tuple[str, str]:
    """Both names, short enough that a figure has room for the second too."""
    room = LONGEST_NAME - 3
    against = shortened(contrast.against, max(room // 2, room - len(contrast.method)))
    return shortened(contrast.method, room - len(against)), against


def _profiles(methods: Sequence[MethodResults | AcrossMethod], looks: Looks, xlabel: str) -> Section | None:
    profiles = {method.method: method.profile for method in methods if method.profile}
    if not profiles:
        return None
    alt = f"For each {xlabel}, the share of runs above it, for {', '.join(profiles)}"
    figure = picture(draw_profiles(profiles, looks, xlabel), alt, [looks[name] for name in profiles])
    text = "The share of a method's runs that ended above a score. Where a curve is above another, its runs did better."
    notes = ways((profile.share for profile in profiles.values()), "Bands, at each point")
    return Section("Performance profiles", text, (Figured(figure, "Performance profiles"),), (), notes, tuple(profiles))


def _threshold(comparison: Comparison, looks: Looks) -> Section | None:
    threshold, methods = comparison.threshold, [method for method in comparison.methods if method.threshold]
    if threshold is None or not methods:
        return None
    rows, cells = [], []
    for method in methods:
        assert method.threshold is not None
        when, share = method.threshold.median_steps, method.threshold.share
        said = f"{wording.short_steps(when)}; {round(share.value * share.n)} of {share.n}"
        times = [run.steps_to_threshold for run in method.runs if run.steps_to_threshold is not None]
        ends = [float(run.steps[-1]) for run in method.runs if run.steps_to_threshold == math.inf]
        row = Row(method.method, looks[method.method], when, said, [t for t in times if t < math.inf], ends)
        rows.append(row)
        cells.append(TableRow(method.method, (
            method.method, str(share.n), f"{round(share.value * share.n)} of {share.n}", wording.percent(share),
            wording.step_interval(when),
        )))  # fmt: skip
    figure = rows_figure(rows, "Steps to the threshold, median", "environment steps", over_steps=True)
    table = Table("Runs that reached the threshold", ("method", "n", "reached", "share", "median steps"), tuple(cells))
    text = (
        f"Threshold: {wording.number(threshold.value)}, {threshold.meaning}. Dots: runs that reached it. Open arrows: "
        "runs that had not when they ended; they are censored there, not left out. Never: less than half reached it."
    )
    shares = ways((method.threshold.share for method in methods if method.threshold), "Shares")
    notes = (*ways((m.threshold.median_steps for m in methods if m.threshold), "Medians"), *shares)
    return Section("Steps to a threshold", text, (figure,), (table,), notes)


def _gaps(comparison: Comparison, looks: Looks) -> Section | None:
    methods = [method for method in comparison.methods if method.gap]
    if not methods:
        return None
    gaps = [method.gap for method in methods if method.gap]
    depths = {m.method: [gap.depth for run in m.runs for gap in run.gaps] for m in methods}
    rows = rows_of([(m.method, looks[m.method], gap.depth) for m, gap in zip(methods, gaps, strict=True)], depths)
    said = columns_said([[gap.depth] for gap in gaps])
    cells = tuple(
        TableRow(m.method, (
            m.method, str(gap.events), str(gap.depth.n), *depth, wording.percent(gap.share),
            wording.step_interval(gap.duration), wording.percent(gap.regained),
        ))
        for m, gap, depth in zip(methods, gaps, said, strict=True)
    )  # fmt: skip
    columns = (
        "method",
        "events",
        "n",
        "depth",
        "share of the return before",
        "steps until regained",
        "runs that regained it",
    )
    text = (
        "How far the return falls below its value just before an event, and how long it stays there. Small dots are "
        "events. Time is counted in evaluations, so a gap shorter than the time between two of them shows as one."
    )
    figure = rows_figure(rows, "Depth of the stability gap", "return lost")
    notes = (
        *ways((gap.depth for gap in gaps), "Depth and share"),
        *ways((gap.duration for gap in gaps), "Steps until regained"),
        *ways((gap.regained for gap in gaps), "Runs that regained it"),
    )
    return Section("Stability gap", text, (figure,), (Table("Stability gaps", columns, cells),), notes)

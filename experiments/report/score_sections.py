"""The report's sections on scores: learning curves, final scores and areas, and performance profiles."""

from collections.abc import Mapping, Sequence

from fire_rl.training.metric import Metric

from ..analysis.method_results import Aggregates
from ..analysis.results import Compared, Comparison
from . import wording
from .contrast_section import contrast_section
from .curve_figures import draw_curves, draw_method, limits_of
from .drawing import WIDTH, Looks, page_image
from .recovery import gap_section, threshold_section
from .score_figures import draw_profiles
from .sections import Illustration, Section, Table, TableRow, columns_in_words, rows_figure, ways

AGGREGATES = (("iqm", "IQM"), ("mean", "Mean"), ("median", "Median"))
NARROW, LOW, WIDE = (WIDTH, 290), (WIDTH, 225), (900, 400)


def score_sections(compared: Compared, looks: Looks) -> list[Section]:
    """Return the sections on scores, in their order in the report, with those on differences and recovery."""
    found = [_curves(compared, looks), _each_method(compared, looks), _scores(compared, looks)]
    found += [contrast_section(compared, looks), _profiles(compared, looks)]
    if isinstance(compared, Comparison):
        found += [threshold_section(compared, looks), gap_section(compared, looks)]
    return [section for section in found if section]


def _curves(compared: Compared, looks: Looks) -> Section | None:
    curves, metric = compared.curves, compared.metric
    if not curves:
        return None
    used, figures = [looks[name] for name in curves], []
    for name, title in AGGREGATES:
        last = {method: float(getattr(curve, name).value[-1]) for method, curve in curves.items()}
        said = "; ".join(f"{method} {wording.in_unit(value, metric)}" for method, value in last.items())
        alt = f"{title} of the {metric.name} over {compared.unit}. At the end: {said}"
        main = name == "iqm"
        narrow = page_image(draw_curves(compared, looks, NARROW if main else LOW, name, main), alt, used)
        wide = page_image(draw_curves(compared, looks, WIDE, name, main), alt, used) if main else None
        bounded = any(getattr(curve, name).bounded for curve in curves.values())
        shown = [*(["its band"] if bounded else []), *(["every run"] if main and compared.drawn else [])]
        figures.append(Illustration(narrow, f"{title}, with {' and '.join(shown)}" if shown else title, wide))
    counts = ", ".join(f"{name} {wording.runs_of(curve.iqm)}" for name, curve in curves.items())
    notes = (*ways((curve.iqm for curve in curves.values()), "Bands, at each point"), f"n: {counts}.")
    if any(curve.interpolated for curve in curves.values()):
        notes += ("Not all runs were evaluated at the same steps: they are interpolated between their evaluations.",)
    return Section("Learning curves", _curves_in_words(compared), tuple(figures), (), notes, tuple(curves))


def _curves_in_words(compared: Compared) -> str:
    runs = [run for runs in compared.drawn.values() for run in runs]
    text = [f"The mean {compared.metric.name} of each evaluation, averaged over the runs of a method."]
    if compared.branch_step is not None:
        text.append(f"Dashed line: the branch at {wording.steps(compared.branch_step)} {compared.short_unit}.")
    if any(curve.before for curve in compared.curves.values()):
        text.append("Thin vertical lines: the immediate effect of an event.")
    if compared.trunk is not None:
        text.append("Grey, before the branch: the trunks, which all methods share.")
    if any(not run.counted for run in runs):
        text.append("Dotted: unfinished runs, which are not counted.")
    if any(run.run.diverged for run in runs):
        text.append(f"Crosses: where runs diverged; from there on they count with {wording.failing(compared)}.")
    return " ".join(text)


def _each_method(compared: Compared, looks: Looks) -> Section | None:
    if len(compared.curves) < 2 or not compared.drawn:
        return None
    limits, figures = limits_of(compared), []
    for name, curve in compared.curves.items():
        ends = ", ".join(wording.in_unit(run.final, compared.metric) for run in compared.method(name).finished)
        alt = f"Runs of {name} over {compared.unit}, n = {curve.iqm.n}. Final {compared.metric.plural}: {ends}"
        figures.append(Illustration(page_image(draw_method(compared, name, looks, limits), alt, [looks[name]])))
    text = "Thin lines: every run of one method. Thick line: their IQM, with its band. Grey: the other methods' IQMs."
    return Section("Each method by itself", text, tuple(figures), small=True)


def _scores(compared: Compared, looks: Looks) -> Section | None:
    scored = [method for method in compared.methods if method.final and method.area]
    if not scored:
        return None
    metric, alone = compared.metric, isinstance(compared, Comparison)
    area = "Area under the curve" if alone else "Area under the curve, normalised"
    over_steps = f"mean {metric.words} over the {compared.short_unit}" if alone else metric.words
    figures, tables = [], []
    for what, title, xlabel in (("final", f"Final {metric.name}", metric.words), ("area", area, over_steps)):
        runs = {m.method: [getattr(run, what) for run in m.finished] for m in scored}
        found = {m.method: getattr(m, what) for m in scored}
        figure, table = figure_and_table(title, xlabel, compared, looks, found, runs)
        figures.append(figure)
        tables.append(table)
    notes = ways(getattr(m, what).iqm for m in scored for what in ("final", "area"))
    if alone and any(method.n <= 4 for method in scored):
        notes += ("The IQM of three runs or fewer is their mean, and that of four runs is their median.",)
    normalised = {method.method: method.normalised for method in scored if method.normalised}
    if normalised:
        tables.append(_table("Final score, normalised", compared, normalised))
    title = f"Final {metric.name if alone else 'score'} and area under the curve"
    return Section(title, _scores_in_words(compared, bool(normalised)), tuple(figures), tuple(tables), notes)


def _scores_in_words(compared: Compared, normalised: bool) -> str:
    if not isinstance(compared, Comparison):
        return (
            "0 is the score of a random policy, 1 is success or, in Atari games, the score of a human. The median is "
            "that of the environments' means. Each small dot is a run, of any environment."
        )
    since = "" if compared.branch_step is None else ", from the branch on"
    of_its_own = "" if compared.branch_step is None else " and after the branch"
    text = (
        f"Final {compared.metric.name}: mean of the scheduled evaluations in the last 10% of the {compared.short_unit}"
        f"{of_its_own}; if there is an event at one of them, the value just before it is used. "
        f"Area: under the curve, divided by its length{since}. Each small dot is a run."
    )
    if normalised and compared.references:
        random, success = map(wording.number, compared.references)
        text += (
            f" Normalised: 0 is the return of a random policy, {random}; 1 is success, or in Atari the return of a "
            f"human, {success}."
        )
    return text


def figure_and_table(
    title: str, xlabel: str, compared: Compared, looks: Looks, found: Mapping[str, Aggregates],
    runs: Mapping[str, Sequence[float]], line: float | None = None,
) -> tuple[Illustration, Table]:  # fmt: skip
    """Return the figure and the table of a score for each method in `found`; `runs` are drawn as dots."""
    metric, rows = compared.metric, [(name, looks[name], each.iqm) for name, each in found.items()]
    figure = rows_figure(rows, f"{title}, IQM", xlabel, metric, [runs.get(name, ()) for name in found], line=line)
    return figure, _table(title + metric.words.removeprefix(metric.name), compared, found, metric)


def _table(caption: str, compared: Compared, found: Mapping[str, Aggregates], metric: Metric | None = None) -> Table:
    said = columns_in_words([[scores.iqm, scores.mean, scores.median] for scores in found.values()], metric)
    rows = tuple(
        TableRow(name, (name, wording.runs_and_diverged(compared.method(name), scores.iqm), *cells))
        for (name, scores), cells in zip(found.items(), said, strict=True)
    )
    return Table(caption, ("method", "n", *(title for _, title in AGGREGATES)), rows)


def _profiles(compared: Compared, looks: Looks) -> Section | None:
    profiles = {method.method: method.profile for method in compared.methods if method.profile}
    if not profiles:
        return None
    beyond = wording.by_direction(compared.metric, "above", "below")
    alt = f"For each final {compared.metric.name}, the share of runs {beyond} it, for {', '.join(profiles)}"
    image = page_image(draw_profiles(profiles, looks, compared.metric), alt, [looks[name] for name in profiles])
    text = f"The share of a method's runs whose final score is {beyond} each value."
    text += " Where a curve is above another one, its runs did better."
    notes = ways((profile.share for profile in profiles.values()), "Bands, at each point")
    counts = ", ".join(f"{name} {wording.runs_of(profile.share)}" for name, profile in profiles.items())
    figure = Illustration(image, "Performance profiles")
    return Section("Performance profiles", text, (figure,), (), (*notes, f"n: {counts}."), tuple(profiles))

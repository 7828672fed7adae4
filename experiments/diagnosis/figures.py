"""The figures of a diagnosis: scores relative to fresh networks, curves of the probes, and the plane of remedies."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.transforms import Bbox

from fire_rl.fire.diagnosis import Diagnosis
from fire_rl.fire.scores import Reading

from ..report.drawing import DASHED, FAINT, INK, MUTED, WIDTH, Look, PageImage, canvas, looks, page_image, shortened
from .examination import Examination
from .remedies import FRESH, UNTOUCHED, Remedy

WORDS = {
    "fit": "fit new targets",
    "replace": "give up old outputs",
    "flipped": "opposite targets",
    "newest": "newest data",
}
ROW = 30  # pixels
OURS, OTHER = Look("#dd5f00", "#f08030", "D"), Look("#4d5560", "#c9d1d9", "o")  # examined, and fresh networks
SHOWN_SCORES = (-0.5, 2.0)  # beyond these a score is drawn at the edge


def looks_of(remedies: Sequence[Remedy]) -> dict[str, Look]:
    """Return one look for each remedy; the corners have the looks of "none" and of a trunk."""
    named = [remedy.name for remedy in remedies if remedy.name not in (UNTOUCHED, FRESH)]
    return {UNTOUCHED: Look(INK, "#e4e8ec", "o"), FRESH: Look("#9aa3ad", "#727d88", "o"), **looks(named)}


def scores_figure(diagnosis: Diagnosis, nexts: Mapping[str, tuple[str, Reading]]) -> PageImage:
    """Draw every score with its interval, and a line at 1, the score of a fresh network."""
    rows = [(_words(name), reading) for name, reading in diagnosis.readings.items()]
    rows += [(WORDS.get(name, name), reading) for name, (_, reading) in nexts.items()]
    figure, (axes,) = canvas(WIDTH, 70 + ROW * len(rows))
    axes.axvline(1.0, color=MUTED, linewidth=1.0, linestyle=DASHED)
    low, high = SHOWN_SCORES
    for place, (_, reading) in enumerate(rows):
        for score, look, shift in ((reading.best, OURS, -0.12), (reading.own, OTHER, 0.16)):
            if score is None:
                continue
            value, left, right = (min(max(each, low), high) for each in (score.value, score.low, score.high))
            axes.plot([left, right], [place + shift] * 2, color=look.color, linewidth=1.6)
            axes.plot([value], [place + shift], look.marker, color=look.color, markersize=6)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(min(-0.05, *(max(low, reading.best.low) for _, reading in rows)), None)
    axes.set_xlabel("learned, as a share of a fresh network's")
    said = "; ".join(f"{name} {reading.best}" for name, reading in rows)
    return page_image(figure, f"Scores of {diagnosis.network} beside a fresh network's, 1: {said}", [OURS, OTHER])


def curves_figure(diagnosis: Diagnosis) -> PageImage:
    """Draw held-out error over the updates of the probes, for the network and for fresh networks."""
    figure, panels = canvas(WIDTH, 190, columns=2)
    step = diagnosis.probe.updates / diagnosis.probe.points
    for axes, form in zip(panels, ("fit", "replace"), strict=True):
        reading = diagnosis.readings[form]
        for errors, look in ((reading.fresh_errors, OTHER), (reading.errors, OURS)):
            updates = [round(step * number) for number in range(len(errors))]
            shown = [max(error, 1e-4) for error in errors]
            axes.semilogy(updates, shown, color=look.color, marker=look.marker, markersize=3.5, linewidth=1.4)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{error:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_title(WORDS[form])
        axes.set_xlabel("updates")
    panels[0].set_ylabel("held-out error")
    two = [(WORDS[form], diagnosis.readings[form]) for form in ("fit", "replace")]
    ends = "; ".join(f"{name}: {each.errors[-1]:.2g}, fresh {each.fresh_errors[-1]:.2g}" for name, each in two)
    return page_image(figure, f"Held-out error of {diagnosis.network} at the end of the probes: {ends}", [OURS, OTHER])


def plane_figure(examination: Examination, network: str) -> PageImage:
    """Draw trainability over the share kept at once, with a line through the remedies that no other beats in both."""
    found = looks_of(examination.remedies)
    figure, (axes,) = canvas(WIDTH, 300)
    points = {remedy.name: remedy.effects[network] for remedy in examination.remedies}
    spots = {name: (effect.kept.value, effect.trainability.best.value) for name, effect in points.items()}
    line = [spots[name] for name in examination.frontier(network)]
    axes.plot(*zip(*line, strict=True), color=FAINT, linewidth=5, solid_capstyle="round", zorder=1)
    _join_knobs(axes, spots, found)
    for name, effect in points.items():
        (x, y), score, look = spots[name], effect.trainability.best, found[name]
        axes.plot([effect.kept.low, effect.kept.high], [y, y], color=look.color, linewidth=1.2)
        axes.plot([x, x], [score.low, score.high], color=look.color, linewidth=1.2)
        axes.plot([x], [y], look.marker, color=look.color, markersize=7, zorder=3)
    axes.axhline(1.0, color=MUTED, linewidth=0.9, linestyle=DASHED, zorder=0)
    axes.set_xlim(min(-0.05, axes.get_xlim()[0]), 1.25)
    axes.set_xlabel(f"kept at once: {examination.kept_meaning[network]}")
    axes.set_ylabel("trainability (1: like a fresh network)")
    figure.draw_without_rendering()  # covered names are found in pixels, so the layout must be final
    label_apart(axes, spots, {name: look.color for name, look in found.items()})
    said = "; ".join(f"{name}: keeps {x:.2f}, trainability {y:.2f}" for name, (x, y) in spots.items())
    return page_image(figure, f"Plane of remedies of {network}. {said}", found.values())


def returns_figure(remedies: Sequence[Remedy]) -> PageImage | None:
    """Draw each remedy's return at once and after the recovery."""
    shown = [remedy for remedy in remedies if remedy.returned is not None]
    if not shown:
        return None
    found = looks_of(shown)
    figure, (axes,) = canvas(WIDTH, 70 + ROW * len(shown))
    for place, remedy in enumerate(shown):
        look = found[remedy.name]
        for returns, shift, full in ((remedy.returned, -0.14, False), (remedy.returned_later, 0.14, True)):
            if returns is None:
                continue
            y, fill = place + shift, look.color if full else "none"
            axes.plot([returns.low, returns.high], [y, y], color=look.color, linewidth=1.4)
            axes.plot([returns.mean], [y], look.marker, color=look.color, markerfacecolor=fill, markersize=6)
    axes.set_yticks(range(len(shown)), [shortened(remedy.name, 24) for remedy in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel("return: at once (hollow), later (filled)")
    said = "; ".join(f"{remedy.name} {remedy.returned}, later {remedy.returned_later}" for remedy in shown)
    return page_image(figure, f"Returns by remedy. {said}", found.values())


def _join_knobs(axes: Any, spots: Mapping[str, tuple[float, float]], found: Mapping[str, Look]) -> None:
    """Join the points of one method with several values of a setting by a line."""
    families: dict[str, list[str]] = {}
    for name in spots:
        families.setdefault(name.partition(":")[0], []).append(name)
    for names in families.values():
        if len(names) > 1:
            ordered = sorted(spots[name] for name in names)
            axes.plot(*zip(*ordered, strict=True), color=found[names[0]].color, linewidth=1.0, linestyle=":", zorder=2)


def label_apart(axes: Any, spots: Mapping[str, tuple[float, float]], colors: Mapping[str, str]) -> list[Any]:
    """Write each point's name beside it; one that would cover a name or a point moves towards the picture's middle."""
    middle, labels = sum(axes.get_ylim()) / 2, list[Any]()
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in axes.transData.transform(list(spots.values()))]
    for name, (x, y) in sorted(spots.items(), key=lambda item: abs(item[1][1] - middle), reverse=True):
        words = shortened(name, 24)
        label = axes.annotate(words, (x, y), (7, 4), textcoords="offset points", color=colors[name], fontsize=8)
        if label.get_window_extent().x1 > axes.bbox.x1:
            label.set_horizontalalignment("right")
            label.xyann = (-7, 4)
        while any(label.get_window_extent().overlaps(other) for other in taken):
            label.xyann = (label.xyann[0], label.xyann[1] + (1 if y < middle else -1))
        labels.append(label)
        taken.append(label.get_window_extent())
    return labels


def _words(name: str) -> str:
    form, comma, rest = name.partition(",")
    return WORDS.get(form, form) + comma + rest.replace("new last layer", "\nnew last layer")

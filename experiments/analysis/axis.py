"""Comparisons over an axis: a setting in which runs of one method differ, such as the replay ratio.

Runs with different values are never averaged. Each combination of values is a comparison of its own, computed as if it
were alone. Their results are then put side by side over the axis.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..kept import read_kept, setting_words, value_text
from .analyse import analyse, comparable
from .labels import labelled, named_by_schedule
from .method_results import Aggregates, MethodResults
from .records import Run
from .results import Axis, Compared, Options, Results

MOST_PLACES = 64  # comparisons in one report
LOOKED_AT = (
    "run.eval_every", "run.eval_episodes", "run.eval_steps", "run.measure_every", "agent.evaluation_exploration",
)  # fmt: skip
"""Settings of how runs are evaluated. They are axes only if two runs of one method and seed differ in them."""
Place = tuple[str, ...]  # a value of each axis, as text


def analyse_all(
    runs: Sequence[Run], options: Options, trunks: Sequence[Run] = (), labels: Sequence[str] = ()
) -> Results:
    """Run `analyse` for each combination of the axes' values; methods have the names that `labels` give them."""
    named, told = labelled(named_by_schedule(runs), options, labels)
    axes = axes_of(named)
    if not axes:
        return analyse(named, told, trunks)
    by_place: dict[Place, list[Run]] = {place: [] for place in _places(named, axes)}
    for run in named:
        by_place[_place(run, axes)].append(run)
    if len(by_place) > MOST_PLACES:
        words = " and ".join(axis.words for axis in axes)
        raise ValueError(f"the runs have {len(by_place)} combinations of {words}; a report can have {MOST_PLACES}")
    parts = []
    for index, (place, group) in enumerate(by_place.items()):
        names = {run.method for run in group}
        here = replace(
            told,
            baseline=told.baseline if told.baseline in names else None,
            reference=told.reference if told.reference in names else None,
        )
        found = analyse(group, here, () if index else trunks)
        parts.append(_placed(found, axes, place))
    return Results(
        options=told,
        comparisons=tuple(each for part in parts for each in part.comparisons),
        across=tuple(each for part in parts for each in part.across),
        trunks=tuple(trunks),
        methods=tuple(dict.fromkeys(method for part in parts for method in part.methods)),
        notes=tuple(dict.fromkeys([*_on_axes(axes), *(note for part in parts for note in part.notes)])),
        axes=axes,
    )


def _placed(found: Results, axes: Sequence[Axis], place: Place) -> Results:
    def put(each: Any) -> Any:
        return replace(each, where=f"{each.where}, {_where(axes, place)}", place=place)

    return replace(found, comparisons=tuple(map(put, found.comparisons)), across=tuple(map(put, found.across)))


def _where(axes: Sequence[Axis], place: Sequence[str]) -> str:
    """Return the values of axes in words, such as "replay ratio 4"."""
    return ", ".join(f"{axis.words} {value}" for axis, value in zip(axes, place, strict=True))


def axes_of(runs: Sequence[Run]) -> tuple[Axis, ...]:
    """Return the settings in which runs of one method differ.

    A setting whose value is determined by another one's is no axis: it is listed with the axis that it follows.
    """
    varying = list(dict.fromkeys(name for group in comparable(runs).values() for name in _varying(group)))
    declared = _declared(runs)
    varying.sort(key=lambda name: name.partition(".")[2] not in declared)
    chosen: list[str] = []
    for name in varying:
        others = [other for other in varying if other != name]
        leaders = [o for o in others if _follows(runs, name, o) and (o in chosen or not _follows(runs, o, name))]
        if not leaders:
            chosen.append(name)
    found = []
    for name in chosen:
        values = sorted(dict.fromkeys(value_text(run.settings.get(name)) for run in runs), key=_in_order)
        following = [other for other in varying if other not in chosen and _follows(runs, other, name)]
        found.append(Axis(name, tuple(values), tuple(following)))
    return tuple(found)


def _varying(runs: Sequence[Run]) -> list[str]:
    """Return the settings of which runs of one method, in one environment, have several values."""
    methods, seeds = [run.method for run in runs], [(run.method, run.seed) for run in runs]
    names = dict.fromkeys(name for run in runs for name in run.settings)
    return [name for name in names if not _same(runs, name, seeds if name in LOOKED_AT else methods)]


def _same(runs: Sequence[Run], name: str, keys: Sequence[object]) -> bool:
    """Return whether all runs with the same key have the same value of a setting."""
    return len({(key, str(run.settings.get(name))) for run, key in zip(runs, keys, strict=True)}) == len(set(keys))


def _declared(runs: Sequence[Run]) -> set[str]:
    """Return the axes that were given to compare.py when the runs were made."""
    kept = (read_kept(parent) for parent in dict.fromkeys(run.folder.parent for run in runs))
    return {name for asked in kept if asked for name in asked.axes}


def _follows(runs: Sequence[Run], name: str, leader: str) -> bool:
    """Return whether, in each environment, the value of the setting `leader` determines that of `name`."""
    return _same(runs, name, [(run.agent, run.env, str(run.settings.get(leader))) for run in runs])


def _in_order(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def _place(run: Run, axes: Sequence[Axis]) -> Place:
    return tuple(value_text(run.settings.get(axis.name)) for axis in axes)


def _places(runs: Sequence[Run], axes: Sequence[Axis]) -> list[Place]:
    places = dict.fromkeys(_place(run, axes) for run in runs)
    return sorted(places, key=lambda place: [axis.values.index(value) for axis, value in zip(axes, place, strict=True)])


def _on_axes(axes: Sequence[Axis]) -> Iterator[str]:
    for axis in axes:
        others = ", ".join(setting_words(name) for name in axis.following)
        with_it = f" These settings change with it: {others}." if others else ""
        yield (
            f"Runs differ in the {axis.words} ({', '.join(axis.values)}): the runs of each value are compared only "
            f"with each other, and never averaged with others.{with_it}"
        )


# Over an axis


@dataclass(frozen=True, eq=False)
class AxisCurve:
    """One method's results at each value of an axis; None for values at which it was not run."""

    method: str
    found: tuple[MethodResults | None, ...]

    def scores(self, what: str) -> tuple[Aggregates | None, ...]:
        """Return the score `what`, such as "final", at each value; None if there is none."""
        return tuple(getattr(found, what) if found else None for found in self.found)


@dataclass(frozen=True, eq=False)
class OverAxis:
    """Comparisons that differ only in the value of one axis: of one agent, in one environment or in all together."""

    axis: Axis
    compared: tuple[Compared, ...]  # one for each of `values`
    values: tuple[str, ...]
    where: str
    curves: tuple[AxisCurve, ...]


def over_axes(results: Results) -> list[OverAxis]:
    """Return the results over each axis, for every combination of the other axes' values."""
    found = []
    everything: list[Compared] = [*results.across, *results.comparisons]
    for index, axis in enumerate(results.axes):
        groups: dict[Any, list[Compared]] = {}
        for each in everything:
            others = (*each.place[:index], *each.place[index + 1 :])
            where = each.where.removesuffix(f", {_where(results.axes, each.place)}")
            groups.setdefault((each.agent, where, others), []).append(each)
        for (_, where, others), group in groups.items():
            if len(group) < 2 or not any(method.final for each in group for method in each.methods):
                continue
            rest = [other for other in results.axes if other is not axis]
            values = tuple(each.place[index] for each in group)
            place = f"{where}, {_where(rest, others)}" if rest else where
            found.append(OverAxis(axis, tuple(group), values, place, _curves(group)))
    return found


def _curves(group: Sequence[Compared]) -> tuple[AxisCurve, ...]:
    by_method: list[Mapping[str, MethodResults]] = [{m.method: m for m in each.methods} for each in group]
    names = dict.fromkeys(name for methods in by_method for name in methods)
    return tuple(AxisCurve(name, tuple(methods.get(name) for methods in by_method)) for name in names)

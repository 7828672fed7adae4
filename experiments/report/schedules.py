"""Describes in words when methods acted, because a method's name contains its schedule only if it is its own."""

from collections.abc import Iterable, Iterator

from ..analysis.labels import WHEN
from ..analysis.records import Run
from ..analysis.results import Compared


def schedules_in_words(compared: Iterable[Compared]) -> str:
    """Return text such as "fire, reset once, at step 5,000; redo every 1,000 updates"; empty without events."""
    methods: dict[str, dict[str, None]] = {}
    for each in compared:
        for method in each.own:
            for run in method.runs:
                methods.setdefault(method.method, {}).update(dict.fromkeys(_words(run.run)))
    named: dict[str, list[str]] = {}
    for name, found in methods.items():
        if found:
            named.setdefault(" or ".join(found), []).append(name)
    return "; ".join(f"{', '.join(names)} {words}" for words, names in named.items())


def _words(run: Run) -> Iterator[str]:
    """Yield the description of a run's schedule, if it has one."""
    every, at, when = map(run.schedule.get, WHEN)
    acts = sorted(set(at or ()))
    begins = [step for step in run.phase_starts if step < run.steps]
    if begins and acts == begins and not every and not when:  # as published: at each boundary
        many = len(begins) > 1
        yield (
            f"where each phase but the first begins, {len(begins)} times"
            if many
            else (f"once, at step {begins[0]:,}, where the second phase begins")
        )
        return
    steps = [f"{step:,}" for step in acts]
    parts = [f"every {every:,} updates"] if every else []
    parts += [f"{'once, ' * (not every and not when)}at step {steps[0]}"] if len(steps) == 1 else []
    parts += [f"at steps {', '.join(steps)}"] if len(steps) > 1 else []
    parts += [f"whenever {' or '.join(when)}"] if when else []
    if parts:
        yield " and ".join(parts)

"""What methods are called: by their schedules where runs differ in those, and by the names that a person gives them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fire_rl.fire.nearest import nearest

from ..kept import read_kept
from .contrasts import usual_reference
from .records import Run
from .results import Options

WHEN = ("reinit_every", "reinit_at", "reinit_when")  # the settings of a schedule
LONGEST = 80  # letters of a label
PUBLISHED = " (published)"  # how a method of --against is told from one that was run


def schedule_of(run: Run) -> str:
    """The run's own schedule as compare.py has it after @, such as `every=2000`.

    Nothing for the usual one: an event at the branch, or at half of a run from the start, or where phases of data
    begin; of redo, every 1,000 updates.
    """
    every, at, when = map(run.schedule.get, WHEN)
    steps = sorted({step for step in at or () if run.branch is None or step != run.branch.step})
    usual = [step for step in run.phase_starts if step < run.steps and (run.branch is None or step > run.branch.step)]
    if run.branch is None and not run.phase_starts:
        usual = [run.midpoint or max(1, run.steps // 2)]
    if not every and not when and steps == usual:
        steps = []
    if every == run.usual_period and (run.branch is not None or not (steps or when)):
        every = None
    return _spelled(every, steps, when or ())


def _spelled(every: object, at: Iterable[object], when: Iterable[object]) -> str:
    parts = [f"every={every}"] if every else []
    return ",".join([*parts, *(f"at={step}" for step in at), *(f"when={trigger}" for trigger in when)])


def _common_schedule(folder: Path) -> str:
    """What methods of the folder's comparison have that no schedule was given to by itself."""
    kept = read_kept(folder)
    fixed = kept.fixed if kept else {}
    given = map(fixed.get, WHEN)
    every, at, when = (list(map(str, value)) if isinstance(value, list) else [] for value in given)
    numbers = [[int(text) if text.isdecimal() else text for text in texts] for texts in (every, at)]
    return _spelled(next(iter(numbers[0]), None), numbers[1], when)


def named_by_schedule(runs: Sequence[Run]) -> list[Run]:
    """Runs with schedules that are not their comparison's as methods of their own, `fire` and `fire@every=2000`.

    Where those of one method have different ones, each has its own in its name.
    """
    common = {folder: _common_schedule(folder) for folder in {run.folder.parent for run in runs}}
    schedules: dict[str, set[str]] = {}
    for run in runs:
        schedules.setdefault(run.method, set()).add(schedule_of(run))
    several = {method for method, found in schedules.items() if len(found) > 1}
    found = []
    for run in runs:
        schedule = schedule_of(run)
        told = schedule and (run.method in several or schedule != common[run.folder.parent])
        found.append(replace(run, method=f"{run.method}@{schedule}") if told else run)
    return found


def read_labels(given: Sequence[str], methods: Iterable[str]) -> dict[str, str]:
    """Labels by method, from METHOD=NAME; methods may have = in them, so the longest known one counts."""
    known, found = list(dict.fromkeys(methods)), dict[str, str]()
    for text in given:
        shown = f"--label {text[:80]!r} given"
        if "=" not in text:
            raise ValueError(f'{shown}; allowed is METHOD=NAME, such as fire="FIRE (ours)"')
        method = max((name for name in known if text.startswith(f"{name}=")), key=len, default=None)
        if method is None:
            named = text.partition("=")[0]
            raise ValueError(f"{shown}; runs are of {', '.join(known)}; nearest is {nearest(named, known)}")
        label = text[len(method) + 1 :].strip()
        if not label or not label.isprintable() or len(label) > LONGEST:
            raise ValueError(f"{shown}; allowed is a name of 1 to {LONGEST} letters on one line")
        if label.casefold().endswith(PUBLISHED):
            raise ValueError(f"{shown}; a name that ends in {PUBLISHED!r} is for results of others, from --against")
        if found.get(method, label) != label:
            raise ValueError(f"{shown}; {method} has the name {found[method]!r} already")
        found[method] = label
    names = [found.get(method, method) for method in known]
    if twice := next((name for name in names if names.count(name) > 1), None):
        both = " and ".join(method for method in known if found.get(method, method) == twice)
        raise ValueError(f"--label given; {both} would both be called {twice!r}: methods need different names")
    return found


def labelled(runs: Sequence[Run], options: Options, given: Sequence[str]) -> tuple[list[Run], Options]:
    """The runs under the names that were given to their methods, with options that speak of those names."""
    names = list(dict.fromkeys(run.method for run in runs))
    full = {f"{run.method}@{schedule_of(run)}": run.method for run in runs if "@" not in run.method}
    for method in names:  # fire, where the only one is fire@every=2000
        bare = method.partition("@")[0]
        if bare not in names and sum(other.partition("@")[0] == bare for other in names) == 1:
            full[bare] = method
    given = [_as_named(text, full, names) for text in given]
    labels = read_labels(given, names)
    baseline, reference = (full.get(name, name) if name else None for name in (options.baseline, options.reference))
    for name in (baseline, reference):
        if name is not None and name not in names:
            near = nearest(name, names)
            raise ValueError(f"method {name!r} given; runs are of {', '.join(names)}; nearest is {near}")
    baseline = baseline or ("none" if "none" in labels else None)
    reference = reference or _usual_reference(names, labels)
    told = replace(
        options,
        baseline=labels.get(baseline, baseline) if baseline else None,
        reference=labels.get(reference, reference) if reference else None,
        spellings={label: method for method, label in labels.items()},
    )
    return [replace(run, method=labels.get(run.method, run.method)) for run in runs], told


def _as_named(text: str, full: Mapping[str, str], names: Iterable[str]) -> str:
    """`fire@every=2000=NAME` where all methods have that schedule, and so are called fire; or the other way round."""
    known = [name for name in (*full, *names) if text.startswith(f"{name}=")]
    long = max(known, key=len, default="")
    return full[long] + text[len(long) :] if long in full else text


def _usual_reference(names: Sequence[str], labels: Mapping[str, str]) -> str | None:
    """FIRE, where it would not be found by its name."""
    usual = usual_reference(names)
    return usual if usual in labels or "@" in (usual or "") else None

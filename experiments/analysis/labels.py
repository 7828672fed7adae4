"""The names of methods in a report: with their schedules if runs differ in these, or as --label gives them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fire_rl.fire.nearest import choices

from ..kept import read_kept
from .contrasts import require_known, usual_reference
from .records import Run
from .results import Options

WHEN = ("reinit_every", "reinit_at", "reinit_when")  # the settings of a schedule
LONGEST = 80  # letters in a label
PUBLISHED = " (published)"  # the end of the name of a method from --against


def schedule_of(run: Run) -> str:
    """Return the run's schedule as compare.py spells it after @, such as `every=2000`; empty for the default schedule.

    The default schedule is an event at the branch, or at half of a run without a trunk, or where each phase of the data
    begins. Some methods have a default period instead, such as every 1,000 updates for redo.
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
    """Return the schedule that a folder's comparison gave to all methods that have no schedule of their own."""
    kept = read_kept(folder)
    fixed = kept.fixed if kept else {}
    given = map(fixed.get, WHEN)
    every, at, when = (list(map(str, value)) if isinstance(value, list) else [] for value in given)
    numbers = [[int(text) if text.isdecimal() else text for text in texts] for texts in (every, at)]
    return _spelled(next(iter(numbers[0]), None), numbers[1], when)


def named_by_schedule(runs: Sequence[Run]) -> list[Run]:
    """Add the schedule to the method's name, as in `fire@every=2000`, for runs whose schedule is not the comparison's.

    If runs of one method have different schedules, every schedule but the default is added to the name.
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
    """Return the label of each method, from METHOD=NAME. A method may contain =, so the longest known one is used."""
    known, found = list(dict.fromkeys(methods)), dict[str, str]()
    for text in given:
        shown = f"--label {text[:80]!r} given"
        if "=" not in text:
            raise ValueError(f'{shown}; allowed is METHOD=NAME, such as fire="FIRE (ours)"')
        method = max((name for name in known if text.startswith(f"{name}=")), key=len, default=None)
        if method is None:
            raise ValueError(f"{shown}; the runs have the methods {choices(text.partition('=')[0], known)}")
        label = text[len(method) + 1 :].strip()
        if not label or not label.isprintable() or len(label) > LONGEST:
            raise ValueError(f"{shown}; allowed is a name of 1 to {LONGEST} letters on one line")
        if label.casefold().endswith(PUBLISHED):
            raise ValueError(f"{shown}; names that end in {PUBLISHED!r} are only for results from --against")
        if found.get(method, label) != label:
            raise ValueError(f"{shown}; {method} already has the name {found[method]!r}")
        found[method] = label
    names = [found.get(method, method) for method in known]
    if twice := next((name for name in names if names.count(name) > 1), None):
        both = " and ".join(method for method in known if found.get(method, method) == twice)
        raise ValueError(f"--label given; {both} would have the same name {twice!r}: give them different names")
    return found


def labelled(runs: Sequence[Run], options: Options, given: Sequence[str]) -> tuple[list[Run], Options]:
    """Return the runs with their methods' labels, and the options with the same names."""
    names = list(dict.fromkeys(run.method for run in runs))
    full = {f"{run.method}@{schedule_of(run)}": run.method for run in runs if "@" not in run.method}
    for method in names:  # "fire" may be given for fire@every=2000 if there is no other fire
        bare = method.partition("@")[0]
        if bare not in names and sum(other.partition("@")[0] == bare for other in names) == 1:
            full[bare] = method
    given = [_as_named(text, full, names) for text in given]
    labels = read_labels(given, names)
    baseline, reference = (full.get(name, name) if name else None for name in (options.baseline, options.reference))
    require_known((baseline, reference), names)
    baseline = baseline or ("none" if "none" in labels else None)
    usual = usual_reference(names)
    if reference is None and usual is not None and (usual in labels or "@" in usual):  # then it has another name later
        reference = usual
    told = replace(
        options,
        baseline=labels.get(baseline, baseline) if baseline else None,
        reference=labels.get(reference, reference) if reference else None,
        spellings={label: method for method, label in labels.items()},
    )
    return [replace(run, method=labels.get(run.method, run.method)) for run in runs], told


def _as_named(text: str, full: Mapping[str, str], names: Iterable[str]) -> str:
    """Return METHOD=NAME with the method's name in the report.

    One may give fire@every=2000 for a method that the report calls fire, or fire for one that it calls fire@every=2000.
    """
    known = [name for name in (*full, *names) if text.startswith(f"{name}=")]
    long = max(known, key=len, default="")
    return full[long] + text[len(long) :] if long in full else text

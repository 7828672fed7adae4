"""The three ways in which a run begins: as a new run, by resuming one that stopped, or as a branch of another run."""

import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from fire_rl.place import typed

from .checkpoint import link_checkpoint, read_manifest, read_values, steps_of, verify
from .config import Config
from .described import read_described
from .durable import Damaged, copy_durably, flush_folder
from .files import read_json, write_json
from .folder import FILES, FOLDERS, LOGGED, refuse_links
from .learners import LEARNERS, command_name, config_to_json, name_of, read_config
from .made_with import MadeWith, changed_setting, differences_in_words
from .policy import checked_step, split_run
from .pruning import is_temporary
from .settings import flag, names_with
from .slim import is_slimmed
from .sources import keep_sources
from .trust import refuse_code, trusted

STARTING = "starting"  # a file that exists until config.json is written, which makes the folder a run


@dataclass(frozen=True)
class Request:
    """What the command line requests: the settings, and how the run begins."""

    config: Config
    given: Mapping[str, Any]  # the settings that were given explicitly, by name
    run_dir: Path | None = None
    resume: Path | None = None
    branch_from: str | None = None
    trust: Path | None = None  # a run whose own code may be imported
    restart: bool = False


def resumed_config(request: Request, folder: Path) -> Config:
    """Return the settings of a run that is resumed: its own, except for the few that may change (`resumable`)."""
    config = read_config(folder)
    refuse_another_learner(request, config, "--resume", folder)
    refuse_code(config, folder, request.given, trusted(folder, request.trust))
    own = config.by_name()
    free = names_with(config.run, "resumable")
    if others := sorted(name for name in set(request.given) - set(free) if request.given[name] != own.get(name)):
        raise ValueError(
            f"{flag(others[0])} given with --resume; a resumed run keeps its settings except "
            f"{', '.join(map(flag, free))}"
        )
    steps, reached = request.given.get("steps"), max(steps_of(folder), default=0)
    if steps is not None and steps < reached:
        raise ValueError(f"--steps {steps} given; {folder} is already at step {reached}")
    return config.altered(**{name: request.given[name] for name in free if name in request.given})


def refuse_another_learner(request: Request, config: Config, word: str, run: Path | str) -> None:
    """Raise ValueError, with the right command, where the run is of another script than the one that was called."""
    ours, theirs = name_of(request.config), name_of(config)
    if ours != theirs:
        raise ValueError(
            f"{word} {run} given to {LEARNERS[ours].script}; it is a run of {LEARNERS[theirs].script}: "
            f"{typed(command_name(config), word, run)}"
        )


def refuse_other_settings(folder: Path, config: Config, step: int) -> None:
    """Raise ValueError, with the setting's name, if a checkpoint was made with other settings than the run has now."""
    made_with = read_manifest(folder, step).made_with
    if made_with is not None and (changed := changed_setting(made_with.settings, config)):
        name, then, now = changed
        raise ValueError(
            f"{folder / 'config.json'} says {flag(name)} {str(now)[:80]}, but the checkpoint at step {step} was made "
            f"with {str(then)[:80]}: change it back, or begin a new run"
        )


def branched(request: Request, source: str) -> Request:
    """Return the request with the settings of the branch: its trunk's, overridden by those given explicitly, and with
    an event of the method at the branch point.

    It names the step, because a trunk that is still running may soon have a newer checkpoint.
    """
    trunk, step = branch_point(source)
    refuse_links(trunk)
    config = read_config(trunk)
    refuse_another_learner(request, config, "--branch-from", source)
    if is_slimmed(trunk):
        raise ValueError(f"{trunk} was slimmed: its replay is gone, so that nothing can branch from it")
    _, checkpoint = verify(trunk, step)  # fails before anything is written
    refuse_other_settings(trunk, config, step)
    run, given = config.run, request.given
    refuse_other_than_trunk(config, given, step)
    # The branch takes nothing from the trunk's schedule, which was meant for the trunk's own method.
    defaults = {each.name: each.default for each in fields(run) if each.name in names_with(run, "schedule")}
    branch = config.altered(**{"reinit": "none", **defaults, **given})
    refuse_code(branch, trunk, given, trusted(trunk, request.trust))
    method = branch.methods.method
    later = branch.run.reinit_at
    if "reinit_every" not in given:
        if not branch.run.scheduled and not branch.usual_period:
            later = branch.run.phase_starts
        branch = branch.altered(reinit_every=branch.usual_period)
    if method.acts_at_events and not branch.repeats_by_itself:
        branch = branch.altered(reinit_at=(step, *(place for place in later if place > step)))
    if passed := [place for place in given.get("reinit_at", ()) if place < step]:
        print(f"warning: --reinit-at {passed[0]} has no effect: the branch begins at step {step}", file=sys.stderr)
    counts_from = checkpoint.values.progress.updates if branch.run.reinit_every is not None else 0
    branch = branch.altered(reinit_from=given.get("reinit_from", counts_from))
    if step >= branch.run.steps:
        raise ValueError(f"a branch at step {step} of {branch.run.steps} would end at once: give a longer --steps")
    return replace(request, config=branch, branch_from=f"{trunk}@{step}")


def refuse_other_than_trunk(config: Config, given: Mapping[str, Any], step: int) -> None:
    """Raise ValueError if a branch at this step is given a setting that it must share with its trunk."""
    run, later = config.run, config.names_with("later")
    if foreign := sorted(set(given) - {each.name for each in fields(run)} - set(later)):
        raise ValueError(
            f"{flag(foreign[0])} given with --branch-from; a branch keeps its trunk's agent and environment"
        )
    own = config.by_name()
    other = [name for name in given if given[name] != own[name]]
    if fixed := [name for name in names_with(run, "trunk") if name in other]:
        raise ValueError(f"{flag(fixed[0])} given with --branch-from; a branch keeps its trunk's {fixed[0]}")
    for name in later:
        if name in other and step > run.phase_starts[0]:
            raise ValueError(
                f"{flag(name)} {given[name]} given with --branch-from at step {step}; it takes effect where the second "
                f"phase begins, step {run.phase_starts[0]}: only a branch up to there may have its own"
            )


def branch_point(source: str) -> tuple[Path, int]:
    """Return the run and the step that `RUN@STEP` names, or `RUN` alone for its newest checkpoint."""
    trunk, step = split_run(source)
    read_config(trunk)
    steps = steps_of(trunk)
    return trunk, checked_step(trunk, step if step is not None else max(steps, default=0))


def start_branch(source: str, folder: Path, made_with: MadeWith) -> list[str]:
    """Copy the trunk's history and link its checkpoint, so that the folder is a run that can be resumed.

    Return notes on what is missing in the trunk's history, and on how the trunk was made with other packages or on
    another machine.
    """
    trunk, step = branch_point(source)
    manifest, values = read_values(trunk, step)
    notes = []
    for name, size in values.file_sizes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            copy_durably(trunk / name, folder / name, size)
        except Damaged as error:
            notes.append(f"the trunk's history is incomplete ({error}): what is missing there is missing here too")
    link_checkpoint(trunk, step, folder, made_with)
    if manifest.made_with and (words := differences_in_words(manifest.made_with, made_with)):
        notes.append(f"the trunk was made with other versions or settings: {'; '.join(words)}")
    return notes


def check_vacant(folder: Path) -> None:
    """Raise ValueError if a folder holds anything except the files of a start that was killed."""
    names = {path.name for path in folder.iterdir()}
    half_written = set(filter(is_temporary, names))
    ours = {*FILES, *FOLDERS, *filter(LOGGED.fullmatch, names)}
    begun = STARTING in names and "config.json" not in names and names - half_written <= ours
    if names - {"lock"} and not begun:
        quoted = shlex.quote(str(folder))
        raise ValueError(f"{folder} is not empty: continue it with --resume {quoted}, or choose another --run-dir")


def begin(request: Request, config: Config, folder: Path, made_with: MadeWith, again: str) -> list[str]:
    """Make an empty folder a run, and return notes on a branch's trunk.

    If the process is killed before the end, the run can be begun again in the same folder.
    """
    clear(folder)
    (folder / STARTING).touch()
    notes = [] if request.branch_from is None else start_branch(request.branch_from, folder, made_with)
    sources = keep_sources(config, folder)
    flush_folder(folder)
    described = describe(config, request.branch_from, made_with)
    write_json(folder / "config.json", described | {"repeat": again, "sources": sources})
    (folder / STARTING).unlink()
    return notes


def clear(folder: Path) -> None:
    """Empty a folder that was vacant when this process locked it; the file `starting` is deleted last."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == STARTING):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()


def keep_changes(folder: Path, changes: Mapping[str, Any], continued: Mapping[str, Any] | None = None) -> None:
    """Write a resumed run's changed settings, and with which machine it is continued, into its config.json."""
    kept = read_json(folder / "config.json")
    changed = kept | {"run": kept["run"] | changes}
    if continued is not None:
        changed["continued"] = [*kept.get("continued", []), continued]
    if changed != kept:
        write_json(folder / "config.json", changed)


def default_folder(config: Config) -> Path:
    """Return the path `runs/<environment>-<method>-seed<N>-<time>` of a folder that does not exist yet."""
    settings = config.run
    name = folder_name(
        f"{settings.env}-{settings.method}-seed{settings.seed}"[:150] + f"-{datetime.now():%Y%m%d-%H%M%S}"
    )
    folder, number = Path("runs") / name, 1
    while folder.exists():
        number += 1
        folder = Path("runs") / f"{name}-{number}"
    return folder


def folder_name(text: str) -> str:
    """Turn a text into a valid name of a folder; the triggers dead<0.1 and dead>0.1 get different ones."""
    text = text.replace("<", "-below-")
    return "".join(letter if letter.isalnum() or letter in "-_.=+" else "_" for letter in text)


def describe(config: Config, branch_from: str | None, made_with: MadeWith) -> dict[str, Any]:
    """Return the content of `config.json`: all settings, and the versions and the machine that the run is made with."""
    others = ("commit", "processor", "gpu")
    return config_to_json(config) | {
        "progress": config.run.progress,
        "metric": asdict(config.metric),
        "branch_from": branch_from,
        "versions": {name: text for name, text in made_with.machine.items() if name not in others},
        **{name: made_with.machine.get(name) for name in others},
        "command": sys.argv,
    }


def claimed_machine(folder: Path) -> dict[str, str]:
    """Return the versions and the machine that a run was last continued with, according to its config.json."""
    kept = read_described(folder)
    if kept.continued:
        return kept.continued[-1].machine
    others = {"commit": kept.commit, "processor": kept.processor, "gpu": kept.gpu}
    return kept.versions | {name: text for name, text in others.items() if text}

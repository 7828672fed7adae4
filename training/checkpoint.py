"""Write, read and delete checkpoints: files of safetensors and JSON, with a manifest that holds their checksums.

A checkpoint's folder is renamed to its name once it is complete, so that it is either whole or absent.

RUN/checkpoints/000000500000/   agent.safetensors  state.safetensors  state.json  manifest.json
RUN/replay/                     immutable segments, named by content, shared by all checkpoints (and branches)
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import safetensors
import safetensors.torch
from msgspec import Meta
from torch import Tensor

from fire_rl.fire import first_not_finite
from fire_rl.memory import available_memory
from fire_rl.replay import Segment
from fire_rl.replay.segments import read_segment

from .durable import Damaged, DurableStore, copy_durably, flush_folder, read_regular, write_durably
from .error_words import message_of
from .files import METRICS, converted, damage_named, decoded, read_json, write_json
from .folder import LOGGED
from .made_with import MadeWith
from .progress import Count, Progress

KEPT = 2  # so many of the newest checkpoints are kept, besides the requested ones
FILES = ("agent.safetensors", "state.safetensors", "state.json")
PROGRESS = ("updates", "measured", "seconds", "last_evaluation", "owes")  # names as in older versions

T = TypeVar("T")
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class Manifest(msgspec.Struct, frozen=True):
    """The files and segments of a checkpoint, and the configuration that made it.

    A run with another configuration may not continue from it.
    """

    step: Count
    files: dict[str, Digest]
    segments: tuple[Segment, ...]
    made_with: MadeWith | None = None  # None: written by a version that did not record it

    def __post_init__(self) -> None:
        if set(self.files) != set(FILES):
            raise ValueError(f"a checkpoint's files are {', '.join(FILES)}")


class Values(msgspec.Struct, frozen=True):
    """The plain values of a checkpoint."""

    progress: Progress
    work: dict[str, Any]
    manager: dict[str, Any]
    file_sizes: dict[str, Count]  # of the log files, which are cut back to these sizes on resuming

    def __post_init__(self) -> None:
        if wrong := [name for name in self.file_sizes if not LOGGED.fullmatch(name)]:
            raise ValueError(f"{wrong[0][:80]!r} is not the name of a log file of a run")
        if METRICS not in self.file_sizes:
            raise ValueError(f"the length of {METRICS} is missing")


def of_this_version(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a checkpoint in today's layout.

    The first versions could train only with reinforcement learning, and stored the values in another layout.
    """
    if "work" in values or not isinstance(values.get("progress"), dict):
        return values
    before, handled = values["progress"], values["progress"].get("handled")
    handled = handled if isinstance(handled, dict) else {}
    work = {name: before.get(name) for name in ("decisions", "episodes", "returns", "lengths")}
    work |= {"steps": before.get("environment_steps"), "ratio": values.get("ratio")}
    progress = {name: before[name] for name in PROGRESS if name in before} | {
        "handled_updates": handled.get("updates"),
        "handled_steps": handled.get("environment_steps"),
        "summed_updates": values.get("summed_updates"),
    }
    return values | {"progress": progress, "work": work | {"replay_added": values.get("replay_added")}}


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run continues from: the learner's tensors, other tensors, plain values, replay segments."""

    learner: Mapping[str, Tensor]
    tensors: Mapping[str, Tensor]
    values: Values
    segments: tuple[Segment, ...]


def folder_of(run: Path, step: int) -> Path:
    """Return the folder of a run's checkpoint at a step."""
    return run / "checkpoints" / f"{step:012d}"


def write_checkpoint(run: Path, step: int, checkpoint: Checkpoint, made_with: MadeWith | None = None) -> None:
    """Write the checkpoint of a step; its replay segments are already on the disk."""
    final = folder_of(run, step)
    temporary = final.with_name(f".{final.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    contents = {
        "agent.safetensors": safetensors.torch.save(dict(checkpoint.learner)),
        "state.safetensors": safetensors.torch.save(dict(checkpoint.tensors)),
        "state.json": msgspec.json.format(msgspec.json.encode(checkpoint.values), indent=1),
    }
    for name, content in contents.items():
        write_durably(temporary / name, content)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    write_manifest(temporary, Manifest(step, files, checkpoint.segments, made_with))
    flush_folder(temporary)
    if final.exists():
        set_aside(run, step)
    temporary.rename(final)
    flush_folder(final.parent)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a manifest with a checksum of its own, by which damage to the manifest itself is found."""
    values = msgspec.to_builtins(manifest)
    write_json(folder / "manifest.json", values | {"checksum": checksum_of(values)})


def read_checkpoint(run: Path, step: int) -> Checkpoint:
    """Read a checkpoint and compare every file with its checksum; raise Damaged if one differs."""
    folder, manifest = folder_of(run, step), read_manifest(run, step)
    contents = {name: read_regular(folder / name, available_memory()) for name in FILES}
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != manifest.files[name]:
            raise Damaged(f"{folder / name} is cut short or altered")
    agent, tensors = (_tensors(folder / name, contents[name]) for name in FILES[:2])
    kept = [(name, value) for name, value in tensors.items() if name.startswith("manager.")]
    if found := first_not_finite([*agent.items(), *kept]):
        raise Damaged(f"{folder} holds {found[1]} in {found[0]}: the network had diverged")
    state = folder / "state.json"
    values = converted(of_this_version(decoded(contents["state.json"], dict[str, Any], state)), Values, state)
    if values.work.get("steps") != step:
        raise Damaged(f"{state} is of step {values.work.get('steps')}")
    return Checkpoint(agent, tensors, values, manifest.segments)


def _tensors(path: Path, content: bytearray) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(bytes(content))
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise Damaged(f"{path} cannot be read as tensors: {message_of(error)}") from error


def read_manifest(run: Path, step: int) -> Manifest:
    """Read a manifest and compare it with its own checksum; raise Damaged if they differ."""
    folder = folder_of(run, step)
    path = folder / "manifest.json"
    for place in (folder, folder.parent):
        if place.is_symlink():
            raise Damaged(f"{place} is a symbolic link")
    values = read_json(path)
    checksum = values.pop("checksum", None)
    with damage_named(path):
        ours = checksum_of(values)
    if checksum != ours:
        raise Damaged(f"{path} is altered")
    manifest = converted(values, Manifest, path)
    if manifest.step != step:
        raise Damaged(f"{path} is of step {manifest.step}")
    return manifest


def checksum_of(manifest: Mapping[str, Any]) -> str:
    """Return the checksum of a manifest's values."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def steps_of(run: Path) -> list[int]:
    """Return the steps that have a checkpoint, whole or damaged, oldest first."""
    names = (path.name for path in (run / "checkpoints").glob("[0-9]*"))
    return sorted(int(name) for name in names if name.isascii() and name.isdigit() and name == f"{int(name):012d}")


def newest_whole(run: Path, read: Callable[[int], T], tell: Callable[[str], object]) -> T | None:
    """Return `read(step)` of the newest checkpoint for which it does not raise Damaged; None if there is none.

    `tell` is called with a line about each newer checkpoint that is damaged.
    """
    for step in reversed(steps_of(run)):
        try:
            return read(step)
        except Damaged as error:
            tell(f"checkpoint at step {step:,} is damaged ({error}); using the one before")
    return None


def set_aside(run: Path, step: int) -> None:
    """Rename a damaged checkpoint's folder to damaged-STEP, so that it can still be looked at."""
    folder = folder_of(run, step)
    aside = folder.with_name(f"damaged-{folder.name}")
    _remove(aside)
    folder.rename(aside)


def _remove(path: Path) -> None:
    """Delete a file, or a link but not its target, or a folder with its contents."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def verify(run: Path, step: int) -> tuple[Manifest, Checkpoint]:
    """Read a checkpoint and its replay segments; raise Damaged, in one line, unless all of them are whole."""
    manifest, checkpoint = read_manifest(run, step), read_checkpoint(run, step)
    for segment in checkpoint.segments:
        read_segment(DurableStore(run / "replay"), segment)
    return manifest, checkpoint


def delete_temporary_files(run: Path) -> None:
    """Delete the temporary files that a killed process left behind."""
    for folder in ("", "checkpoints", "replay", "videos", "source"):
        for path in (run / folder).glob(".*.tmp"):
            _remove(path)


def prune(run: Path, requested: Iterable[int]) -> None:
    """Delete all checkpoints but the newest and the requested ones, then the segments that no manifest names."""
    steps = steps_of(run)
    for step in set(steps[:-KEPT]) - set(requested):
        remove_checkpoint(run, step)
    named = set()
    for step in steps_of(run):
        try:
            named |= {segment.file for segment in read_manifest(run, step).segments}
        except Damaged:
            return  # the manifest cannot be read, and may name any of the segments
    for path in (run / "replay").glob("*.safetensors"):
        if path.name not in named:
            path.unlink()


def remove_checkpoint(run: Path, step: int) -> None:
    """Delete a checkpoint, its manifest first: a folder that is left half deleted does not pass for a checkpoint."""
    folder = folder_of(run, step)
    if not folder.is_symlink():
        _remove(folder / "manifest.json")
    _remove(folder)


def link_checkpoint(trunk: Path, step: int, branch: Path, made_with: MadeWith | None = None) -> None:
    """Give `branch` the trunk's checkpoint as hard links, or as copies if it is on another file system.

    All of it is then on the disk. The manifest is written again, with the branch's configuration.
    """
    manifest = read_manifest(trunk, step)
    pairs = [(trunk / "replay" / segment.file, branch / "replay" / segment.file) for segment in manifest.segments]
    pairs += [(folder_of(trunk, step) / name, folder_of(branch, step) / name) for name in FILES]
    for source, destination in pairs:
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, destination)
        except OSError:
            copy_durably(source, destination)
    for place in (*{destination.parent for _, destination in pairs}, branch / "checkpoints"):
        flush_folder(place)
    write_manifest(folder_of(branch, step), msgspec.structs.replace(manifest, made_with=made_with))  # written last

"""Write and read checkpoints: files of safetensors and JSON, with a manifest that holds their checksums.

A checkpoint's folder is renamed to its name once it is complete, so that it is either whole or absent.

RUN/checkpoints/000000500000/   agent.safetensors  state.safetensors  state.json  manifest.json
RUN/replay/                     immutable segments, named by content, shared by all checkpoints (and branches)
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import safetensors
import safetensors.torch
from msgspec import Meta
from torch import Tensor

from fire_rl.fire import first_not_finite
from fire_rl.replay import Segment
from fire_rl.replay.segments import read_segment

from .durable import (
    Damaged,
    DurableStore,
    NotEnoughMemory,
    copy_durably,
    enough_memory,
    flush_folder,
    read_regular,
    write_durably,
)
from .error_words import message_of
from .files import METRICS, converted, damage_named, decoded, read_json, write_json
from .folder import LOGGED
from .made_with import MadeWith
from .progress import Count, Progress

FILES = ("agent.safetensors", "state.safetensors", "state.json")
LARGEST_FILE = 2**34  # bytes of a checkpoint's file that are read at most; the largest built-in network takes 1.5 GB
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
    try:
        _write_files(temporary, step, checkpoint, made_with)
        if final.exists():
            set_aside(run, step)
        temporary.rename(final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)  # the disk may be full
        raise
    flush_folder(final.parent)


def _write_files(folder: Path, step: int, checkpoint: Checkpoint, made_with: MadeWith | None) -> None:
    """Write the files of a checkpoint to a new folder, its manifest last."""
    folder.mkdir(parents=True)
    contents = {
        "agent.safetensors": safetensors.torch.save(dict(checkpoint.learner)),
        "state.safetensors": safetensors.torch.save(dict(checkpoint.tensors)),
        "state.json": msgspec.json.format(msgspec.json.encode(checkpoint.values), indent=1),
    }
    for name, content in contents.items():
        write_durably(folder / name, content)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    write_manifest(folder, Manifest(step, files, checkpoint.segments, made_with))
    flush_folder(folder)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a manifest with a checksum of its own, by which damage to the manifest itself is found."""
    values = msgspec.to_builtins(manifest)
    write_json(folder / "manifest.json", values | {"checksum": checksum_of(values)})


def read_checkpoint(run: Path, step: int) -> Checkpoint:
    """Read a checkpoint and compare every file with its checksum; raise Damaged if one differs."""
    folder, manifest = folder_of(run, step), read_manifest(run, step)
    with enough_memory(folder):
        contents = {name: _content(folder, manifest, name) for name in FILES}
        agent, tensors = (_tensors(folder / name, contents[name]) for name in FILES[:2])
        kept = [(name, value) for name, value in tensors.items() if name.startswith("manager.")]
        if found := first_not_finite([*agent.items(), *kept]):
            raise Damaged(f"{folder} holds {found[1]} in {found[0]}: the network had diverged")
    return Checkpoint(agent, tensors, _values(folder, step, contents["state.json"]), manifest.segments)


def read_values(run: Path, step: int) -> tuple[Manifest, Values]:
    """Read only a checkpoint's manifest and plain values; raise Damaged if they are not whole."""
    folder, manifest = folder_of(run, step), read_manifest(run, step)
    return manifest, _values(folder, step, _content(folder, manifest, "state.json"))


def _content(folder: Path, manifest: Manifest, name: str) -> bytearray:
    """Read a file of a checkpoint and compare it with its checksum."""
    content = read_regular(folder / name, LARGEST_FILE)
    if hashlib.sha256(content).hexdigest() != manifest.files[name]:
        raise Damaged(f"{folder / name} is cut short or altered")
    return content


def _values(folder: Path, step: int, content: bytearray) -> Values:
    """Return the plain values of a checkpoint of this step."""
    state = folder / "state.json"
    values = converted(of_this_version(decoded(content, dict[str, Any], state)), Values, state)
    if values.work.get("steps") != step:
        raise Damaged(f"{state} is of step {values.work.get('steps')}")
    return values


def _tensors(path: Path, content: bytearray) -> dict[str, Tensor]:
    try:
        with enough_memory(path):
            return safetensors.torch.load(bytes(content))
    except NotEnoughMemory:
        raise
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
            line = f"checkpoint at step {step:,} is damaged ({error}); using the one before"
        tell(line)  # only now, when the error does not hold what was read any more
    return None


def set_aside(run: Path, step: int) -> None:
    """Rename a damaged checkpoint's folder to damaged-STEP, so that it can still be looked at."""
    folder = folder_of(run, step)
    aside = folder.with_name(f"damaged-{folder.name}")
    remove(aside)
    folder.rename(aside)


def remove(path: Path) -> None:
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

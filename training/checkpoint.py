"""Checkpoints: safetensors and JSON under a manifest of checksums, in a folder that is whole or absent.

RUN/checkpoints/000000500000/   agent.safetensors  state.safetensors  state.json  manifest.json
RUN/replay/                     immutable segments, named by content, shared by all checkpoints (and branches)
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from replay import Segment
from replay.durable import flush_folder, write_durably
from replay.segments import DamagedSegment, read_segment

from .files import read_json, write_json

KEPT = 2  # newest checkpoints; requested ones are kept besides


class DamagedCheckpoint(ValueError):
    """A checkpoint that is incomplete or not what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run continues from: the agent's tensors, other tensors, plain values, the replay's segments."""

    agent: Mapping[str, Tensor]
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]
    segments: tuple[Segment, ...]


def folder_of(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"{step:012d}"


def write_checkpoint(run: Path, step: int, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` for environment step `step`; its segments are already on the disk."""
    final = folder_of(run, step)
    temporary = final.with_name(f".{final.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    contents = {
        "agent.safetensors": safetensors.torch.save(dict(checkpoint.agent)),
        "state.safetensors": safetensors.torch.save(dict(checkpoint.tensors)),
        "state.json": json.dumps(checkpoint.values, indent=1).encode(),
    }
    for name, content in contents.items():
        write_durably(temporary / name, content)
    manifest = {
        "step": step,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        "segments": [asdict(segment) for segment in checkpoint.segments],
    }
    write_json(temporary / "manifest.json", manifest | {"checksum": checksum_of(manifest)})
    flush_folder(temporary)
    if final.exists():
        set_aside(run, step)
    temporary.rename(final)
    flush_folder(final.parent)


def read_checkpoint(run: Path, step: int) -> Checkpoint:
    """Read a checkpoint whole, every file against its checksum."""
    folder = folder_of(run, step)
    try:
        manifest = read_manifest(run, step)
        contents = {name: (folder / name).read_bytes() for name in manifest["files"]}
        damaged = [n for n, c in contents.items() if hashlib.sha256(c).hexdigest() != manifest["files"][n]]
        if damaged:
            raise DamagedCheckpoint(f"{folder / damaged[0]} is cut short or altered")
        return Checkpoint(
            safetensors.torch.load(contents["agent.safetensors"]),
            safetensors.torch.load(contents["state.safetensors"]),
            json.loads(contents["state.json"]),
            tuple(Segment(**segment) for segment in manifest["segments"]),
        )
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise DamagedCheckpoint(f"{folder}: {error}") from error


def read_manifest(run: Path, step: int) -> dict[str, Any]:
    """The manifest alone, against its own checksum."""
    path = folder_of(run, step) / "manifest.json"
    try:
        manifest: dict[str, Any] = read_json(path)
        checksum = manifest.pop("checksum")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise DamagedCheckpoint(f"{path}: {error}") from error
    if checksum != checksum_of(manifest):
        raise DamagedCheckpoint(f"{path} is altered")
    return manifest


def checksum_of(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def steps_of(run: Path) -> list[int]:
    """The environment steps that have a checkpoint, whole or damaged, oldest first."""
    return sorted(int(path.name) for path in (run / "checkpoints").glob("[0-9]*") if path.name.isdigit())


def set_aside(run: Path, step: int) -> None:
    """Take a damaged checkpoint out of the way, kept for whoever wants to look at it."""
    folder = folder_of(run, step)
    aside = folder.with_name(f"damaged-{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)


def verify(run: Path, step: int) -> Checkpoint:
    """A checkpoint whose files and replay segments are all whole; raises DamagedCheckpoint, in one line, otherwise."""
    checkpoint = read_checkpoint(run, step)
    try:
        for segment in checkpoint.segments:
            read_segment(run / "replay", segment)
    except DamagedSegment as error:
        raise DamagedCheckpoint(str(error)) from error
    return checkpoint


def sweep(run: Path) -> None:
    """Delete what a kill left half written."""
    for path in [path for folder in ("", "checkpoints", "replay", "videos") for path in (run / folder).glob(".*.tmp")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def prune(run: Path, requested: Iterable[int]) -> None:
    """Delete all but the newest and the requested checkpoints, then the segments that no manifest names."""
    steps = steps_of(run)
    for step in set(steps[:-KEPT]) - set(requested):
        # The manifest goes first: a folder left half deleted by a kill is then no checkpoint.
        (folder_of(run, step) / "manifest.json").unlink(missing_ok=True)
        shutil.rmtree(folder_of(run, step))
    named = set()
    for step in steps_of(run):
        try:
            named |= {segment["file"] for segment in read_manifest(run, step)["segments"]}
        except DamagedCheckpoint:
            return  # an unreadable manifest may name any of them
    for path in (run / "replay").glob("*.safetensors"):
        if path.name not in named:
            path.unlink()


def link_checkpoint(trunk: Path, step: int, branch: Path) -> None:
    """Give `branch` the trunk's checkpoint without copying: hard links, or copies across file systems."""
    segments = read_manifest(trunk, step)["segments"]
    pairs = [(trunk / "replay" / segment["file"], branch / "replay" / segment["file"]) for segment in segments]
    names = ("agent.safetensors", "state.safetensors", "state.json", "manifest.json")  # the manifest last
    pairs += [(folder_of(trunk, step) / name, folder_of(branch, step) / name) for name in names]
    for source, destination in pairs:
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, destination)
        except OSError:
            shutil.copy2(source, destination)

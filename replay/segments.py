"""Immutable pieces of a replay on disk: written once, named by their content, shared between checkpoints."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from torch import Tensor

from .durable import write_durably


class DamagedSegment(ValueError):
    """A segment file that is missing, cut short or altered."""


@dataclass(frozen=True)
class Segment:
    """Transitions [start, stop) of everything ever added, in `file`."""

    file: str
    start: int
    stop: int
    checksum: str


def write_segment(folder: Path, start: int, tensors: Mapping[str, Tensor], length: int) -> Segment:
    """Write one segment; its name carries its checksum, so that different content never shares a name."""
    content = safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()})
    checksum = hashlib.sha256(content).hexdigest()
    segment = Segment(
        f"{start:012d}-{start + length:012d}-{checksum[:12]}.safetensors", start, start + length, checksum
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / segment.file, content)  # over a damaged file of that name too
    return segment


def read_segment(folder: Path, segment: Segment) -> dict[str, Tensor]:
    """Read a segment back, refusing one that is not what was written."""
    path = folder / segment.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DamagedSegment(f"{path}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != segment.checksum:
        raise DamagedSegment(f"{path} is cut short or altered")
    return safetensors.torch.load(content)

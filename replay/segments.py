"""Immutable pieces of a replay on disk: written once, named by their content, shared between checkpoints.

The files are in the safetensors format, written and read here so that no second copy of a segment is ever in memory.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .durable import rename_durably, temporary_file

DTYPES = {"U8": torch.uint8, "I32": torch.int32, "F32": torch.float32, "I64": torch.int64}
CHUNK = 4_000_000  # bytes hashed and written at a time

Pieces = Tensor | Sequence[Tensor]  # of one tensor, along its first axis


class DamagedSegment(ValueError):
    """A segment file that is missing, cut short or altered."""


@dataclass(frozen=True)
class Segment:
    """Transitions [start, stop) of everything ever added, in `file`."""

    file: str
    start: int
    stop: int
    checksum: str


def write_segment(folder: Path, start: int, tensors: Mapping[str, Pieces], length: int) -> Segment:
    """Write one segment; its name carries its checksum, so that different content never shares a name."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with temporary_file(folder, f"{start:012d}-{start + length:012d}") as file:
        for chunk in _content(tensors):
            digest.update(chunk)
            file.write(chunk)
        checksum = digest.hexdigest()
        name = f"{start:012d}-{start + length:012d}-{checksum[:12]}.safetensors"
        rename_durably(file, folder / name)  # over a damaged file of that name too
    return Segment(name, start, start + length, checksum)


def _content(tensors: Mapping[str, Pieces]) -> Iterator[bytes | memoryview]:
    """The file, bit by bit: length of the header, header, and the numbers, those of the widest types first."""
    pieces = {name: [value] if isinstance(value, Tensor) else list(value) for name, value in tensors.items()}
    pieces = dict(sorted(pieces.items(), key=lambda item: (-item[1][0].itemsize, item[0])))
    names = {dtype: name for name, dtype in DTYPES.items()}
    header, end = {}, 0
    for name, parts in pieces.items():
        begin, end = end, end + sum(part.nbytes for part in parts)
        shape = [sum(len(part) for part in parts), *parts[0].shape[1:]]
        header[name] = {"dtype": names[parts[0].dtype], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for parts in pieces.values():
        for part in parts:
            for chunk in part.flatten().split(CHUNK // part.itemsize):
                yield memoryview(chunk.cpu().contiguous().numpy())


def read_segment(folder: Path, segment: Segment) -> dict[str, Tensor]:
    """Read a segment back, refusing one that is not what was written."""
    path = folder / segment.file
    try:
        with path.open("rb") as file:
            content = bytearray(path.stat().st_size)
            file.readinto(content)
    except OSError as error:
        raise DamagedSegment(f"{path}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != segment.checksum:
        raise DamagedSegment(f"{path} is cut short or altered")
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    return {
        name: _view(content, begin + entry["data_offsets"][0], DTYPES[entry["dtype"]], entry["shape"])
        for name, entry in header.items()
    }


def _view(content: bytearray, offset: int, dtype: torch.dtype, shape: Sequence[int]) -> Tensor:
    count = math.prod(shape)
    if not count:
        return torch.empty(shape, dtype=dtype)  # frombuffer takes no empty piece
    return torch.frombuffer(content, dtype=dtype, count=count, offset=offset).view(shape)

"""Segments: immutable pieces of a replay, written once, named by their content and shared between checkpoints.

The files have the safetensors format. They are written and read here, not by that library, so that no second copy of a
segment is ever in memory.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .store import Damaged, Store

DTYPES = {"U8": torch.uint8, "I32": torch.int32, "F32": torch.float32, "I64": torch.int64}
CHUNK = 4_000_000  # bytes hashed and written at a time
HEADER = 100_000  # the largest header that is read, in bytes

Pieces = Tensor | Sequence[Tensor]  # one tensor, whole or in pieces along its first axis


@dataclass(frozen=True)
class Segment:
    """Transitions [start, stop), counted from the first ever added, in `file`, whose name states the same numbers."""

    file: str
    start: int
    stop: int
    checksum: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}", self.checksum):
            raise ValueError(f"{self.checksum[:80]!r} is not a SHA-256 checksum")
        if not 0 <= self.start <= self.stop or self.file != name_of(self.start, self.stop, self.checksum):
            raise ValueError(f"{self.file[:80]!r} is not the name of transitions {self.start} to {self.stop}")


def name_of(start: int, stop: int, checksum: str) -> str:
    """Return a segment's file name."""
    return f"{start:012d}-{stop:012d}-{checksum[:12]}.safetensors"


def write_segment(store: Store, start: int, tensors: Mapping[str, Pieces], length: int) -> Segment:
    """Write one segment. Its name contains part of its checksum, so that different contents have different names."""
    digest = hashlib.sha256()
    for chunk in _content(tensors):
        digest.update(chunk)
    checksum, stop = digest.hexdigest(), start + length
    name = name_of(start, stop, checksum)
    store.write(name, _content(tensors))  # also replaces a damaged file of the same name
    return Segment(name, start, stop, checksum)


def _content(tensors: Mapping[str, Pieces]) -> Iterator[bytes | memoryview]:
    """Yield the file in chunks: the length of the header, the header, and the tensors, those of wider types first."""
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


def read_segment(store: Store, segment: Segment) -> dict[str, Tensor]:
    """Read a segment; raise Damaged if it is not exactly what was written."""
    path, content = store.folder / segment.file, store.read(segment.file)
    if hashlib.sha256(content).hexdigest() != segment.checksum:
        raise Damaged(f"{path} is cut short or altered")
    try:
        return _tensors(content)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:  # the header may hold anything
        raise Damaged(f"{path} cannot be read as tensors: {error}") from error


def _tensors(content: bytearray) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; they share the memory of `content`."""
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(HEADER, len(content) - 8):
        raise ValueError(f"its header would have {length} bytes")
    begin = 8 + length
    header: dict[str, Any] = json.loads(content[8:begin])
    return {name: _view(content, begin, **entry) for name, entry in header.items() if name != "__metadata__"}


def _view(content: bytearray, begin: int, dtype: str, shape: Sequence[int], data_offsets: Sequence[int]) -> Tensor:
    kind, (start, stop) = DTYPES[dtype], data_offsets
    if not all(type(number) is int and number >= 0 for number in (start, stop, *shape)):
        raise ValueError("a shape or an offset is not an integer from 0 on")
    count = math.prod(shape)
    if stop - start != count * kind.itemsize or begin + stop > len(content):
        raise ValueError(f"{stop - start} bytes do not hold {count} numbers of {dtype}")
    if not count:
        return torch.empty(list(shape), dtype=kind)  # torch.frombuffer refuses a count of 0
    return torch.frombuffer(content, dtype=kind, count=count, offset=begin + start).view(list(shape))

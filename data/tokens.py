"""Token files as nanoGPT writes them: a `.bin` of 16-bit tokens, low byte first, with nothing before or after them."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .files import errors_named, open_regular

CHECKED_AT_ONCE = 1 << 24  # tokens

Values = NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class Tokens:
    """A stretch of text as tokens of two bytes each, in memory or mapped from a file."""

    values: Values
    sha256: str  # of the two-byte tokens
    bytes: int | None = None  # of the text itself, as UTF-8 and without end-of-text tokens, where that is known

    def __len__(self) -> int:
        return len(self.values)

    @property
    def bytes_per_token(self) -> float | None:
        """By which nats per token become bits per byte: nats / (log 2 * this)."""
        return self.bytes / len(self) if self.bytes else None


def tokens_in_memory(values: Values, size: int | None) -> Tokens:
    return Tokens(values, hashlib.sha256(values.astype("<u2", copy=False).data).hexdigest(), size)


def read_bin(path: Path, vocabulary: int, size: int | None = None) -> Tokens:
    """Map a token file into memory, after one pass over it that checks every token and takes its checksum.

    Nothing is read for good: pages come from the file when they are needed, and several runs share them. So the file
    must stay as it is while a run uses it. ValueError, in one line, where it is no such file.
    """
    with open_regular(path) as file:
        length = os.fstat(file.fileno()).st_size
        if length == 0:
            raise ValueError(f"{path}: is empty")
        if length % 2:
            raise ValueError(f"{path}: has {length:,} bytes, an odd number, but each token takes two: is it cut short?")
        with errors_named(path):
            values: Values = np.memmap(file, dtype=np.dtype("<u2"), mode="r")
    checksum = hashlib.sha256()
    for start in range(0, len(values), CHECKED_AT_ONCE):
        part = values[start : start + CHECKED_AT_ONCE]
        if (largest := int(part.max())) >= vocabulary:
            place = start + int(part.argmax())
            raise ValueError(
                f"{path}: token number {place:,} is {largest:,}, beyond the vocabulary of {vocabulary:,}: "
                "is it another encoding?"
            )
        checksum.update(part.data)
    return Tokens(values, checksum.hexdigest(), size)

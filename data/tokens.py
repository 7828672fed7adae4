"""Read token files in nanoGPT's format: a `.bin` file of 16-bit tokens, low byte first, and nothing else."""

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
    """A text as tokens of two bytes each, in memory or mapped from a file."""

    values: Values
    sha256: str  # checksum of the two-byte tokens
    bytes: int | None = None  # size of the text in UTF-8 without end-of-text tokens, if known

    def __len__(self) -> int:
        return len(self.values)

    @property
    def bytes_per_token(self) -> float | None:
        """Bytes of text per token; bits per byte are nats per token / (log 2 * this number)."""
        return self.bytes / len(self) if self.bytes else None


def tokens_in_memory(values: Values, size: int | None) -> Tokens:
    """Return tokens that are in memory, with their checksum; `size` is the number of bytes of the text."""
    return Tokens(values, hashlib.sha256(values.astype("<u2", copy=False).data).hexdigest(), size)


def read_bin(path: Path, vocabulary: int, size: int | None = None) -> Tokens:
    """Map a token file into memory, and read it once to check every token and compute the checksum.

    The mapped file is not copied into memory: the system reads its pages when they are needed, and several runs share
    them. So the file must not be changed while a run uses it. Raise ValueError in one line if it is not a token file.
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

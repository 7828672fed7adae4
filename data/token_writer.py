"""Write token files: in batches of documents, flushed to the disk, with a checksum."""

import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .encodings import Encoding

DOCUMENTS_AT_ONCE = 4096
TEXT_AT_ONCE = 1 << 23  # characters


class Progress:
    """Reports progress on standard error: on a terminal, one line that changes every second; else a line every 30
    seconds."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty()
        self.begun = self.said = time.monotonic()
        self.documents = self.bytes = self.tokens = 0

    def add(self, documents: int, size: int, tokens: int) -> None:
        """Count what was written, and print a line if the last one is old enough."""
        self.documents += documents
        self.bytes += size
        self.tokens += tokens
        if (now := time.monotonic()) - self.said >= (1 if self.terminal else 30):
            self.said = now
            print(self.told(), file=sys.stderr, end="\r" if self.terminal else "\n", flush=True)

    def end(self) -> None:
        """Print the last line."""
        if self.documents:
            print(self.told(), file=sys.stderr)

    def told(self) -> str:
        """Return the progress in words."""
        seconds = max(1e-9, time.monotonic() - self.begun)
        return (
            f"{self.documents:,} documents, {self.bytes / 1e6:,.1f} MB, {self.tokens:,} tokens in {seconds:,.0f} s "
            f"({self.bytes / 1e6 / seconds:,.1f} MB/s, {self.tokens / seconds:,.0f} tokens/s)"
        )


class TokenWriter:
    """A token file to which documents are added. It is flushed to the disk when the `with` block ends without an
    error."""

    def __init__(self, path: Path, encoding: Encoding, progress: Progress) -> None:
        self.path = path
        self.encoding, self.progress = encoding, progress
        self.documents = self.tokens = self.bytes = 0
        self._checksum = hashlib.sha256()
        self._waiting: list[str] = []
        self._characters = 0

    def add(self, document: str) -> None:
        """Add a document; documents are encoded and written in batches."""
        self._waiting.append(document)
        self._characters += len(document)
        if len(self._waiting) >= DOCUMENTS_AT_ONCE or self._characters >= TEXT_AT_ONCE:
            self._write()

    def facts(self) -> dict[str, Any]:
        """Return the file's entry in meta.json."""
        return {
            "documents": self.documents,
            "tokens": self.tokens,
            "bytes": self.bytes,
            "sha256": self._checksum.hexdigest(),
        }

    def _write(self) -> None:
        waiting, self._waiting, self._characters = self._waiting, [], 0
        content = self.encoding.encode(waiting).astype("<u2", copy=False).tobytes()
        size = sum(len(document.encode()) for document in waiting)
        self._file.write(content)
        self._checksum.update(content)
        self.documents += len(waiting)
        self.bytes += size
        self.tokens += len(content) // 2
        self.progress.add(len(waiting), size, len(content) // 2)

    def __enter__(self) -> Self:
        self._file = self.path.open("xb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                if self._waiting:
                    self._write()
                self._file.flush()
                os.fsync(self._file.fileno())


def write_meta(path: Path, facts: Mapping[str, Any]) -> None:
    """Write meta.json and flush it to the disk."""
    with path.open("x") as file:
        json.dump(facts, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flush a folder to the disk, so that new and renamed files in it survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

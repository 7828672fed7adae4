"""Standard streams that cannot end a run: a closed pipe, a full disk, a lost terminal, a letter they cannot encode."""

import contextlib
import errno
import io
import os
import sys
import warnings
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parents[1]
LONGEST_LINE = 3_000  # characters


class Unbreakable(io.TextIOBase):
    """A stream that discards everything after the first write that fails."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name
        self.broken: OSError | None = None
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]  # of TextIOWrapper

    def write(self, text: str) -> int:
        """Write the text, or drop it if the stream is broken; return its length."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        """Flush the stream, unless it is broken."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def _give_up(self, error: OSError | ValueError) -> None:
        """Redirect the stream to the null device, so that flushing its buffer at the end of the process works too."""
        if self.broken is not None:
            return
        self.broken = error if isinstance(error, OSError) else OSError(errno.EBADF, "closed")
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        if self.broken.errno != errno.EPIPE:  # after a closed pipe nobody needs to be told
            with contextlib.suppress(OSError, ValueError, AttributeError):
                other = sys.stderr if self._name == "standard output" else sys.stdout
                print(f"{self._name} cannot be written to ({self.broken.strerror}): continuing without it", file=other)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        """Whether the stream is a terminal that still works."""
        return self.broken is None and self._stream.isatty()

    def fileno(self) -> int:
        """Return the stream's file descriptor."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """Return True."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's encoding."""
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """How the stream treats letters that it cannot encode."""
        return self._stream.errors


def printable(text: str, longest: int | None = LONGEST_LINE) -> str:
    """Return a text as one printable line of limited length; names and values in it are not trusted."""
    line = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:longest])
    return line if longest is None or len(text) <= longest else f"{line}..."


def in_one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Format a warning in one line: our own ones as `warning: ...`, those of libraries with file and line."""
    path = Path(filename)
    if path.is_relative_to(ROOT) and ".venv" not in path.relative_to(ROOT).parts:
        return f"warning: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"


def guard_output() -> Unbreakable:
    """Make both standard streams unbreakable, format warnings in one line, and return the standard output."""
    warnings.formatwarning = in_one_line
    for name, words in (("stdout", "standard output"), ("stderr", "standard error")):
        stream = getattr(sys, name) or Path(os.devnull).open("w")  # noqa: SIM115  # None where it was closed before
        if not isinstance(stream, Unbreakable):
            setattr(sys, name, Unbreakable(stream, words))
    assert isinstance(sys.stdout, Unbreakable)
    return sys.stdout

"""Output that cannot end a run: a closed pipe, a full disk, a lost terminal, letters that it does not know."""

import contextlib
import errno
import io
import os
import sys
import warnings
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parents[1]


class Unbreakable(io.TextIOBase):
    """A stream that what follows goes to nowhere from, once it could not be written to."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name
        self.broken: OSError | None = None
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]  # of TextIOWrapper

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def _give_up(self, error: OSError | ValueError) -> None:
        """Let the descriptor lead to nowhere, so that what is buffered finds a place at the end of the process too."""
        if self.broken is not None:
            return
        self.broken = error if isinstance(error, OSError) else OSError(errno.EBADF, "closed")
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        if self.broken.errno != errno.EPIPE:  # else its reader has left, and knows
            with contextlib.suppress(OSError, ValueError, AttributeError):
                other = sys.stderr if self._name == "standard output" else sys.stdout
                print(f"{self._name} cannot be written to ({self.broken.strerror}): going on without it", file=other)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        return self.broken is None and self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._stream.errors


def in_one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Our own warnings as they are said everywhere else; a library's with its place."""
    path = Path(filename)
    if path.is_relative_to(ROOT) and ".venv" not in path.relative_to(ROOT).parts:
        return f"warning: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"


def guard_output() -> Unbreakable:
    """Make both standard streams unbreakable and warnings one line each; the stream that results are printed to."""
    warnings.formatwarning = in_one_line
    for name, words in (("stdout", "standard output"), ("stderr", "standard error")):
        stream = getattr(sys, name) or Path(os.devnull).open("w")  # noqa: SIM115  # None where it was closed before
        if not isinstance(stream, Unbreakable):
            setattr(sys, name, Unbreakable(stream, words))
    assert isinstance(sys.stdout, Unbreakable)
    return sys.stdout

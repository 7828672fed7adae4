"""Copies of finished runs at a URL that fsspec knows: s3://, gs://, file:///, another machine's disk.

A copy is whole if it has the same config.json as the run: this file is sent last, and removed before any other file of
the copy changes. A file that is there already with the same size is not sent again.
"""

import secrets
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec

from fire_rl.fire.nearest import did_you_mean

MARK = "config.json"
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"} | dict.fromkeys(
    ("abfs", "abfss", "az"), "adlfs"
)


def check(url: str) -> None:
    """Raises ValueError, in one line, where files could not be written to the URL."""
    system, root = _open(url)
    path = f"{root}/.fire-rl-{secrets.token_hex(4)}"
    try:
        _make_folder(system, root)
        system.pipe_file(path, b"")
        system.rm_file(path)
    except Exception as error:  # each file system fails in ways of its own
        raise ValueError(f"--upload {url} given, which cannot be written to: {_line(error)}") from None


def upload(folder: Path, url: str) -> int:
    """Make URL/NAME equal to the run's folder, without its lock, and return how many files were sent."""
    system, root = _open(url)
    target = f"{root}/{folder.name}"
    ours = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if _belongs(path)}
    mark = ours.pop(MARK, None)
    if mark is None:
        raise ValueError(f"{folder} is not a run: it has no {MARK}")
    theirs = _sizes(system, target)
    missing = [name for name, path in ours.items() if theirs.get(name) != path.stat().st_size]
    marked = MARK in theirs and system.cat_file(f"{target}/{MARK}") == mark.read_bytes()
    if marked and not missing:
        return 0
    if MARK in theirs:
        system.rm_file(f"{target}/{MARK}")
    for name in [*missing, MARK]:
        path = f"{target}/{name}"
        _make_folder(system, path.rpartition("/")[0])
        system.put_file(str(folder / name), path)
    return len(missing) + 1


class Uploads:
    """Sends runs one after the other while the comparison goes on; a failure here never ends the comparison."""

    def __init__(self, url: str, warn: Callable[[str], None]) -> None:
        check(url)
        self.url, self._warn = url, warn
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._pending: dict[Path, Future[str | None]] = {}

    def add(self, folder: Path) -> None:
        """Send a run after those that were added before it; returns at once."""
        self._pending[folder] = self._thread.submit(self._send, folder)

    def cancel(self) -> list[Path]:
        """Finish the run that is being sent, send no others, and return those that did not arrive."""
        missing = [folder for folder, sent in self._pending.items() if sent.cancel() or sent.result() is not None]
        self._pending = {}
        self._thread.shutdown()
        return missing

    def finish(self) -> list[Path]:
        """Wait for all runs, send those again that failed, and return those that still did not arrive."""
        if waiting := sum(not sent.done() for sent in self._pending.values()):
            print(f"copying {waiting} finished runs to {self.url}")
        failed = [folder for folder, sent in self._pending.items() if sent.result() is not None]
        self._pending = {}
        still = [folder for folder in failed if self._send(folder) is not None]
        self._thread.shutdown()
        return still

    def _send(self, folder: Path) -> str | None:
        try:
            upload(folder, self.url)
        except Exception as error:  # networks and clouds fail in ways of their own
            problem = _line(error)
            self._warn(f"warning: {folder.name} is not at {self.url} ({problem}); the run itself is complete")
            return problem
        return None


def _open(url: str) -> tuple[Any, str]:
    """The file system and the path in it."""
    protocol = url.partition("://")[0] if "://" in url else "file"
    if protocol not in fsspec.available_protocols():
        meant = did_you_mean(f"{protocol}://", [f"{known}://" for known in fsspec.available_protocols()], 0.75)
        raise ValueError(f"--upload {url} given; allowed are URLs such as s3://BUCKET/PATH and file:///PATH{meant}")
    try:
        system, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = PACKAGES.get(protocol)
        install = f"pip install {package}" if package else _line(error)
        raise ValueError(f"--upload {url} given; {protocol}:// needs another package: {install}") from None
    except Exception as error:
        raise ValueError(f"--upload {url} given, which cannot be opened: {_line(error)}") from None
    return system, root.rstrip("/")


def _sizes(system: Any, target: str) -> dict[str, int]:
    """The files below the target, as they are now."""
    system.invalidate_cache()
    if not system.exists(target):
        return {}
    found = system.find(target, detail=True)
    return {path.partition(f"{target.lstrip('/')}/")[2]: about["size"] for path, about in found.items()}


def _make_folder(system: Any, path: str) -> None:
    """Make a folder, but not in an object store: it has no folders, and would make a misspelled bucket instead."""
    protocols = [system.protocol] if isinstance(system.protocol, str) else system.protocol
    if not set(protocols) & PACKAGES.keys():
        system.makedirs(path, exist_ok=True)


def _belongs(path: Path) -> bool:
    """Whether a file is part of a run: the lock and half-written files are not."""
    return path.is_file() and path.name != "lock" and not path.name.startswith(".") and path.suffix != ".tmp"


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

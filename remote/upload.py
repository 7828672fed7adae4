"""Uploads finished runs to a URL that fsspec can write to, such as s3://, gs:// or file:///.

A copy is complete if it has the same config.json as the run: this file is sent last, and deleted before any other file
of the copy changes. Until then it is there as config.json.sending, so that a copy that was broken off is recognised: a
file that already exists there with the same size is not sent again. A copy with other settings in these files is the
copy of another run, or of this one before it was extended, and is replaced as a whole.
"""

import secrets
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import fsspec

from fire_rl.fire.nearest import did_you_mean
from fire_rl.training.error_words import message_of

MARK = "config.json"
SENDING = f"{MARK}.sending"  # the same file, as long as the copy is not complete
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
PACKAGES |= dict.fromkeys(("abfs", "abfss", "az"), "adlfs")


def check(url: str) -> None:
    """Raise ValueError if files cannot be written to the URL."""
    system, root = _open(url)
    path = f"{root}/.fire-rl-{secrets.token_hex(4)}"
    try:
        _make_folder(system, root)
        system.pipe_file(path, b"")
        system.rm_file(path)
    except Exception as error:  # file systems raise many kinds of errors
        raise ValueError(f"--upload {url} given, but nothing can be written there: {message_of(error)}") from None


def upload(folder: Path, url: str) -> int:
    """Copy a run's folder, without its lock, to URL/NAME, and return how many files were sent."""
    system, root = _open(url)
    target = f"{root}/{folder.name}"
    ours = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if _belongs(path)}
    mark = ours.pop(MARK, None)
    if mark is None:
        raise ValueError(f"{folder} is not a run: it has no {MARK}")
    theirs = _sizes(system, target)
    marks = [name for name in (MARK, SENDING) if name in theirs]
    if not any(system.cat_file(f"{target}/{name}") == mark.read_bytes() for name in marks):
        for name in sorted(theirs, key=lambda name: name in marks):  # marks last: if this is cut off, it begins again
            system.rm_file(f"{target}/{name}")
        theirs = {}
    missing = [name for name, path in ours.items() if theirs.get(name) != path.stat().st_size]
    if MARK in theirs and not missing:
        return 0
    _make_folder(system, target)
    system.put_file(str(mark), f"{target}/{SENDING}")
    if MARK in theirs:
        system.rm_file(f"{target}/{MARK}")
    for name in [*missing, MARK]:
        path = f"{target}/{name}"
        _make_folder(system, path.rpartition("/")[0])
        system.put_file(str(folder / name), path)
    system.rm_file(f"{target}/{SENDING}")
    return len(missing) + 1


class Uploads:
    """Uploads runs one after the other while the comparison goes on; a failed upload never ends the comparison."""

    def __init__(self, url: str, warn: Callable[[str], None]) -> None:
        check(url)
        self.url, self._warn = url, warn
        self._pending: dict[Path, Future[str | None]] = {}
        self._waiting: SimpleQueue[tuple[Path, Future[str | None]]] = SimpleQueue()
        # A daemon, because the process may end during an upload: without its mark, the copy is not complete.
        Thread(target=self._work, name="upload", daemon=True).start()

    def add(self, folder: Path) -> None:
        """Add a run to those that are uploaded, and return at once."""
        self._pending[folder] = Future()
        self._waiting.put((folder, self._pending[folder]))

    def abandon(self) -> None:
        """Begin no other upload, and do not wait for the one in progress."""
        for sent in self._pending.values():
            sent.cancel()

    def cancel(self) -> list[Path]:
        """Finish the upload in progress, begin no others, and return the runs that were not uploaded."""
        self.abandon()
        missing = [folder for folder, sent in self._pending.items() if sent.cancelled() or sent.result() is not None]
        self._pending = {}
        return missing

    def finish(self) -> list[Path]:
        """Wait for all uploads, try failed ones once more, and return the runs that were not uploaded."""
        if waiting := sum(not sent.done() for sent in self._pending.values()):
            print(f"copying {waiting} finished runs to {self.url}")
        failed = [folder for folder, sent in self._pending.items() if sent.result() is not None]
        self._pending = {}
        return [folder for folder in failed if self._send(folder) is not None]

    def _work(self) -> None:
        while True:
            folder, sent = self._waiting.get()
            if sent.set_running_or_notify_cancel():
                sent.set_result(self._send(folder))

    def _send(self, folder: Path) -> str | None:
        try:
            upload(folder, self.url)
        except Exception as error:  # networks and file systems raise many kinds of errors
            problem = message_of(error)
            self._warn(f"warning: {folder.name} was not copied to {self.url} ({problem}); the run itself is complete")
            return problem
        return None


def _open(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it."""
    protocol, known = url.partition("://")[0] if "://" in url else "file", fsspec.available_protocols()
    if protocol not in known:
        meant = did_you_mean(f"{protocol}://", [f"{each}://" for each in known], 0.75)
        raise ValueError(f"--upload {url} given; allowed are URLs such as s3://BUCKET/PATH and file:///PATH{meant}")
    try:
        system, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = PACKAGES.get(protocol)
        install = f"pip install {package}" if package else message_of(error)
        raise ValueError(f"--upload {url} given; {protocol}:// needs another package: {install}") from None
    except Exception as error:
        raise ValueError(f"--upload {url} given, but it cannot be opened: {message_of(error)}") from None
    return system, root.rstrip("/")


def _sizes(system: Any, target: str) -> dict[str, int]:
    """Return the names and sizes of the files below the target, without using a cache."""
    system.invalidate_cache()
    if not system.exists(target):
        return {}
    found = system.find(target, detail=True)
    return {path.partition(f"{target.lstrip('/')}/")[2]: about["size"] for path, about in found.items()}


def _make_folder(system: Any, path: str) -> None:
    """Make a folder, except in an object store, which has no folders and might create a misspelled bucket instead."""
    protocols = [system.protocol] if isinstance(system.protocol, str) else system.protocol
    if not set(protocols) & PACKAGES.keys():
        system.makedirs(path, exist_ok=True)


def _belongs(path: Path) -> bool:
    """Return whether a file is part of a run, unlike the lock, temporary files and what links point to."""
    return (
        path.is_file()
        and not path.is_symlink()
        and path.name != "lock"
        and not path.name.startswith(".")
        and path.suffix != ".tmp"
    )

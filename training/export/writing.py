"""Write files and folders whole or not at all, and replace existing ones only if that was asked for."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..card import CONFIG, is_card
from ..durable import flush_folder, write_durably
from ..folder import WEIGHTS, is_folder

CARD_FILES = (WEIGHTS, CONFIG, "README.md", "curve.csv", "curve.png")


def require_place(path: Path, overwrite: bool, folder: bool = False) -> None:
    """Raise ValueError, in one line, if a file, or a card's folder, cannot be written at this path."""
    if not path.name:
        raise ValueError(f"--output {path} given; allowed is the name of a new {'folder' if folder else 'file'}")
    if not is_folder(path.parent):
        raise ValueError(f"--output {path} given; there is no folder {path.parent}")
    with _writable(path):
        exists = path.is_symlink() or path.exists()
    if exists:
        if not overwrite:
            raise ValueError(f"{path} exists already: add --overwrite to replace it, or choose another --output")
        if folder:
            _require_replaceable(path)
        elif path.is_dir() and not path.is_symlink():
            raise ValueError(f"{path} is a folder: choose another --output")
    with _writable(path.parent), tempfile.TemporaryFile(dir=path.parent):
        pass  # fails here, before anything is computed in vain


def write_files(contents: Mapping[Path, bytes], overwrite: bool) -> None:
    """Write all files under temporary names and then rename them: if one cannot be written, none is left behind."""
    for path in contents:
        require_place(path, overwrite)
    temporaries = {path: path.with_name(f".{path.name}.{os.getpid()}.new.tmp") for path in contents}
    try:
        for path, temporary in temporaries.items():
            with _writable(path):
                write_durably(temporary, contents[path])
        for path, temporary in temporaries.items():
            with _writable(path):
                temporary.replace(path)
                flush_folder(path.parent)
    except BaseException:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
        raise


def write_folder(path: Path, files: Mapping[str, bytes], overwrite: bool) -> None:
    """Write a card under a temporary name and then rename it; a card that it replaces is deleted last."""
    require_place(path, overwrite, folder=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    aside = path.with_name(f".{path.name}.{os.getpid()}.old.tmp")
    with _writable(path):
        try:
            temporary.mkdir()
            for name, content in files.items():
                write_durably(temporary / name, content)
            flush_folder(temporary)
            if path.exists():
                path.rename(aside)
            temporary.rename(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            if aside.exists() and not path.exists():
                aside.rename(path)
            raise
        flush_folder(path.parent)
        if aside.exists():
            shutil.rmtree(aside)


def _require_replaceable(path: Path) -> None:
    """Raise ValueError unless the path is a card that holds only the files of a card."""
    if path.is_symlink() or not path.is_dir() or not is_card(path):
        raise ValueError(f"{path} exists and is not a card: choose another --output")
    if others := sorted({entry.name for entry in path.iterdir()} - {*CARD_FILES}):
        raise ValueError(f"{path} holds {others[0]}, which is not a file of a card: choose another --output")


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror or error}") from error

"""Read documents from text files and parquet files, one after the other."""

import codecs
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

from fire_rl.place import install

from .files import errors_named, open_regular

Split = Literal["lines", "files"]

LARGEST_DOCUMENT = 1 << 28  # bytes of a file, or characters of a line
AT_ONCE = 1 << 20  # bytes that are read at a time
ROWS_AT_ONCE = 1024


def files_of(sources: Sequence[Path]) -> tuple[Path, ...]:
    """Return the given files, and the files in the given folders in the order of their names, without hidden ones."""
    found: list[Path] = []
    for source in sources:
        if not os.path.lexists(source):
            raise ValueError(f"{source}: does not exist")
        if source.is_dir() and not source.is_symlink():
            inside = sorted(_files_in(source))
            if not inside:
                raise ValueError(f"{source}: has no files")
            found += inside
        else:
            found.append(source)
    return tuple(found)


def _files_in(source: Path) -> Iterator[Path]:
    """Yield the files in a folder and its subfolders; raise ValueError for a subfolder that cannot be read."""

    def refuse(error: OSError) -> None:
        raise ValueError(f"{error.filename}: {error.strerror}") from error

    for folder, inner, names in os.walk(source, onerror=refuse):
        inner[:] = _visible(inner)
        for path in (Path(folder, name) for name in inner):
            if path.is_symlink():
                raise ValueError(f"{path}: is a symbolic link, which is not followed: put the folder itself there")
        yield from (Path(folder, name) for name in _visible(names))


def _visible(names: Sequence[str]) -> list[str]:
    return [name for name in names if not name.startswith(".")]


def count_documents(files: Sequence[Path], split: Split) -> int:
    """Count the documents without decoding their text."""
    return sum(_count(path, split) for path in files)


def documents(files: Sequence[Path], split: Split, column: str) -> Iterator[str]:
    """Yield the text of each document.

    Each row of a parquet file is a document. A text file is one document, or each of its lines is one: a line keeps its
    line break, and a line of blanks is an empty document, as in Hugging Face's WikiText.
    """
    for path in files:
        if _is_parquet(path):
            yield from _rows(path, column)
        elif split == "lines":
            yield from _lines(path)
        else:
            yield _whole(path)


def _is_parquet(path: Path) -> bool:
    return path.suffix == ".parquet"


def _count(path: Path, split: Split) -> int:
    if _is_parquet(path):
        with _opened_parquet(path) as table:
            return int(table.metadata.num_rows)
    with open_regular(path) as file, errors_named(path):
        if split == "files":
            return 1
        lines, last = 0, b"\n"
        while piece := file.read(AT_ONCE):
            lines += piece.count(b"\n")
            last = piece[-1:]
        return lines + (last != b"\n")


def _lines(path: Path) -> Iterator[str]:
    decode = codecs.getincrementaldecoder("utf-8")().decode
    with open_regular(path) as raw, errors_named(path):
        place, rest = 0, ""
        while piece := raw.read(AT_ONCE):
            *lines, rest = (rest + _decoded(decode, piece, place, path)).split("\n")
            place += len(piece)
            if len(rest) > LARGEST_DOCUMENT:
                raise ValueError(
                    f"{path}: has a line of more than the {LARGEST_DOCUMENT:,} characters that are allowed"
                )
            for line in lines:
                text = line.removesuffix("\r")
                yield text + "\n" if text.strip() else ""
        _decoded(decode, b"", place, path, final=True)
        if rest:
            yield rest if rest.strip() else ""


def _decoded(decode: Any, piece: bytes, place: int, path: Path, *, final: bool = False) -> str:
    try:
        text: str = decode(piece, final)
    except UnicodeDecodeError as error:
        near = max(0, place + error.start)
        raise ValueError(f"{path}: is not UTF-8 text, near byte {near:,} ({error.reason})") from error
    return text


def _whole(path: Path) -> str:
    with open_regular(path) as file, errors_named(path):
        content = _read_at_most(file, LARGEST_DOCUMENT)
    if content is None:
        raise ValueError(f"{path}: has more than the {LARGEST_DOCUMENT:,} bytes that one document may have")
    return _decoded(codecs.getincrementaldecoder("utf-8")().decode, content, 0, path, final=True)


def _read_at_most(file: BinaryIO, at_most: int) -> bytes | None:
    pieces: list[bytes] = []
    while piece := file.read(AT_ONCE):
        at_most -= len(piece)
        if at_most < 0:
            return None
        pieces.append(piece)
    return b"".join(pieces)


@contextmanager
def _opened_parquet(path: Path) -> Iterator[Any]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise ValueError(f"{path}: reading it needs pyarrow, which is not installed: {install('text')}") from None
    with open_regular(path) as file:
        try:
            with ParquetFile(file) as table:
                yield table
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: has text that is not UTF-8 ({error.reason})") from error
        except (ArrowException, OSError) as error:
            raise ValueError(f"{path}: is not a valid parquet file ({' '.join(str(error).split())})") from error


def _rows(path: Path, column: str) -> Iterator[str]:
    with _opened_parquet(path) as table:
        names = table.schema_arrow.names
        if column not in names:
            raise ValueError(
                f"{path}: has no column {column!a}; name one of {', '.join(map(ascii, names))} with --column"
            )
        place = 0
        for batch in table.iter_batches(batch_size=ROWS_AT_ONCE, columns=[column]):
            for text in batch.column(0).to_pylist():
                if not isinstance(text, str):
                    raise ValueError(
                        f"{path}: row {place:,} of its column {column!a} is not text but {type(text).__name__}"
                    )
                yield text
                place += 1

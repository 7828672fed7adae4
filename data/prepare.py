"""Make token files from text: `python -m fire_rl.data.prepare SOURCE... --out FOLDER`."""

import argparse
import math
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from fire_rl.cores import usable_cores

from .documents import Split, count_documents, documents, files_of
from .encodings import Encoding, bytes_encoding, gpt2_encoding
from .token_writer import Progress, TokenWriter, flush_folder, write_meta

PUBLISHED_SHARE = 0.0005  # the share of OpenWebText's documents that nanoGPT and FIRE hold out
PUBLISHED_SEED = 2357


@dataclass(frozen=True)
class Preparation:
    """The files to prepare, and how."""

    sources: tuple[Path, ...]
    out: Path
    encoding: Encoding
    split: Split = "files"
    validation: tuple[Path, ...] = ()  # files for validation; if there are none, documents are held out
    held_out: float = PUBLISHED_SHARE
    seed: int = PUBLISHED_SEED
    column: str = "text"


def prepare(task: Preparation) -> dict[str, Any]:
    """Write the complete folder, or nothing at all; return the content of its meta.json."""
    if os.path.lexists(task.out) and (task.out.is_symlink() or not task.out.is_dir() or any(task.out.iterdir())):
        raise ValueError(f"{task.out}: exists already; give a new or an empty folder with --out")
    files, own = files_of(task.sources), files_of(task.validation)
    known = {identity_of(path) for path in files}
    if both := sorted(path for path in own if identity_of(path) in known):
        raise ValueError(f"{both[0]}: is given for training and for validation")
    held_out = frozenset() if own else held_out_documents(files, task)
    with _made_whole(task.out) as folder:
        progress = Progress()
        with (
            TokenWriter(folder / "train.bin", task.encoding, progress) as train,
            TokenWriter(folder / "val.bin", task.encoding, progress) as validation,
        ):
            for number, document in enumerate(encodable_documents(files, task)):
                (validation if number in held_out else train).add(document)
            for document in encodable_documents(own, task):
                validation.add(document)
        for part, named in ((train, files), (validation, own or files)):
            if not part.documents:
                raise ValueError(f"{named[0]}: no document is left for {part.path.name}")
        if len(held_out) > validation.documents and not own:
            raise ValueError(f"{files[0]}: changed while it was read")
        facts = {
            "encoding": task.encoding.name,
            "vocabulary": task.encoding.vocabulary,
            "end_of_text": task.encoding.end_of_text,
            "split": task.split,
            "sources": [path.name for path in files],
            "validation": [path.name for path in own] or f"{task.held_out} of the documents, by seed {task.seed}",
            "train": train.facts(),
            "val": validation.facts(),
        }
        write_meta(folder / "meta.json", facts)
        progress.end()
    return facts


def encodable_documents(files: Sequence[Path], task: Preparation) -> Iterator[str]:
    """Yield the documents; raise ValueError, with file and number, for the first one that cannot be encoded."""
    for path in files:
        for number, document in enumerate(documents([path], task.split, task.column), 1):
            if fault := task.encoding.refused(document):
                raise ValueError(f"{path}: document {number:,} {fault}")
            yield document


def identity_of(path: Path) -> tuple[int, int]:
    """Return what identifies a file, whatever its path; a link, which is refused later, is a file of its own."""
    found = path.lstat()
    return found.st_dev, found.st_ino


def held_out_documents(files: Sequence[Path], task: Preparation) -> frozenset[int]:
    """Return the indices of the documents for validation, their number rounded up.

    They are the same as those that Hugging Face's `train_test_split` chooses.
    """
    if not 0 < task.held_out < 1:
        raise ValueError(f"--held-out {task.held_out} given; allowed is a share between 0 and 1")
    count = count_documents(files, task.split)
    taken = math.ceil(task.held_out * count)
    if taken >= count:
        raise ValueError(
            f"{files[0]}: {count} document{'' if count == 1 else 's'} cannot be divided: "
            "name files for validation with --validation, or take each line as a document with --split lines"
        )
    return frozenset(np.random.default_rng(task.seed).permutation(count)[:taken].tolist())


@contextmanager
def _made_whole(out: Path) -> Iterator[Path]:
    """Make a folder under a temporary name, which is renamed to `out` once everything in it is on the disk."""
    temporary = out.with_name(f".{out.name}.preparing")
    above = [folder for folder in out.parents if not folder.exists()]  # the innermost folder first
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.mkdir()
    except FileExistsError:
        raise ValueError(
            f"{temporary}: exists: either another preparation is making {out}, or one was killed; "
            "delete it if none is running"
        ) from None
    try:
        yield temporary
        flush_folder(temporary)
        temporary.replace(out)
        flush_folder(out.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):  # a folder that is not empty has been used by others since then
            for folder in above:
                folder.rmdir()
        raise


class _OneLine(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(2)


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _OneLine(
        prog="python -m fire_rl.data.prepare", description="Make token files from text, in nanoGPT's format."
    )
    add = parser.add_argument
    add(
        "sources", nargs="+", type=Path, metavar="SOURCE", help="text files (UTF-8), .parquet files, or folders of them"
    )
    add("--out", type=Path, required=True, help="new folder for train.bin, val.bin and meta.json")
    add("--encoding", choices=("gpt2", "bytes"), default="gpt2", help="GPT-2's byte pairs (default), or bytes")
    add(
        "--split",
        choices=("files", "lines"),
        default="files",
        help="one document for each text file, or for each line (default: files)",
    )
    add(
        "--validation",
        nargs="+",
        type=Path,
        default=(),
        metavar="FILE",
        help="files for validation, such as the data set's own validation split",
    )
    add(
        "--held-out",
        type=float,
        default=PUBLISHED_SHARE,
        help="without --validation: share of the documents to hold out (default: %(default)s)",
    )
    add("--seed", type=int, default=PUBLISHED_SEED, help="chooses the held-out documents (default: %(default)s)")
    add("--column", default="text", help="column of parquet files with the text (default: %(default)s)")
    add("--merges", type=Path, help="GPT-2's vocab.bpe, if tiktoken has no copy")
    add("--threads", type=int, default=usable_cores(), help="threads for GPT-2's encoding (default: %(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; a wrong option or file ends it with one line and exit code 2."""
    parser = command_line()
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that an unfinished folder is removed
    try:
        if given.threads < 1:
            raise ValueError(f"--threads {given.threads} given; allowed are 1 and more")
        if given.seed < 0:
            raise ValueError(f"--seed {given.seed} given; allowed are 0 and more")
        encoding = bytes_encoding() if given.encoding == "bytes" else gpt2_encoding(given.merges, given.threads)
        facts = prepare(
            Preparation(
                tuple(given.sources), given.out.absolute(), encoding, given.split, tuple(given.validation),
                given.held_out, given.seed, given.column,
            )
        )  # fmt: skip
    except (ValueError, OSError) as error:
        parser.error(" ".join(str(error).split()))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    print(f"{given.out}: {_told('train.bin', facts['train'])}; {_told('val.bin', facts['val'])}")


def _told(name: str, part: dict[str, Any]) -> str:
    return f"{name} has {part['tokens']:,} tokens of {part['documents']:,} documents"


if __name__ == "__main__":
    main()

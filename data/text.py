"""Texts by name, as streams of tokens: Python's own library, which needs no files, or folders of token files."""

import difflib
import json
import os
import re
import shlex
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .encodings import GPT2_VOCABULARY, bytes_encoding
from .files import content_of
from .standard_library import read_library
from .text_stream import VALIDATION_SEED, PhasedText, TextBatch, TextPhase, accumulating
from .tokens import Tokens, read_bin, tokens_in_memory

__all__ = [
    "TEXT_SETS",
    "VALIDATION_SEED",
    "PhasedText",
    "TextBatch",
    "TextPhase",
    "TextSet",
    "TextSource",
    "Tokens",
    "accumulating",
    "read_source",
    "read_texts",
    "source_names",
    "weights_of",
]

LARGEST_META = 1_000_000  # bytes
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, eq=False)
class TextSource:
    """A text that was read."""

    name: str
    encoding: str
    vocabulary: int  # the number of different tokens of the encoding
    train: Tokens
    validation: Tokens
    source: str  # a sentence: what was read, from where, and its checksum


@dataclass(frozen=True)
class TextSet:
    """Facts about a set of texts that are known without its files."""

    name: str
    meaning: str
    sources: tuple[str, ...]  # in the order in which phases add them
    vocabulary: int  # the number of different tokens of their encoding
    weights: Mapping[str, float] | None = None  # as published; without them, sources are weighted by their tokens
    embedded: bool = False  # needs no files


TEXT_SETS: Mapping[str, TextSet] = MappingProxyType(
    {
        facts.name: facts
        for facts in (
            TextSet(
                "python",
                "documentation, then also the sources, of the running Python's standard library, byte by byte",
                ("documentation", "sources"),
                bytes_encoding().vocabulary,
                embedded=True,
            ),
            TextSet(
                "wikitext-openwebtext",
                "WikiText-103, then also OpenWebText, from token files",
                ("wikitext", "openwebtext"),
                GPT2_VOCABULARY,
                MappingProxyType({"wikitext": 0.1, "openwebtext": 9.0}),
            ),
        )
    }
)

_PREPARED_FROM = {
    "wikitext": (
        "wiki.train.tokens --validation wiki.valid.tokens --split lines",
        "of wikitext-103-v1.zip (MD5 9ddaacaf6af0710eda8c456decff7832), or of its parquet files",
    ),
    "openwebtext": ("PARQUET_FILES", "of OpenWebText"),
}


def _preparation(name: str, place: Path) -> str:
    """Return the command that makes a source's folder."""
    sources, origin = _PREPARED_FROM.get(name, ("TEXT_FILES", "of your own"))
    return f"make it with `python -m fire_rl.data.prepare {sources} --out {shlex.quote(str(place))}`, {origin}"


def source_names(data: str) -> tuple[str, ...]:
    """Return the names of the sources of a set, or of `first+second`, which names folders of your own.

    No file is read.
    """
    if data in TEXT_SETS:
        return TEXT_SETS[data].sources
    names = tuple(data.split("+"))
    if not all(_NAME.fullmatch(name) for name in names):
        raise ValueError(f"data {data!a} given; allowed are {', '.join(TEXT_SETS)}, or names of folders joined by +")
    if len(set(names)) < len(names):
        raise ValueError(f"data {data!a} given, which has a source twice")
    return names


def read_texts(data: str, folder: Path | None = None) -> Mapping[str, TextSource]:
    """Read all sources of a set; if that fails, raise ValueError in one line that says which files to put where."""
    names = source_names(data)
    if data in TEXT_SETS and TEXT_SETS[data].embedded:
        return _embedded()
    if folder is None:
        near = difflib.get_close_matches(data, TEXT_SETS, n=1, cutoff=0.6)
        meant = f" ({near[0]} is the nearest name that needs none)" if near and TEXT_SETS[near[0]].embedded else ""
        raise ValueError(
            f"{data} is read from token files: give --data-dir FOLDER with the folders {', '.join(names)} in it{meant}"
        )
    if not folder.is_dir():
        raise ValueError(
            f"--data-dir {folder} is not a folder; {data} needs one with the folders {', '.join(names)} in it"
        )
    sources = {name: read_source(name, folder) for name in names}
    first = next(iter(sources.values()))
    for source in sources.values():
        if source.encoding != first.encoding:
            raise ValueError(
                f"{first.name} is encoded as {first.encoding}, {source.name} as {source.encoding}: "
                "prepare both with the same encoding"
            )
    return sources


def weights_of(sources: Mapping[str, TextSource], data: str) -> Mapping[str, float]:
    """Return the weights of the sources in a mixture: the published ones, or else their numbers of tokens."""
    published = TEXT_SETS[data].weights if data in TEXT_SETS else None
    return published or {name: float(len(source.train)) for name, source in sources.items()}


def read_source(name: str, folder: Path) -> TextSource:
    """Read the token files `train.bin` and `val.bin` in the folder `name` of this folder, and their meta.json."""
    place = folder / name
    for path in (place, place / "train.bin", place / "val.bin"):
        if not os.path.lexists(path):
            raise ValueError(f"{path} does not exist: {_preparation(name, place)}")
        if path == place and not stat.S_ISDIR(place.lstat().st_mode):
            raise ValueError(f"{place}: is a symbolic link or not a folder")
    meta = _read_meta(place / "meta.json") if os.path.lexists(place / "meta.json") else {}
    vocabulary: int = meta.get("vocabulary", GPT2_VOCABULARY)
    parts = []
    for part in ("train", "val"):
        said = meta.get(part, {})
        tokens = read_bin(place / f"{part}.bin", vocabulary, said.get("bytes"))
        if meta and tokens.sha256 != said["sha256"]:
            raise ValueError(
                f"{place / f'{part}.bin'}: is not the file that meta.json beside it describes: prepare it again"
            )
        parts.append(tokens)
    train, validation = parts
    encoding = meta.get("encoding", "gpt2")
    note = "" if meta else "; it has no meta.json and is taken as GPT-2's tokens"
    return TextSource(
        name, encoding, vocabulary, train, validation,
        f"{name}: {len(train):,} training and {len(validation):,} validation tokens ({encoding}) from {place}, "
        f"SHA-256 {train.sha256[:16]} and {validation.sha256[:16]}{note}",
    )  # fmt: skip


def _embedded() -> Mapping[str, TextSource]:
    """Return the texts of Python's own library, with each byte as a token."""
    encoding = bytes_encoding()
    version = ".".join(map(str, sys.version_info[:3]))
    sources = {}
    for name, parts in read_library()._asdict().items():
        train, validation = (
            tokens_in_memory(encoding.encode(documents), sum(len(document.encode()) for document in documents))
            for documents in parts
        )
        what = "docstrings and help topics" if name == "documentation" else "source code without docstrings"
        sources[name] = TextSource(
            name, encoding.name, encoding.vocabulary, train, validation,
            f"{name}: {what} of the standard library of Python {version}, {train.bytes:,} bytes for training and "
            f"{validation.bytes:,} for validation, SHA-256 {train.sha256[:16]} and {validation.sha256[:16]}",
        )  # fmt: skip
    return sources


def _read_meta(path: Path) -> dict[str, Any]:
    """Read and check the meta.json that `prepare` wrote; its checksums are compared with the token files later."""
    content = content_of(path, LARGEST_META)
    try:
        meta = json.loads(content)
        encoding, vocabulary = meta["encoding"], meta["vocabulary"]
        sound = isinstance(encoding, str) and _NAME.fullmatch(encoding) and _whole(vocabulary, 1, 1 << 16)
        for part in ("train", "val"):
            facts = meta[part]
            sound = sound and _whole(facts["bytes"], 0, 1 << 53) and isinstance(facts["sha256"], str)
    except (KeyError, TypeError, AttributeError, RecursionError, ValueError) as error:
        raise ValueError(
            f"{path}: is not as `python -m fire_rl.data.prepare` writes it ({' '.join(str(error).split())})"
        ) from error
    if not sound:
        raise ValueError(f"{path}: is not as `python -m fire_rl.data.prepare` writes it")
    return meta


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

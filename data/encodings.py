"""Encode text as tokens: GPT-2's byte pairs, or single bytes. An end-of-text token ends each document."""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from fire_rl.place import install

from .files import content_of
from .tokens import Values

# GPT-2's merges as OpenAI publishes them. tiktoken keeps a copy under the SHA-1 of the address.
MERGES = "vocab.bpe"
MERGES_ADDRESS = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/vocab.bpe"
MERGES_BYTES = 456_318
MERGES_SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
MERGES_CACHED = hashlib.sha1(MERGES_ADDRESS.encode()).hexdigest()

GPT2_VOCABULARY = 50_257
GPT2_END = 50_256
BYTE_END = 255  # this byte occurs in no UTF-8 text, so that 256 tokens are enough
# How GPT-2 splits text into words: endings after an apostrophe; runs of letters, of digits or of other characters, each
# with the space before it; and white space.
GPT2_WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LONGEST_SPACE = 900_000  # characters of white space in a row; at 999,999 tiktoken ends in a panic
LONGER_SPACE = re.compile(rf"(?<!\s)\s{{{LONGEST_SPACE + 1}}}")  # tries each run once, from its start


@dataclass(frozen=True, eq=False)
class Encoding:
    """A way to encode documents as tokens."""

    name: str
    vocabulary: int
    end_of_text: int
    encode: Callable[[Sequence[str]], Values]  # encodes documents in order, and ends each with the end-of-text token
    refused: Callable[[str], str] = lambda document: ""  # returns why a document cannot be encoded, or an empty text


def bytes_encoding() -> Encoding:
    """Return the encoding in which every byte of the UTF-8 text is a token."""

    def encode(documents: Sequence[str]) -> Values:
        end = bytes([BYTE_END])
        return np.frombuffer(b"".join(document.encode() + end for document in documents), np.uint8).astype(np.uint16)

    return Encoding("bytes", 256, BYTE_END, encode)


def gpt2_encoding(merges: Path | None = None, threads: int = 1) -> Encoding:
    """Return GPT-2's encoding by tiktoken, from a file of merges on this machine. Nothing is ever downloaded."""
    try:
        import tiktoken
    except ImportError:
        raise ValueError(f"GPT-2's encoding needs tiktoken, which is not installed: {install('text')}") from None
    content = _merges_from(merges)
    encoding = tiktoken.Encoding(
        "gpt2", pat_str=GPT2_WORDS, mergeable_ranks=_ranks(content), special_tokens={"<|endoftext|>": GPT2_END}
    )

    def encode(documents: Sequence[str]) -> Values:
        # An end-of-text token that is spelled out in a document is encoded as text, as in nanoGPT's preparation.
        encoded = encoding.encode_ordinary_batch(list(documents), num_threads=threads)
        length = sum(map(len, encoded)) + len(encoded)
        return np.fromiter(chain.from_iterable((*tokens, GPT2_END) for tokens in encoded), np.uint16, length)

    def refused(document: str) -> str:
        if len(document) > LONGEST_SPACE and LONGER_SPACE.search(document):
            return f"has more than the {LONGEST_SPACE:,} characters of white space in a row that tiktoken can encode"
        return ""

    return Encoding("gpt2", GPT2_VOCABULARY, GPT2_END, encode, refused)


def _merges_from(given: Path | None) -> str:
    """Return the merges as text, from the given file or else from tiktoken's cache."""
    if given is not None:
        candidates = [given / MERGES if given.is_dir() else given]
    else:
        cache = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
        folder = Path(cache) if cache else Path(tempfile.gettempdir()) / "data-gym-cache"  # tiktoken's own choice
        candidates = [folder / MERGES_CACHED, folder / MERGES]
    wanted = f"{MERGES} ({MERGES_ADDRESS}; {MERGES_BYTES:,} bytes, SHA-256 {MERGES_SHA256})"
    for path in candidates:
        if os.path.lexists(path):
            content = content_of(path, 2 * MERGES_BYTES)
            if (found := hashlib.sha256(content).hexdigest()) != MERGES_SHA256:
                raise ValueError(f"{path}: is not {wanted}: its SHA-256 is {found}")
            return content.decode()
    raise ValueError(
        f"{candidates[0]} does not exist: GPT-2's encoding needs {wanted}; put it there, or into the folder "
        f"that TIKTOKEN_CACHE_DIR names, as {MERGES} or {MERGES_CACHED}, or give its path with --merges"
    )


def _ranks(merges: str) -> dict[bytes, int]:
    """Return the rank of every byte pair, which is also its token.

    In the file, a printable byte stands for itself; the other bytes are written, in order, as the characters from 256
    on. The first 256 ranks are the single bytes: first the printable ones, then the others.
    """
    printed = [byte for byte in range(256) if chr(byte).isprintable() and byte != ord(" ")]
    order = printed + [byte for byte in range(256) if byte not in printed]
    spelled = {chr(byte) if byte in printed else chr(256 + order.index(byte) - len(printed)): byte for byte in order}
    ranks = {bytes([byte]): rank for rank, byte in enumerate(order)}
    for line in merges.splitlines()[1:]:  # the first line is the version of the format
        pair = bytes(spelled[character] for character in line.replace(" ", ""))
        ranks[pair] = len(ranks)
    return ranks

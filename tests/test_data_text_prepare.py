"""Token files made of text files and of parquet, compared with files composed by hand."""

import hashlib
import json
import math
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fire_rl.data import documents as documents_module
from fire_rl.data import encodings, prepare, token_writer
from fire_rl.data.documents import count_documents, documents, files_of
from fire_rl.data.encodings import bytes_encoding, gpt2_encoding
from fire_rl.data.text import read_source
from fire_rl.place import install

END = 255


def prepared(folder: Path, *arguments: str | Path) -> None:
    prepare.main([*map(str, arguments), "--out", str(folder)])


def tokens_of(path: Path) -> list[int]:
    return np.fromfile(path, np.uint16).tolist()


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Return the one line on standard error with which a command line ends."""
    before = set(Path.cwd().rglob("*"))
    with pytest.raises(SystemExit) as raised:
        prepare.main([str(argument) for argument in arguments])
    assert raised.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("python -m fire_rl.data.prepare: ")
    assert printed.err.count("\n") == 1
    assert set(Path.cwd().rglob("*")) == before
    return printed.err


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_lines_are_documents_and_an_official_split_is_for_validation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    Path("wiki.train.tokens").write_text(" \n = Title = \n \n Some text . \n")
    Path("wiki.valid.tokens").write_text(" Other é")
    prepared(
        tmp_path / "d/wikitext", "wiki.train.tokens", "--validation", "wiki.valid.tokens", "--split", "lines",
        "--encoding", "bytes",
    )  # fmt: skip
    lines = [b"", b" = Title = \n", b"", b" Some text . \n"]
    assert tokens_of(tmp_path / "d/wikitext/train.bin") == [token for line in lines for token in (*line, END)]
    assert tokens_of(tmp_path / "d/wikitext/val.bin") == [*" Other é".encode(), END]
    meta = json.loads((tmp_path / "d/wikitext/meta.json").read_text())
    assert (meta["vocabulary"], meta["end_of_text"], meta["validation"]) == (256, END, ["wiki.valid.tokens"])
    assert meta["train"] | {"sha256": ""} == {"documents": 4, "tokens": 30, "bytes": 26, "sha256": ""}
    assert "train.bin has 30 tokens of 4 documents; val.bin has 10 tokens of 1 documents" in capsys.readouterr().out
    source = read_source("wikitext", tmp_path / "d")
    assert (source.encoding, source.vocabulary, source.train.bytes) == ("bytes", 256, 26)
    assert source.validation.bytes_per_token == 9 / 10


def test_held_out_documents_are_the_ones_of_a_permutation(tmp_path: Path):
    """As in Hugging Face's `train_test_split`: the first ceil(share x count) of numpy's permutation."""
    Path("texts").mkdir()
    for number in range(30):
        Path(f"texts/{number:02}.txt").write_text(f"{number}")
    prepared(tmp_path / "out", "texts", "--encoding", "bytes", "--held-out", "0.15", "--seed", "2357")
    chosen = sorted(np.random.default_rng(2357).permutation(30)[: math.ceil(4.5)].tolist())
    content = b"".join(b"%d\xff" % number for number in chosen)
    assert tokens_of(tmp_path / "out/val.bin") == list(content)
    rest = b"".join(b"%d\xff" % number for number in range(30) if number not in chosen)
    assert tokens_of(tmp_path / "out/train.bin") == list(rest)


def test_folders_are_read_in_the_order_of_names_and_hidden_files_are_not(tmp_path: Path):
    for name in ("b/2.txt", "b/1.txt", "a.txt", ".hidden/x.txt"):
        path = tmp_path / "texts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    names = [path.relative_to(tmp_path / "texts").as_posix() for path in files_of([tmp_path / "texts"])]
    assert names == ["a.txt", "b/1.txt", "b/2.txt"]


def test_a_folder_that_is_a_link_or_cannot_be_read_is_refused_instead_of_left_out(monkeypatch: pytest.MonkeyPatch):
    for name in ("texts/a.txt", "texts/.hidden/x.txt", "texts/closed/b.txt", "elsewhere/c.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    Path("texts/.hidden/linked").symlink_to(Path("elsewhere").absolute())
    assert files_of([Path("texts")]) == (Path("texts/a.txt"), Path("texts/closed/b.txt"))
    scan = os.scandir

    def denied(folder: str) -> Any:
        if Path(folder).name in ("closed", ".hidden"):
            raise PermissionError(13, "Permission denied", folder)
        return scan(folder)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", denied)
        with pytest.raises(ValueError, match=r"^texts/closed: Permission denied$"):
            files_of([Path("texts")])
    Path("texts/linked").symlink_to(Path("elsewhere").absolute())
    with pytest.raises(ValueError, match=r"^texts/linked: is a symbolic link, which is not followed: put the folder"):
        files_of([Path("texts")])


@pytest.mark.parametrize("at_once", [1, 3, 1 << 20])
def test_text_is_cut_nowhere_but_at_line_breaks(monkeypatch: pytest.MonkeyPatch, at_once: int):
    monkeypatch.setattr(documents_module, "AT_ONCE", at_once)
    path = Path("a.txt")
    content = "é\r\n\n\u2028日本\x85x\n  \nlast 🙂"
    path.write_bytes(content.encode())
    assert list(documents([path], "lines", "")) == ["é\n", "", "\u2028日本\x85x\n", "", "last 🙂"]
    assert count_documents([path], "lines") == 5
    assert list(documents([path], "files", "")) == [content]
    path.write_bytes(b"a\n")
    assert list(documents([path], "lines", "")) == ["a\n"]
    assert count_documents([path], "lines") == 1


def test_the_batch_size_makes_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Path("a.txt").write_text("".join(f"line {number}\n" for number in range(100)))
    Path("v.txt").write_text("v\n")
    command = ("a.txt", "--validation", "v.txt", "--split", "lines", "--encoding", "bytes")
    prepared(tmp_path / "one", *command)
    monkeypatch.setattr(token_writer, "DOCUMENTS_AT_ONCE", 7)
    prepared(tmp_path / "other", *command)
    for name in ("train.bin", "val.bin", "meta.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_what_cannot_be_prepared_is_refused_in_one_line_and_leaves_nothing(capsys: pytest.CaptureFixture[str]):
    Path("good.txt").write_text("good\n" * 10)
    Path("bad.txt").write_bytes(b"good\nba\xffd")
    Path("empty.txt").write_bytes(b"")
    Path("empty").mkdir()
    Path("taken").mkdir()
    Path("taken/file").write_text("")
    Path("link.txt").symlink_to("good.txt")
    os.mkfifo("pipe.txt")
    bytes_to_out = ("--encoding", "bytes", "--out", "out")
    both = ("--validation", "good.txt")
    assert "bad.txt: is not UTF-8 text, near byte 7" in refused(capsys, "bad.txt", *both, *bytes_to_out)
    lines = ("--split", "lines")
    assert "bad.txt: is not UTF-8 text, near byte 7" in refused(capsys, "bad.txt", *both, *lines, *bytes_to_out)
    assert "none.txt: does not exist" in refused(capsys, "none.txt", *bytes_to_out)
    assert "empty: has no files" in refused(capsys, "empty", *bytes_to_out)
    assert "link.txt: is a symbolic link" in refused(capsys, "good.txt", "--validation", "link.txt", *bytes_to_out)
    assert "pipe.txt: is not a regular file" in refused(capsys, "pipe.txt", *both, *bytes_to_out)
    assert "1 document cannot be divided: name files" in refused(capsys, "good.txt", *bytes_to_out)
    assert "--held-out 1.5 given" in refused(capsys, "good.txt", "--held-out", "1.5", *bytes_to_out)
    assert "--threads 0 given" in refused(capsys, "good.txt", "--threads", "0", *bytes_to_out)
    assert "--seed -1 given" in refused(capsys, "good.txt", "--seed", "-1", *bytes_to_out)
    assert "is given for training and for validation" in refused(capsys, "good.txt", *both, *bytes_to_out)
    assert "no document is left for train.bin" in refused(capsys, "empty.txt", *both, *lines, *bytes_to_out)
    assert "taken: exists already" in refused(capsys, "good.txt", "--encoding", "bytes", "--out", "taken")
    assert "invalid choice: 'byte'" in refused(capsys, "good.txt", "--encoding", "byte", "--out", "out")
    assert "--out" in refused(capsys, "good.txt")
    deep = ("--encoding", "bytes", "--out", "new/deeper/out")
    assert "bad.txt: is not UTF-8 text" in refused(capsys, "bad.txt", *both, *deep)


def test_an_empty_folder_may_be_named_and_a_second_preparation_does_not_wait(capsys: pytest.CaptureFixture[str]):
    Path("a.txt").write_text("a\nb\nc\n")
    command = ("a.txt", "--split", "lines", "--encoding", "bytes", "--out", "out")
    Path(".out.preparing").mkdir()
    assert ".out.preparing: exists: either another preparation" in refused(capsys, *command)
    Path(".out.preparing").rmdir()
    Path("out").mkdir()
    prepare.main(list(command))
    assert sorted(path.name for path in Path("out").iterdir()) == ["meta.json", "train.bin", "val.bin"]
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["a.txt", "out"]


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 2)])
def test_an_interrupted_preparation_leaves_nothing(monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int):
    Path("a.txt").write_text("a\nb\nc\n")

    def fsync(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(SystemExit) as raised:
        prepare.main(["a.txt", "--split", "lines", "--encoding", "bytes", "--out", "out"])
    assert raised.value.code == code
    assert [path.name for path in Path.cwd().iterdir()] == ["a.txt"]


def test_progress_has_its_rate(monkeypatch: pytest.MonkeyPatch):
    progress = token_writer.Progress()
    monkeypatch.setattr(time, "monotonic", lambda: progress.begun + 2)
    progress.add(3, 5_000_000, 1_000_000)
    assert progress.told() == "3 documents, 5.0 MB, 1,000,000 tokens in 2 s (2.5 MB/s, 500,000 tokens/s)"


# Parquet


def write_parquet(path: Path, texts: Sequence[str | bytes | None], column: str = "text") -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    strings = pyarrow.array(texts, pyarrow.binary()).view(pyarrow.string())  # bytes may be no UTF-8, as in some files
    write_table(pyarrow.table({column: strings, "other": list(range(len(texts)))}), path)


def test_rows_of_parquet_are_documents(tmp_path: Path):
    write_parquet(Path("a.parquet"), ["one", "", "with\nlines\n"])
    write_parquet(Path("v.parquet"), ["é"])
    prepared(tmp_path / "out", "a.parquet", "--validation", "v.parquet", "--encoding", "bytes", "--split", "lines")
    assert tokens_of(tmp_path / "out/train.bin") == [*b"one", END, END, *b"with\nlines\n", END]
    assert tokens_of(tmp_path / "out/val.bin") == [*"é".encode(), END]
    assert count_documents([Path("a.parquet")], "files") == 3


def test_a_file_that_is_not_parquet_is_refused(capsys: pytest.CaptureFixture[str]):
    write_parquet(Path("a.parquet"), ["one", None], column="content")
    Path("bad.parquet").write_bytes(b"PAR1 and so on PAR1")
    command = ("--encoding", "bytes", "--out", "out")
    said = refused(capsys, "a.parquet", *command)
    assert "a.parquet: has no column 'text'; name one of 'content', 'other' with --column" in said
    said = refused(capsys, "a.parquet", "--column", "content", *command)
    assert "row 1 of its column 'content' is not text but NoneType" in said
    assert "bad.parquet: is not a valid parquet file" in refused(capsys, "bad.parquet", *command)
    write_parquet(Path("latin.parquet"), ["one", b"se\xf1or", "two"])
    said = refused(capsys, "latin.parquet", "--held-out", "0.5", *command)
    assert "latin.parquet: has text that is not UTF-8 (invalid continuation byte)" in said


def test_a_missing_extra_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    Path("a.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    said = refused(capsys, "a.parquet", "--encoding", "bytes", "--out", "out")
    assert said.endswith(f"a.parquet: reading it needs pyarrow, which is not installed: {install('text')}\n")
    assert f"tiktoken, which is not installed: {install('text')}" in refused(capsys, "a.parquet", "--out", "out")


# GPT-2's encoding


def test_bytes_that_no_text_has_are_the_end():
    encoding = bytes_encoding()
    everything = "".join(map(chr, [*range(0, 0xD800, 7), *range(0xE000, 0x110000, 7)]))
    assert (encoding.encode([everything]) == encoding.end_of_text).sum() == 1
    assert encoding.encode(["a", "", "é"]).tolist() == [97, END, END, 0xC3, 0xA9, END]


def test_ranks_follow_the_order_of_the_file():
    """Printable bytes come first. A blank is written as the 33rd of the others, as in GPT-2's own files."""
    ranks = encodings._ranks("#version: 0.2\nĠ t\nĠt h\nÃ ©\n")
    assert ranks[b"!"] == 0
    assert ranks[b"~"] == 93
    assert ranks[b"\0"] == 188
    assert ranks[b" "] == 220
    assert (ranks[b" t"], ranks[b" th"], ranks["é".encode()]) == (256, 257, 258)
    assert len(ranks) == 259


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tiktoken")

    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)


@pytest.mark.usefixtures("offline")
def test_missing_merges_are_named_and_nothing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "cache"))
    said = refused(capsys, "a.txt", "--out", "out")
    assert f"{tmp_path}/cache/6d1cbeee0f20b3d9449abfede4726ed8212e3aee does not exist" in said
    assert "SHA-256 1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5" in said
    Path("vocab.bpe").write_text("#version: 0.2\n")
    said = refused(capsys, "a.txt", "--out", "out", "--merges", "vocab.bpe")
    assert "vocab.bpe: is not vocab.bpe" in said
    assert "its SHA-256 is " in said


@pytest.fixture
def small_merges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None) -> None:
    """Leave a small file of merges, by hand, where tiktoken keeps its copy of GPT-2's."""
    merges = "#version: 0.2\nĠ t\nh e\nĠt he\n"
    monkeypatch.setattr(encodings, "MERGES_SHA256", hashlib.sha256(merges.encode()).hexdigest())
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    (tmp_path / encodings.MERGES_CACHED).write_text(merges)


@pytest.mark.usefixtures("small_merges")
def test_more_white_space_in_a_row_than_tiktoken_takes_is_refused(capsys: pytest.CaptureFixture[str]):
    for name, space in (("long.txt", 900_000), ("longer.txt", 1_000_000)):
        Path(name).write_text("the\n the" + " \t\u3000\x85" * (space // 4) + "t\n")
    encoding = gpt2_encoding()
    assert not encoding.refused(Path("long.txt").read_text())
    assert len(encoding.encode([Path("long.txt").read_text()])) > 900_000
    said = refused(capsys, "long.txt", "--validation", "longer.txt", "--split", "lines", "--out", "out")
    assert "longer.txt: document 2 has more than the 900,000 characters of white space in a row" in said
    assert not bytes_encoding().refused(Path("longer.txt").read_text())


@pytest.mark.usefixtures("small_merges")
def test_merges_make_the_tokens(tmp_path: Path):
    """Text that looks like the end of a text is text."""
    Path("a.txt").write_text(" the the t\n\n<|endoftext|>\n")
    Path("v.txt").write_text("he\n")
    prepared(tmp_path / "out", "a.txt", "--validation", "v.txt", "--split", "lines", "--threads", "2")
    newline = 188 + 10
    text = [byte - 33 for byte in b"<|endoftext|>"]
    expected = [258, 258, 256, newline, 50_256, 50_256, *text, newline, 50_256]
    assert tokens_of(tmp_path / "out/train.bin") == expected
    assert tokens_of(tmp_path / "out/val.bin") == [257, newline, 50_256]


@pytest.mark.usefixtures("offline")
def test_tokens_are_those_of_tiktoken_s_own_gpt2():
    """Where this machine has the files that tiktoken would otherwise download."""
    tiktoken = pytest.importorskip("tiktoken")
    try:
        encoding = gpt2_encoding()
        reference = tiktoken.get_encoding("gpt2")
    except (ValueError, AssertionError) as error:
        pytest.skip(str(error)[:80])
    texts = [
        Path(__file__).read_text(), "", "\n", " = Title = \n", "don't we've  I'LL 12 345\t\n\n  x  ", "<|endoftext|>",
        "日本語 naïve 🙂\u2028 x", " " * 50, "a\u00a0b\u3000c   ",
    ]  # fmt: skip
    expected = [token for text in texts for token in (*reference.encode_ordinary(text), reference.eot_token)]
    assert encoding.encode(texts).tolist() == expected
    assert (encoding.vocabulary, encoding.end_of_text) == (reference.n_vocab, reference.eot_token)

"""Token files and their folders are read as nanoGPT writes them; anything else is refused in one line."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from fire_rl.data import tokens
from fire_rl.data.text import TEXT_SETS, read_source, read_texts, source_names, weights_of
from fire_rl.data.tokens import read_bin


def write_as_nanogpt(path: Path, documents: list[list[int]]) -> None:
    """Write through a mapped file of unsigned 16-bit numbers, shard by shard."""
    total = sum(map(len, documents))
    mapped = np.memmap(path, dtype=np.uint16, mode="w+", shape=(total,))
    place = 0
    for document in documents:
        mapped[place : place + len(document)] = np.array(document)
        place += len(document)
    mapped.flush()


def make_source(folder: Path, name: str, length: int = 50) -> Path:
    place = folder / name
    place.mkdir(parents=True)
    write_as_nanogpt(place / "train.bin", [list(range(length))])
    write_as_nanogpt(place / "val.bin", [list(range(20))])
    return place


def test_a_file_of_nanogpt_is_read_as_it_was_written(tmp_path: Path):
    documents = [[464, 3290, 50256], [50256], [0, 32767, 32768, 50256]]
    write_as_nanogpt(tmp_path / "train.bin", documents)
    read = read_bin(tmp_path / "train.bin", 50_257)
    assert read.values.tolist() == [token for document in documents for token in document]
    assert len(read) == 8
    assert (tmp_path / "train.bin").stat().st_size == 16
    assert not read.values.flags.writeable


@pytest.mark.parametrize("at_once", [3, 1 << 24])
def test_a_token_beyond_the_vocabulary_is_found_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
):
    monkeypatch.setattr(tokens, "CHECKED_AT_ONCE", at_once)
    write_as_nanogpt(tmp_path / "a.bin", [[1, 2, 3, 4, 5, 6, 7, 50_257, 9]])
    with pytest.raises(ValueError, match=r"a\.bin: token number 7 is 50,257, beyond the vocabulary of 50,257"):
        read_bin(tmp_path / "a.bin", 50_257)
    assert len(read_bin(tmp_path / "a.bin", 50_258)) == 9


def test_a_file_that_is_not_a_token_file_is_refused_in_one_line(tmp_path: Path):
    (tmp_path / "odd.bin").write_bytes(b"\0\0\0")
    (tmp_path / "empty.bin").write_bytes(b"")
    (tmp_path / "folder.bin").mkdir()
    os.mkfifo(tmp_path / "pipe.bin")
    (tmp_path / "whole.bin").write_bytes(b"\0\0")
    (tmp_path / "link.bin").symlink_to(tmp_path / "whole.bin")
    words = {
        "odd": "has 3 bytes, an odd number",
        "empty": "is empty",
        "folder": "is not a regular file",
        "pipe": "is not a regular file",
        "link": "is a symbolic link",
        "absent": "No such file",
    }
    for name, expected in words.items():
        with pytest.raises(ValueError) as raised:
            read_bin(tmp_path / f"{name}.bin", 256)
        assert str(raised.value).startswith(f"{tmp_path / name}.bin: ")
        assert expected in str(raised.value)
        assert "\n" not in str(raised.value)


def test_folders_without_a_note_hold_tokens_of_gpt2(tmp_path: Path):
    make_source(tmp_path, "first")
    make_source(tmp_path, "second", length=150)
    sources = read_texts("first+second", tmp_path)
    assert list(sources) == ["first", "second"]
    first = sources["first"]
    assert (first.encoding, first.vocabulary, first.train.bytes_per_token) == ("gpt2", 50_257, None)
    assert "50 training and 20 validation tokens (gpt2)" in first.source
    assert "no meta.json" in first.source
    assert weights_of(sources, "first+second") == {"first": 50.0, "second": 150.0}


def test_published_weights_count_where_there_are_any(tmp_path: Path):
    make_source(tmp_path, "wikitext")
    make_source(tmp_path, "openwebtext")
    sources = read_texts("wikitext-openwebtext", tmp_path)
    assert weights_of(sources, "wikitext-openwebtext") == {"wikitext": 0.1, "openwebtext": 9.0}


def test_missing_files_are_reported_with_the_command_that_makes_them(tmp_path: Path):
    with pytest.raises(
        ValueError, match=r"wikitext does not exist: make it with `python -m fire_rl\.data\.prepare .*--validation"
    ):
        read_texts("wikitext-openwebtext", tmp_path)
    place = make_source(tmp_path, "mine")
    (place / "val.bin").unlink()
    with pytest.raises(ValueError, match=r"mine/val\.bin does not exist: make it with"):
        read_texts("mine", tmp_path)
    with pytest.raises(ValueError, match="give --data-dir FOLDER with the folders wikitext, openwebtext in it"):
        read_texts("wikitext-openwebtext", None)
    with pytest.raises(ValueError, match=r"--data-dir .*/none is not a folder"):
        read_texts("mine", tmp_path / "none")
    with pytest.raises(ValueError, match="python is the nearest name that needs none"):
        read_texts("pyhton", None)


@pytest.mark.parametrize("data", ["../up", "a+", "", "a/b", "+", ".hidden", "a+a"])
def test_names_that_lead_to_another_folder_are_refused(data: str):
    with pytest.raises(ValueError, match=r"allowed are python, wikitext-openwebtext|twice"):
        source_names(data)


def test_sources_are_known_without_their_files():
    assert source_names("python") == ("documentation", "sources")
    assert source_names("wikitext-openwebtext") == ("wikitext", "openwebtext")
    assert source_names("novels+news") == ("novels", "news")
    assert all(facts.name == name for name, facts in TEXT_SETS.items())


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path):
    make_source(tmp_path / "elsewhere", "mine")
    (tmp_path / "mine").symlink_to(tmp_path / "elsewhere" / "mine")
    (tmp_path / "file").write_text("")
    for name in ("mine", "file"):
        with pytest.raises(ValueError, match=f"{name}: is a symbolic link or not a folder"):
            read_source(name, tmp_path)


GOOD = {"encoding": "bytes", "vocabulary": 256, "train": {"bytes": 1, "sha256": ""}, "val": {"bytes": 1, "sha256": ""}}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "3",
        "[" * 100_000,
        "\xff",
        json.dumps({**GOOD, "vocabulary": 1}).replace(": 1,", f": {'1' * 5_000},"),
        json.dumps({**GOOD, "vocabulary": True}),
        json.dumps({**GOOD, "vocabulary": 1 << 17}),
        json.dumps({**GOOD, "encoding": "by\ntes"}),
        json.dumps({**GOOD, "train": 3}),
        json.dumps({**GOOD, "val": {"bytes": -1, "sha256": ""}}),
        json.dumps({"encoding": "bytes"}),
    ],
)
def test_a_forged_note_is_refused_in_one_line(tmp_path: Path, content: str):
    place = make_source(tmp_path, "mine")
    (place / "meta.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(
        ValueError, match=r"meta\.json: is not as `python -m fire_rl\.data\.prepare` writes it"
    ) as raised:
        read_source("mine", tmp_path)
    assert "\n" not in str(raised.value)


def test_a_note_of_other_files_and_a_huge_one_are_refused(tmp_path: Path):
    place = make_source(tmp_path, "mine")
    (place / "meta.json").write_text(json.dumps(GOOD))
    with pytest.raises(ValueError, match=r"train\.bin: is not the file that meta\.json beside it describes"):
        read_source("mine", tmp_path)
    (place / "meta.json").write_bytes(b" " * 1_000_001)
    with pytest.raises(ValueError, match="its format allows 1,000,000"):
        read_source("mine", tmp_path)


def test_sources_of_different_encodings_are_not_mixed(tmp_path: Path):
    make_source(tmp_path, "first")
    place = make_source(tmp_path, "second")
    facts = {part: {"bytes": 9, "sha256": read_bin(place / f"{part}.bin", 256).sha256} for part in ("train", "val")}
    (place / "meta.json").write_text(json.dumps({**GOOD, **facts}))
    with pytest.raises(ValueError, match="first is encoded as gpt2, second as bytes"):
        read_texts("first+second", tmp_path)

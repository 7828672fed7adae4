"""Data sets that are damaged or malicious: one line names the file, and the format bounds the memory."""

import gzip
import os
import pickle
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fire_rl.data import read_images
from tests.fixtures.pictures import made_up, write_cifar10, write_cifar100, write_idx, write_tinyimagenet
from tests.test_data_images import digits_rows, write_digits

FASHION = (1, 28, 28)


class Harm:
    """A pickle that creates a folder when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def write(name: str, folder: Path) -> list[Path]:
    """Write a small set. Return the files of it that are damaged in turn."""
    if name.startswith("fashion"):
        for part in ("train", "t10k"):
            write_idx(folder, part, made_up(20, 10, FASHION), packed=name == "fashion, packed")
    elif name == "digits":
        write_digits(folder / "digits.csv.gz", digits_rows(20))
    elif name == "cifar10":
        write_cifar10(folder, 2, 2)
    elif name == "cifar100":
        write_cifar100(folder, 3, 2)
    else:
        write_tinyimagenet(folder, 2, 1, 2)
    return sorted(path for path in folder.rglob("*") if path.is_file())


NAMES = ["fashion, packed", "fashion, plain", "digits", "cifar10", "cifar100", "tinyimagenet"]


def set_of(name: str) -> str:
    return name.partition(",")[0]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3 + 1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def foldered(path: Path) -> None:
    path.unlink()
    path.mkdir()


def swollen(path: Path) -> None:
    os.truncate(path, 2**40)  # sparse: it takes no space on the disk


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(Harm(path.with_name("harmed"))))


def forbidden(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 3)


DAMAGES = [cut, emptied, linked, piped, foldered, swollen, pickled, forbidden]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_named_in_one_line(tmp_path: Path, name: str, damage: Callable[[Path], None]):
    number = 0
    while True:
        folder = tmp_path / str(number)
        folder.mkdir()
        if number == len(files := write(name, folder)):
            break
        if damage is cut and files[number].suffix == ".txt":
            files[number].write_text(files[number].read_text()[:-18])  # inside the last class's name
        else:
            damage(files[number])
        tracemalloc.start()
        with pytest.raises(ValueError) as error:
            read_images(set_of(name), folder)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5_000_000, (files[number].name, peak)
        assert "\n" not in str(error.value)
        place = files[number].name if files[number].suffix != ".JPEG" else ".JPEG"
        assert place in str(error.value), str(error.value)
        assert not list(folder.rglob("harmed"))
        number += 1
    read_images(set_of(name), folder)


def idx(magic: int, *numbers: int, body: int) -> bytes:
    return struct.pack(f">{len(numbers) + 1}I", magic, *numbers) + bytes(body)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (idx(0x803, 2**32 - 1, 28, 28, body=784), "after its header"),
        (idx(0x803, 20, 28, 28, body=20 * 784 + 1), "after its header"),
        (idx(0x803, 20, 2**31, 28, body=784), "after its header"),
        (idx(0x803, 20, 56, 14, body=20 * 784), "56 x 14"),
        (idx(0x803, 0, 28, 28, body=0), "is empty"),
        (idx(0x801, 20, body=20), "is not an idx file of images"),
        (idx(0x803, 19, 28, 28, body=19 * 784), "20 labels for 19 images"),
        (b"\0\0\x08\x03", "is not an idx file of images"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_headers_that_lie_are_refused(tmp_path: Path, content: bytes, said: str, packed: bool):
    write("fashion, packed" if packed else "fashion, plain", tmp_path)
    path = tmp_path / ("train-images-idx3-ubyte" + ".gz" * packed)
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ValueError) as error:
        read_images("fashion", tmp_path)
    assert said in str(error.value)


@pytest.mark.parametrize(("name", "file"), [("fashion", "t10k-labels-idx1-ubyte.gz"), ("digits", "digits.csv.gz")])
def test_what_unpacks_to_more_than_the_format_allows_is_not_unpacked(tmp_path: Path, name: str, file: str):
    write("fashion, packed" if name == "fashion" else name, tmp_path)
    (tmp_path / file).write_bytes(gzip.compress(bytes(50_000_000))[: 200_000 if name == "digits" else None])
    if name == "fashion":
        (tmp_path / file).write_bytes(gzip.compress(bytes(3_000_000)))
    tracemalloc.start()
    with pytest.raises(ValueError, match="unpacks to more than"):
        read_images(name, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda packed: packed + b"more", "more bytes after the end"),
        (lambda packed: packed[:-8] + bytes(4) + packed[-4:], "not a valid gzip file"),  # the checksum
        (lambda packed: packed[:-8], "cut short"),
    ],
)
def test_gzip_files_are_read_to_their_checksum(tmp_path: Path, change: Callable[[bytes], bytes], said: str):
    write("fashion, packed", tmp_path)
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError) as error:
        read_images("fashion", tmp_path)
    assert said in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "file", "place", "value"),
    [
        ("fashion, plain", "train-labels-idx1-ubyte", 8, 10),
        ("fashion, plain", "t10k-labels-idx1-ubyte", 27, 255),
        ("cifar10", "cifar-10-batches-bin/data_batch_4.bin", 3073, 10),
        ("cifar100", "cifar-100-binary/train.bin", 3074, 20),  # the coarse label
        ("cifar100", "cifar-100-binary/test.bin", 1, 100),
    ],
)
def test_labels_beyond_the_classes_are_refused(tmp_path: Path, name: str, file: str, place: int, value: int):
    write(name, tmp_path)
    content = bytearray((tmp_path / file).read_bytes())
    content[place] = value
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=f"has the label {value}; allowed are 0 to") as error:
        read_images(set_of(name), tmp_path)
    assert file in str(error.value)


@pytest.mark.parametrize(
    "rows", [digits_rows(20)[:, 1:], digits_rows(4), digits_rows(20) - 1, digits_rows(20) * 0.5, digits_rows(0)]
)
def test_tables_that_are_not_digits_are_refused(tmp_path: Path, rows: np.ndarray):
    write_digits(tmp_path / "digits.csv.gz", rows)
    with pytest.raises(ValueError, match=r"allowed|integers"):
        read_images("digits", tmp_path)


def test_one_of_cifar10_s_files_is_missing(tmp_path: Path):
    write("cifar10", tmp_path)
    (tmp_path / "cifar-10-batches-bin/data_batch_3.bin").unlink()
    with pytest.raises(ValueError, match=r"data_batch_3\.bin: No such file"):
        read_images("cifar10", tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "tinyimagenet"])
def test_folders_that_are_links_are_not_entered(tmp_path: Path, name: str):
    write(name, tmp_path)
    for folder in sorted((path for path in tmp_path.rglob("*") if path.is_dir()), reverse=True):
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(ValueError, match="symbolic link") as error:
            read_images(name, tmp_path)
        assert str(folder) in str(error.value)
        folder.unlink()
        (tmp_path / "elsewhere").rename(folder)
    read_images(name, tmp_path)
    (tmp_path / "my data").symlink_to(tmp_path)  # the folder that the user names may be one
    read_images(name, tmp_path / "my data")


def test_images_of_another_size_or_kind_are_refused(tmp_path: Path):
    place = write_tinyimagenet(tmp_path)
    path = place / "val" / "images" / "val_3.JPEG"
    jpeg = path.read_bytes()
    frame = jpeg.index(b"\xff\xc0") + 5  # the place of the height and the width
    assert struct.unpack(">HH", jpeg[frame : frame + 4]) == (64, 64)
    for height, width in ((63, 64), (65_000, 65_000)):
        path.write_bytes(jpeg[:frame] + struct.pack(">HH", height, width) + jpeg[frame + 4 :])
        with pytest.raises(ValueError, match=f"{width} x {height} pixels; allowed are 64 x 64"):
            read_images("tinyimagenet", tmp_path)
    Image.new("RGB", (64, 64)).save(path, "PNG")
    with pytest.raises(ValueError, match="is not a valid JPEG"):
        read_images("tinyimagenet", tmp_path)
    Image.new("CMYK", (64, 64)).save(path, "JPEG")
    read_images("tinyimagenet", tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("wnids.txt", "n10000014\nn10000014\n", "allowed are up to 200 different lines"),
        ("wnids.txt", "../../val\n", "allowed are up to 200 different lines"),
        ("wnids.txt", "".join(f"n{number:08}\n" for number in range(201)), "allowed are up to 200 different lines"),
        ("val/val_annotations.txt", "../images/val_0.JPEG\tn10000014\n", "line 1 is"),
        ("val/val_annotations.txt", "val_0.JPEG\tn99999999\n", "line 1 is"),
        ("val/val_annotations.txt", "val_0.JPEG\n", "line 1 is"),
        ("val/val_annotations.txt", "val_0.JPEG\tn10000014\n" * 2, "line 2 is"),
        ("val/val_annotations.txt", "\u00e9", "is not ASCII text"),
    ],
)
def test_texts_of_tinyimagenet_that_name_something_else_are_refused(tmp_path: Path, file: str, text: str, said: str):
    place = write_tinyimagenet(tmp_path, classes=2)
    (place / file).write_text(text)
    with pytest.raises(ValueError) as error:
        read_images("tinyimagenet", tmp_path)
    assert said in str(error.value)


def test_a_class_has_no_more_images_than_were_published(tmp_path: Path):
    place = write_tinyimagenet(tmp_path, classes=1, per_class=1)
    (image,) = (place / "train").rglob("*.JPEG")
    for number in range(500):
        os.link(image, image.with_name(f"more_{number}.JPEG"))
    with pytest.raises(ValueError, match="more than the 500 files"):
        read_images("tinyimagenet", tmp_path)
    for path in image.parent.glob("more_*"):
        path.unlink()
    image.with_name("\x1b[2J").touch()
    with pytest.raises(ValueError, match=r"has '\\x1b\[2J'; allowed are images such as"):
        read_images("tinyimagenet", tmp_path)

"""TinyImageNet in the folders of its archive: 200 classes of ImageNet at 64 x 64 pixels, one JPEG file per image.

Its test part has no labels, so the validation part is used as the test part, as in publications. All images are decoded
by threads each time they are read; a cache would be one more file that has to be checked and can become outdated.
Source: Le and Yang, "Tiny ImageNet Visual Recognition Challenge", 2015.
"""

import hashlib
import io
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fire_rl.cores import usable_cores

from .files import content_of, folder_itself, names_in
from .places import Archive, Place, found, read_in_words
from .sets import IMAGE_SETS, ImageData, Images

PLACE = Place(
    Archive(
        name="tiny-imagenet-200.zip",
        size=248_100_043,
        md5="90528d7ca1a48142e341f4ef8d21d0de",
        address="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        folder="tiny-imagenet-200",
    ),
    first="wnids.txt",
)
SIDE = 64
CLASS = re.compile(r"n\d{8}")
IMAGE = re.compile(r"[A-Za-z0-9_]{1,100}\.JPEG")
FILE_BYTES = 1_000_000  # the largest size of an image's file; real ones have two or three thousand bytes
TEXT_BYTES = 10_000_000
TOGETHER = 500  # images that a thread decodes at a time
THREADS = 8  # at most


def read_tinyimagenet(folder: Path | None) -> ImageData:
    """Read TinyImageNet; raise ValueError in one line if a file is missing or wrong."""
    facts = IMAGE_SETS["tinyimagenet"]
    place = found("tinyimagenet", folder, PLACE)
    classes = _classes(place / "wnids.txt", facts.classes)
    digest = hashlib.sha256()
    train = _decoded(_train_files(place, classes, facts.train // facts.classes), digest)
    test = _decoded(_test_files(place, classes, facts.test), digest)
    counts = (len(train.labels), facts.train), (len(test.labels), facts.test)
    said = read_in_words("TinyImageNet", *counts, str(place))
    source = f"{said}; SHA-256 of the image files, classes as in wnids.txt, then as in val_annotations.txt"
    return ImageData(facts, train, test, f"{source}: {digest.hexdigest()}")


def _lines(path: Path) -> list[str]:
    try:
        return content_of(path, TEXT_BYTES).decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not ASCII text") from error


def _classes(path: Path, at_most: int) -> dict[str, int]:
    """Return the label of each class by its name, in the order of the file."""
    names = _lines(path)
    if not 1 <= len(names) <= at_most or len(set(names)) < len(names) or not all(map(CLASS.fullmatch, names)):
        raise ValueError(f"{path}: allowed are up to {at_most} different lines such as n01443537")
    return {name: label for label, name in enumerate(names)}


def _train_files(place: Path, classes: dict[str, int], at_most: int) -> list[tuple[Path, int]]:
    files = []
    folder_itself(place / "train")
    for name, label in classes.items():
        folder_itself(place / "train" / name)
        folder = folder_itself(place / "train" / name / "images")
        names = names_in(folder, at_most)
        for file in names:
            if not IMAGE.fullmatch(file):
                raise ValueError(f"{folder}: has {file[:100]!a}; allowed are images such as {name}_0.JPEG")
        if not names:
            raise ValueError(f"{folder}: has no image")
        files += [(folder / file, label) for file in names]
    return files


def _test_files(place: Path, classes: dict[str, int], at_most: int) -> list[tuple[Path, int]]:
    """Return the images of the validation part with their labels.

    Each line of `val_annotations.txt` has a file's name, its class, and a bounding box, which is not used.
    """
    folder_itself(place / "val")
    folder = folder_itself(place / "val" / "images")
    path = place / "val" / "val_annotations.txt"
    files: dict[str, int] = {}
    for number, line in enumerate(_lines(path), 1):
        name, kind, *_ = (*line.split("\t"), "", "")
        if not IMAGE.fullmatch(name) or kind not in classes or name in files or number > at_most:
            allowed = f"up to {at_most:,} lines with an image of their own and a class of wnids.txt, with tabs between"
            raise ValueError(f"{path}: line {number} is {line[:100]!a}; allowed are {allowed}")
        files[name] = classes[kind]
    if not files:
        raise ValueError(f"{path}: is empty")
    return [(folder / name, label) for name, label in files.items()]


def _decoded(files: Sequence[tuple[Path, int]], digest: "hashlib._Hash") -> Images:
    images = np.empty((len(files), 3, SIDE, SIDE), np.uint8)

    def decode(first: int) -> bytes:
        contents = []
        for index, (path, _) in enumerate(files[first : first + TOGETHER], first):
            content = content_of(path, FILE_BYTES)
            images[index] = _pixels(content, path)
            contents.append(content)
        return b"".join(contents)

    with ThreadPoolExecutor(min(THREADS, usable_cores())) as threads:
        for contents in threads.map(decode, range(0, len(files), TOGETHER)):
            digest.update(contents)
    return Images(torch.from_numpy(images), torch.tensor([label for _, label in files]))


def _pixels(content: bytes, path: Path) -> NDArray[np.uint8]:
    """Decode a JPEG of the right size as (3, 64, 64); a grey image gets three equal channels."""
    from PIL.JpegImagePlugin import JpegImageFile  # reads JPEG only, and decodes no pixels before the size is checked

    try:
        with JpegImageFile(io.BytesIO(content)) as image:
            width, height = image.size
            pixels = np.asarray(image.convert("RGB")) if image.size == (SIDE, SIDE) else None
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: is not a valid JPEG ({' '.join(str(error).split())[:100]})") from error
    if pixels is None:
        raise ValueError(f"{path}: has {width} x {height} pixels; allowed are {SIDE} x {SIDE}")
    return pixels.transpose(2, 0, 1)

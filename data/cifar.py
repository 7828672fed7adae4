"""CIFAR-10 and CIFAR-100 in their binary version: records of one label (in CIFAR-100, a coarse and a fine one) and
3,072 bytes: all red values, then all green, then all blue ones.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009, and its web page.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .files import content_of
from .places import Archive, Place, found, read_in_words
from .sets import IMAGE_SETS, ImageData, Images

ADDRESS = "https://www.cs.toronto.edu/~kriz/cifar.html"
PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Layout:
    """The files of a set, and the labels that precede the pixels of each image."""

    title: str
    train: Sequence[str]
    test: str
    labels: Sequence[int]  # the number of classes for each label of a record; the last label is the image's class
    place: Place


LAYOUTS = {
    "cifar10": Layout(
        title="CIFAR-10",
        train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        test="test_batch.bin",
        labels=(10,),
        place=Place(
            archive=Archive(
                name="cifar-10-binary.tar.gz",
                size=170_052_171,
                md5="c32a1d4ab5d03f1284b67883e8d87530",
                address=ADDRESS,
                folder="cifar-10-batches-bin",
            ),
            first="data_batch_1.bin",
            unsafe=(
                *("cifar-10-batches-py", "cifar-10-python.tar.gz", "data_batch_1"),
                *("cifar-10-batches-mat", "cifar-10-matlab.tar.gz", "data_batch_1.mat"),
            ),
        ),
    ),
    "cifar100": Layout(
        title="CIFAR-100",
        train=("train.bin",),
        test="test.bin",
        labels=(20, 100),
        place=Place(
            archive=Archive(
                name="cifar-100-binary.tar.gz",
                size=168_513_733,
                md5="03b5dce01913d631647c71ecec9e9cb8",
                address=ADDRESS,
                folder="cifar-100-binary",
            ),
            first="train.bin",
            unsafe=(
                *("cifar-100-python", "cifar-100-python.tar.gz", "meta"),
                *("cifar-100-matlab", "cifar-100-matlab.tar.gz", "train.mat"),
            ),
        ),
    ),
}


def read_cifar(name: str, folder: Path | None) -> ImageData:
    """Read CIFAR-10 or CIFAR-100; raise ValueError in one line if a file is missing or wrong."""
    facts, layout = IMAGE_SETS[name], LAYOUTS[name]
    place = found(name, folder, layout.place)
    digest = hashlib.sha256()
    files = [(file, facts.train // len(layout.train)) for file in layout.train] + [(layout.test, facts.test)]
    parts = [_records(place / file, count, layout, digest) for file, count in files]
    train, test = _images(parts[:-1]), _images(parts[-1:])
    counts = (len(train.labels), facts.train), (len(test.labels), facts.test)
    said = read_in_words(layout.title, *counts, str(place))
    return ImageData(
        facts, train, test, f"{said}; SHA-256 of {', '.join(file for file, _ in files)}: {digest.hexdigest()}"
    )


def _records(path: Path, at_most: int, layout: Layout, digest: "hashlib._Hash") -> NDArray[np.uint8]:
    """Return a file's records, one per row, with checked labels."""
    width = len(layout.labels) + PIXELS
    content = content_of(path, at_most * width)
    if not content or len(content) % width:
        full = f"a full file has {at_most * width:,}"
        raise ValueError(
            f"{path}: has {len(content):,} bytes, not whole records of {width:,} ({full}): it is cut short"
        )
    digest.update(content)
    records = np.frombuffer(content, np.uint8).reshape(-1, width)
    for column, classes in enumerate(layout.labels):
        if (largest := int(records[:, column].max())) >= classes:
            raise ValueError(f"{path}: has the label {largest}; allowed are 0 to {classes - 1}")
    return records


def _images(parts: Sequence[NDArray[np.uint8]]) -> Images:
    labels = np.concatenate([records[:, -PIXELS - 1] for records in parts]).astype(np.int64)
    images = np.concatenate([records[:, -PIXELS:] for records in parts]).reshape(-1, 3, 32, 32)
    return Images(torch.from_numpy(images), torch.from_numpy(labels))

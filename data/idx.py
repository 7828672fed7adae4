"""Fashion-MNIST in its own format, idx, packed by gzip or not: a header of big-endian integers, then one byte for each
pixel or label.

Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
2017; the format is MNIST's.
"""

import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .files import content_of, folder_itself, packed_size, unpacked
from .places import read_in_words
from .sets import IMAGE_SETS, ImageData, Images

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # from Debian's package dataset-fashion-mnist
FOLDERS = ("", "fashion-mnist", "FashionMNIST/raw")  # inside the given folder; the last is torchvision's
ADDRESS = "https://github.com/zalandoresearch/fashion-mnist"
FILES = {  # the MD5 checksums of the published files, which are packed by gzip
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
}
PUBLISHED = (
    "14410854cf7a289477dcfc7df3f8ec24741e281cdcc425ede0d9a748ca630214"  # SHA-256 of the four unpacked files in order
)
IMAGES, LABELS = 0x803, 0x801  # the magic numbers of unsigned bytes in three dimensions, and in one


def fashion_folder(folder: Path | None) -> Path | None:
    """Return the folder that has the first of the files: inside the given one, or Debian's; None if there is none."""
    inside = [folder / name for name in FOLDERS] if folder is not None else []
    first = next(iter(FILES))
    for candidate in (*inside, DEBIAN):
        if os.path.lexists(candidate / first) or os.path.lexists(candidate / f"{first}.gz"):
            return candidate
    return None


def read_fashion(folder: Path | None) -> ImageData:
    """Read Fashion-MNIST; raise ValueError in one line if a file is missing or wrong."""
    facts = IMAGE_SETS["fashion"]
    if (place := fashion_folder(folder)) is None:
        names = ", ".join(f"{name}.gz (MD5 {md5})" for name, md5 in FILES.items())
        raise ValueError(
            f"fashion: {f'{folder} has no' if folder else 'there are no'} Fashion-MNIST files: apt-get install "
            f"dataset-fashion-mnist, or put into --data-dir FOLDER, from {ADDRESS}: {names}"
        )
    if place not in (folder, DEBIAN):
        folder_itself(place)
    digest = hashlib.sha256()
    contents = []
    for name, count in zip(FILES, (facts.train, facts.train, facts.test, facts.test), strict=True):
        packed, plain = place / f"{name}.gz", place / name
        at_most = 16 + count * 28 * 28 if "images" in name else 8 + count
        path = plain if os.path.lexists(plain) else packed
        content = content_of(path, at_most if path == plain else packed_size(at_most))
        contents.append((content if path == plain else unpacked(content, at_most, path), path))
        digest.update(contents[-1][0])
    train, test = (
        Images(torch.from_numpy(_images(*images, count)), torch.from_numpy(_labels(*labels, facts.classes)))
        for images, labels, count in ((contents[0], contents[1], facts.train), (contents[2], contents[3], facts.test))
    )
    for part, (_, path) in ((train, contents[1]), (test, contents[3])):
        if len(part.images) != len(part.labels):
            raise ValueError(f"{path}: has {len(part.labels):,} labels for {len(part.images):,} images")
    checksum = digest.hexdigest()
    known = "as published" if checksum == PUBLISHED else "not those that were published"
    counts = (len(train.labels), facts.train), (len(test.labels), facts.test)
    said = f"{read_in_words('Fashion-MNIST', *counts, str(place))}, {known}"
    return ImageData(facts, train, test, f"{said}; SHA-256 of the four unpacked files, one after the other: {checksum}")


def _body(content: bytes, path: Path, magic: int, numbers: int, unit: int) -> tuple[tuple[int, ...], memoryview]:
    """Check a file's magic number and size; return the other numbers in its header, and the bytes after the header."""
    size = 4 * (numbers + 1)
    if len(content) < size or struct.unpack(">I", content[:4])[0] != magic:
        raise ValueError(f"{path}: is not an idx file of {'images' if magic == IMAGES else 'labels'}")
    header = struct.unpack(f">{numbers}I", content[4:size])
    if (has := len(content) - size) != (says := header[0] * unit):
        raise ValueError(f"{path}: has {has:,} bytes after its header, which says {says:,}: it is cut short or altered")
    if not header[0]:
        raise ValueError(f"{path}: is empty")
    return header, memoryview(content)[size:]


def _images(content: bytes, path: Path, at_most: int) -> NDArray[np.uint8]:
    header, body = _body(content, path, IMAGES, 3, 28 * 28)
    if header[1:] != (28, 28) or header[0] > at_most:
        allowed = f"up to {at_most:,} of 28 x 28"
        raise ValueError(f"{path}: has {header[0]:,} images of {header[1]} x {header[2]}; allowed are {allowed}")
    return np.frombuffer(body, np.uint8).reshape(-1, 1, 28, 28).copy()


def _labels(content: bytes, path: Path, classes: int) -> NDArray[np.int64]:
    _, body = _body(content, path, LABELS, 1, 1)
    labels = np.frombuffer(body, np.uint8)
    if (largest := int(labels.max())) >= classes:
        raise ValueError(f"{path}: has the label {largest}; allowed are 0 to {classes - 1}")
    return labels.astype(np.int64)

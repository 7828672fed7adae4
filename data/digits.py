"""scikit-learn's digits: 1,797 of 8 x 8 pixels with 17 shades, from the test part of UCI's "Optical Recognition of
Handwritten Digits" (Alpaydin and Kaynak, 1998).

Only the package's one file of data is read; nothing of the package is imported. The set has no test part of its
own: here it is the last fifth, most of which was written by other people than the rest.
"""

import hashlib
import importlib.util
import os
from pathlib import Path

import numpy as np
import torch

from fire_rl.place import install

from .files import content_of, unpacked
from .places import read_in_words
from .sets import IMAGE_SETS, ImageData, Images

FILE = "digits.csv.gz"
PUBLISHED = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"  # of the unpacked file
PACKED_BYTES, BYTES = 200_000, 1_000_000  # at most; it has 57,523 and 264,712
SHADES = 16


def digits_file(folder: Path | None) -> Path | None:
    """The file in the named folder, or scikit-learn's; None where there is neither."""
    if folder is not None and os.path.lexists(folder / FILE):
        return folder / FILE
    package = importlib.util.find_spec("sklearn")  # finds it without importing it
    for place in (package and package.submodule_search_locations) or ():
        if (path := Path(place) / "datasets" / "data" / FILE).exists():
            return path
    return None


def read_digits(folder: Path | None) -> ImageData:
    facts = IMAGE_SETS["digits"]
    if (path := digits_file(folder)) is None:
        raise ValueError(
            f"digits: the file {FILE} of scikit-learn is not there: {install('vision')}; or put the file into "
            "--data-dir FOLDER; or apt-get install dataset-fashion-mnist for the larger set `fashion`"
        )
    content = unpacked(content_of(path, PACKED_BYTES), BYTES, path)
    try:
        lines = content.decode("ascii").splitlines()
        rows = np.array([[int(number) for number in line.split(",")] for line in lines], np.int64)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path}: is no table of whole numbers ({' '.join(str(error).split())[:200]})") from error
    if rows.shape[1:] != (65,) or not 5 <= len(rows) <= facts.train + facts.test:
        raise ValueError(f"{path}: has a table of {rows.shape}; allowed are 5 to 1,797 rows of 65 numbers")
    pixels, labels = rows[:, :-1], rows[:, -1]
    if not (0 <= pixels.min() <= pixels.max() <= SHADES and 0 <= labels.min() <= labels.max() < facts.classes):
        raise ValueError(
            f"{path}: has numbers beyond its pixels' 0 to {SHADES} or its labels' 0 to {facts.classes - 1}"
        )
    shades = np.round(np.arange(SHADES + 1) * 255 / SHADES).astype(np.uint8)  # 0 to 16, as 0 to 255
    images, classes = torch.from_numpy(shades[pixels].reshape(-1, 1, 8, 8)), torch.from_numpy(labels.copy())
    first = len(rows) - len(rows) // 5
    train, test = Images(images[:first], classes[:first]), Images(images[first:], classes[first:])
    checksum = hashlib.sha256(content).hexdigest()
    known = "as published" if checksum == PUBLISHED else "not those that were published"
    counts = (len(train.labels), facts.train), (len(test.labels), facts.test)
    said = f"{read_in_words('handwritten digits', *counts, str(path))}, {known}"
    return ImageData(facts, train, test, f"{said}; SHA-256 of the unpacked file: {checksum}")

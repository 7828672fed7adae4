"""scikit-learn's digits: 1,797 images of 8 x 8 pixels with 17 shades, from the test part of UCI's "Optical Recognition
of Handwritten Digits" (Alpaydin and Kaynak, 1998).

Only the package's data file is read; the package is not imported. The set has no test part of its own: here the last
fifth is the test part, most of which was written by other people than the rest.
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
PUBLISHED = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"  # SHA-256 of the unpacked file
PACKED_BYTES, BYTES = 200_000, 1_000_000  # upper limits; the published file has 57,523 and 264,712 bytes
SHADES = 16


def digits_file(folder: Path | None) -> Path | None:
    """Return the file in the given folder, or else scikit-learn's, or None if there is neither."""
    if folder is not None and os.path.lexists(folder / FILE):
        return folder / FILE
    package = importlib.util.find_spec("sklearn")  # does not import it
    for place in (package and package.submodule_search_locations) or ():
        if (path := Path(place) / "datasets" / "data" / FILE).exists():
            return path
    return None


def read_digits(folder: Path | None) -> ImageData:
    """Read the digits; raise ValueError in one line if the file is missing or wrong."""
    facts = IMAGE_SETS["digits"]
    if (path := digits_file(folder)) is None:
        raise ValueError(
            f"digits: the file {FILE} of scikit-learn was not found: {install('vision')}; or put the file into "
            "--data-dir FOLDER; or apt-get install dataset-fashion-mnist for the larger set `fashion`"
        )
    content = unpacked(content_of(path, PACKED_BYTES), BYTES, path)
    try:
        lines = content.decode("ascii").splitlines()
        rows = np.array([[int(number) for number in line.split(",")] for line in lines], np.int64)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path}: is not a table of integers ({' '.join(str(error).split())[:200]})") from error
    if rows.shape[1:] != (65,) or not 5 <= len(rows) <= facts.train + facts.test:
        raise ValueError(f"{path}: has a table of {rows.shape}; allowed are 5 to 1,797 rows of 65 numbers")
    pixels, labels = rows[:, :-1], rows[:, -1]
    if not (0 <= pixels.min() <= pixels.max() <= SHADES and 0 <= labels.min() <= labels.max() < facts.classes):
        raise ValueError(
            f"{path}: has a number that is not allowed; pixels are 0 to {SHADES}, labels 0 to {facts.classes - 1}"
        )
    shades = np.round(np.arange(SHADES + 1) * 255 / SHADES).astype(np.uint8)  # maps 0 to 16 to 0 to 255
    images, classes = torch.from_numpy(shades[pixels].reshape(-1, 1, 8, 8)), torch.from_numpy(labels.copy())
    first = len(rows) - len(rows) // 5
    train, test = Images(images[:first], classes[:first]), Images(images[first:], classes[first:])
    checksum = hashlib.sha256(content).hexdigest()
    known = "as published" if checksum == PUBLISHED else "not those that were published"
    counts = (len(train.labels), facts.train), (len(test.labels), facts.test)
    said = f"{read_in_words('handwritten digits', *counts, str(path))}, {known}"
    return ImageData(facts, train, test, f"{said}; SHA-256 of the unpacked file: {checksum}")

"""Image data sets by name, each read whole into memory. Files are not trusted, and none of them is a pickle."""

import difflib
from pathlib import Path

from .cifar import read_cifar
from .digits import read_digits
from .idx import fashion_folder, read_fashion
from .sets import IMAGE_SETS, ImageData, Images, ImageSet
from .tinyimagenet import read_tinyimagenet

__all__ = ["IMAGE_SETS", "ImageData", "ImageSet", "Images", "embedded", "read_images"]


def embedded(folder: Path | None = None) -> str:
    """Return the set that needs no download: `fashion` if its files are in this folder or Debian's, else `digits`."""
    return "digits" if fashion_folder(folder) is None else "fashion"


def read_images(name: str, folder: Path | None = None) -> ImageData:
    """Read a set; if that fails, raise ValueError in one line that says which files to put where."""
    if name not in IMAGE_SETS:
        near = difflib.get_close_matches(name, IMAGE_SETS, n=1, cutoff=0.0)[0]
        known = ", ".join(IMAGE_SETS)
        raise ValueError(f"no data set is called {name!a}; the nearest name is {near} (all of them: {known})")
    try:
        match name:
            case "fashion":
                return read_fashion(folder)
            case "digits":
                return read_digits(folder)
            case "tinyimagenet":
                return read_tinyimagenet(folder)
            case _:
                return read_cifar(name, folder)
    except MemoryError as error:
        raise ValueError(f"{name} does not fit into the memory that is free") from error

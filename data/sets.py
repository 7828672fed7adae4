"""Facts about each data set that are known without its files: sizes, classes, constants for normalisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor


class Images(NamedTuple):
    """Images and their classes."""

    images: Tensor  # uint8, (n, channels, height, width)
    labels: Tensor  # int64, (n,)

    def at(self, examples: Tensor) -> "Images":
        """Return a copy of some of the images, in this order."""
        return Images(self.images[examples], self.labels[examples])


@dataclass(frozen=True)
class ImageSet:
    """Facts about a set. `mean` and `std` are those of the training images per channel, on a scale from 0 to 1."""

    name: str
    meaning: str
    train: int  # the published number of training images
    test: int
    classes: int
    shape: tuple[int, int, int]  # channels, height, width
    mean: tuple[float, ...]
    std: tuple[float, ...]
    smallest_class: int | None = None  # training images of the smallest class; None: all classes have the same size


@dataclass(frozen=True, eq=False)
class ImageData:
    """A set that was read from its files."""

    facts: ImageSet
    train: Images
    test: Images
    source: str  # a sentence: how many images were read, from where, and their checksum


_CIFAR = (50_000, 10_000)

IMAGE_SETS: Mapping[str, ImageSet] = MappingProxyType(
    {
        facts.name: facts
        for facts in (
            ImageSet(
                "fashion", "Fashion-MNIST: grey pictures of clothing", 60_000, 10_000, 10, (1, 28, 28),
                (0.2860,), (0.3530,),
            ),
            ImageSet(
                "digits", "scikit-learn's handwritten digits", 1_438, 359, 10, (1, 8, 8),
                (0.3055,), (0.3754,), smallest_class=141,
            ),
            ImageSet(
                "cifar10", "CIFAR-10: colour photographs of ten kinds of things", *_CIFAR, 10, (3, 32, 32),
                (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616),
            ),
            ImageSet(
                "cifar100", "CIFAR-100: colour photographs in a hundred fine classes", *_CIFAR, 100, (3, 32, 32),
                (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762),
            ),
            ImageSet(
                "tinyimagenet", "TinyImageNet: colour photographs; its official validation part is the test part",
                100_000, 10_000, 200, (3, 64, 64), (0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821),
            ),
        )
    }
)  # fmt: skip

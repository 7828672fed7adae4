"""Streams of examples, whole on the learner's device."""

from .images import IMAGE_SETS, ImageData, Images, ImageSet, embedded, read_images
from .normalised import NormalisedImages
from .phases import Phase, class_incremental, continual, held_out, subset, warm_start, with_noise
from .stream import PhasedImages

__all__ = [
    "IMAGE_SETS",
    "ImageData",
    "ImageSet",
    "Images",
    "NormalisedImages",
    "Phase",
    "PhasedImages",
    "class_incremental",
    "continual",
    "embedded",
    "held_out",
    "read_images",
    "subset",
    "warm_start",
    "with_noise",
]

"""Data sets of images and texts, and the batches of a run that goes through phases of them."""

from .images import IMAGE_SETS, ImageData, Images, ImageSet, embedded, read_images
from .normalised import NormalisedImages
from .phases import Phase, class_incremental, continual, held_out, subset, warm_start, with_noise
from .stream import PhasedImages
from .text import (
    TEXT_SETS,
    PhasedText,
    TextBatch,
    TextPhase,
    TextSet,
    TextSource,
    accumulating,
    read_source,
    read_texts,
    source_names,
    weights_of,
)

__all__ = [
    "IMAGE_SETS",
    "TEXT_SETS",
    "ImageData",
    "ImageSet",
    "Images",
    "NormalisedImages",
    "Phase",
    "PhasedImages",
    "PhasedText",
    "TextBatch",
    "TextPhase",
    "TextSet",
    "TextSource",
    "accumulating",
    "class_incremental",
    "continual",
    "embedded",
    "held_out",
    "read_images",
    "read_source",
    "read_texts",
    "source_names",
    "subset",
    "warm_start",
    "weights_of",
    "with_noise",
]

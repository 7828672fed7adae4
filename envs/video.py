"""Make videos of pictures: MP4 (H.264, which browsers play) by PyAV, GIF by Pillow."""

import importlib
import io
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fire_rl.place import install

Pixels = NDArray[np.uint8]

GIF_WIDTH = 320  # pixels at most
GIF_RATE = 12.5  # pictures a second at most
GIF_COLORS = 64
GIF_BYTES = 5_000_000
MOST_HELD = 600  # pictures of a GIF in memory at most


class Recorder(Protocol):
    """Takes pictures one by one, and returns the content of the video's file."""

    def add(self, picture: Pixels) -> None:
        """Add a picture to the video."""

    def content(self) -> bytes:
        """Finish the video, and return the content of its file."""
        ...


class Mp4:
    """H.264 in the 4:2:0 format that browsers play. It needs even sizes, so the last line or column of an odd picture
    is doubled."""

    def __init__(self, rate: float) -> None:
        self._av = require_av()
        self._file = io.BytesIO()
        self._container = self._av.open(self._file, "w", format="mp4")
        self._stream = self._container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
        self._stream.pix_fmt = "yuv420p"
        self._begun = False

    def add(self, picture: Pixels) -> None:
        """Encode a picture; odd sides are extended by a pixel, because H.264 needs even ones."""
        height, width = picture.shape[:2]
        if height % 2 or width % 2:
            picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if not self._begun:
            self._stream.height, self._stream.width = picture.shape[:2]
            self._begun = True
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        self._container.mux(self._stream.encode(frame))

    def content(self) -> bytes:
        """Return the finished file."""
        self._container.mux(self._stream.encode())
        self._container.close()
        return self._file.getvalue()


class Gif:
    """A small GIF: few colours, reduced size and rate, and even fewer pictures if the file would exceed GIF_BYTES."""

    def __init__(self, rate: float) -> None:
        self._seconds = 1 / rate  # between two consecutive pictures
        self._stride = math.ceil(rate / GIF_RATE)  # of this many pictures one is kept
        self._given = 0
        self._kept: list[Image.Image] = []

    def add(self, picture: Pixels) -> None:
        """Keep a picture if its turn has come, scaled down to the width of a GIF."""
        if self._given % self._stride == 0:
            image = Image.fromarray(picture)
            if image.width > GIF_WIDTH:
                image = image.resize((GIF_WIDTH, round(image.height * GIF_WIDTH / image.width)), Image.Resampling.BOX)
            self._kept.append(image)
        self._given += 1
        if len(self._kept) > MOST_HELD:
            self._thin_out()

    def content(self) -> bytes:
        """Return the finished file, with as many pictures as the size limit allows."""
        while True:
            content = self._encoded()
            if len(content) <= GIF_BYTES or len(self._kept) < 3:
                return content
            self._thin_out()

    def _thin_out(self) -> None:
        self._kept = self._kept[::2]
        self._stride *= 2

    def _encoded(self) -> bytes:
        # One palette for all pictures, from samples of the whole episode: with a palette for each picture, even
        # unchanged pixels would change their values, and the file would be larger.
        sample = self._kept[:: max(1, len(self._kept) // 16)]
        strip = np.vstack([np.asarray(image) for image in sample])
        palette = Image.fromarray(strip).quantize(GIF_COLORS, method=Image.Quantize.MEDIANCUT)
        first, *others = (image.quantize(palette=palette, dither=Image.Dither.NONE) for image in self._kept)
        file = io.BytesIO()
        first.save(file, "GIF", save_all=True, append_images=others, duration=self._durations(), loop=0)
        return file.getvalue()

    def _durations(self) -> list[int]:
        """Return the milliseconds of each picture, in the format's steps of ten, without drifting from real time."""
        ends = [10 * round(100 * self._seconds * self._stride * (1 + number)) for number in range(len(self._kept))]
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]


RECORDERS: dict[str, Callable[[float], Recorder]] = {".mp4": Mp4, ".gif": Gif}


def require_av() -> Any:
    """Import and return PyAV; raise ValueError with how to install it if it is missing."""
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise ValueError(f"MP4 videos need the Python module av, which is missing: {install('video')}") from error

"""Random shifts by up to four pixels and random mirroring: the usual augmentation of small photographs.

An image is padded with four rows and columns of zeros (black, before normalisation) on every side, a window of the
original size is cut out at a random place, and half of the images are mirrored from left to right (He et al., "Deep
Residual Learning for Image Recognition", 2016, section 4.2). There are 9 x 9 x 2 such moves, and each has a number.
"""

import numpy as np
import torch
from torch import Tensor

PADDING = 4
AUGMENTATIONS = ("none", "flip-crop")
PLACES = 2 * PADDING + 1
MOVES = PLACES * PLACES * 2


def drawn_moves(count: int, draws: np.random.Generator) -> Tensor:
    """Draw a move for each of `count` images: (rows down x 9 + columns right) x 2 + 1 if it is mirrored."""
    return torch.from_numpy(draws.integers(MOVES, size=count))


class Mover:
    """Moves images that are stored as rows of bytes, with one gather of their pixels."""

    def __init__(self, height: int, width: int, *, channels_last: bool, device: torch.device) -> None:
        down, rest = np.divmod(np.arange(MOVES)[:, None], PLACES * 2)
        right, mirrored = np.divmod(rest, 2)
        columns = np.arange(width)
        y = np.arange(height) + down - PADDING
        x = np.where(mirrored, width - 1 - columns, columns) + right - PADDING
        inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
        pixels = np.where(inside, y[:, :, None] * width + x[:, None, :], height * width)  # the last index is padding
        self._pixels = torch.from_numpy(pixels.reshape(MOVES, -1)).to(device)  # for each move, the pixels' indices
        self._channels_last = channels_last

    def moved(self, rows: Tensor, moves: Tensor) -> Tensor:
        """Return the images, each moved by the move with its number."""
        pixels = self._pixels.index_select(0, moves)
        count, size = pixels.shape
        if self._channels_last:  # each pixel is a row of its own
            padded = torch.nn.functional.pad(rows.view(count, size, -1), (0, 0, 0, 1))
            pixels += torch.arange(0, count * (size + 1), size + 1, device=rows.device)[:, None]
            return padded.flatten(0, 1).index_select(0, pixels.flatten()).view(rows.shape)
        padded = torch.nn.functional.pad(rows.view(count, -1, size), (0, 1))
        return padded.gather(2, pixels[:, None, :].expand(-1, padded.shape[1], -1)).view(rows.shape)

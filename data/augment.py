"""Images moved by up to four pixels, and mirrored: the usual augmentation of small photographs.

An image is padded with four rows and columns of zeros (black, before normalisation) on every side, a window of its own
size is cut out at a random place, and half of them are mirrored from left to right (He et al., "Deep Residual Learning
for Image Recognition", 2016, section 4.2).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PADDING = 4
AUGMENTATIONS = ("none", "flip-crop")


def drawn_moves(count: int, draws: np.random.Generator) -> NDArray[np.int8]:
    """For each image: rows and columns from the padded corner to the window's, and whether it is mirrored."""
    return draws.integers((2 * PADDING + 1, 2 * PADDING + 1, 2), size=(count, 3), dtype=np.int8)


def moved(rows: Tensor, shape: tuple[int, int, int], channels_last: bool, moves: Tensor) -> Tensor:
    """Images as rows of bytes, moved: one gather of pixels, in which number height x width stands for the padding."""
    height, width = (shape[0], shape[1]) if channels_last else (shape[1], shape[2])
    down, right, mirrored = moves.long().split(1, dim=1)
    y = torch.arange(height, device=rows.device) + (down - PADDING)
    x = torch.arange(width, device=rows.device)
    x = torch.where(mirrored == 1, width - 1 - x, x) + (right - PADDING)
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    pixels = torch.where(inside, y[:, :, None] * width + x[:, None, :], height * width).flatten(1)
    images = rows.view(len(rows), *((height * width, -1) if channels_last else (-1, height * width)))
    if channels_last:
        padded = torch.nn.functional.pad(images, (0, 0, 0, 1))
        return padded.gather(1, pixels[:, :, None].expand(-1, -1, images.shape[2])).view(rows.shape)
    padded = torch.nn.functional.pad(images, (0, 1))
    return padded.gather(2, pixels[:, None, :].expand(-1, images.shape[1], -1)).view(rows.shape)

"""Images of a set, stored as bytes on a device, and read from there as the input of a network."""

import torch
from torch import Tensor

from .sets import Images, ImageSet


class NormalisedImages:
    """Images that are stored on the device as bytes, and are normalised when they are read.

    Normalisation is (image / 255 - mean) / std for each channel, computed as one multiplication and one addition.
    """

    def __init__(
        self, images: Images, facts: ImageSet, *, device: torch.device | str, channels_last: bool = False
    ) -> None:
        pixels, labels = images
        if pixels.dtype != torch.uint8 or tuple(pixels.shape[1:]) != facts.shape or len(pixels) != len(labels):
            raise ValueError(
                f"images of {tuple(pixels.shape)}, {pixels.dtype}, with {len(labels):,} labels given; {facts.name} has "
                f"torch.uint8 images of {facts.shape} and a label for each"
            )
        self.facts, self.channels_last, self.device = facts, channels_last, torch.device(device)
        stored = pixels.to(self.device)
        if channels_last:
            stored = stored.permute(0, 2, 3, 1).contiguous()
        channels, height, width = facts.shape
        self._shape = (height, width, channels) if channels_last else facts.shape
        self._rows = stored.flatten(1)  # one image per row
        self._labels = labels.to(self.device, torch.int64)
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in (facts.mean, facts.std))
        self._scale, self._shift = self._by_pixel(1 / (255 * std)), self._by_pixel(-mean / std)

    def _by_pixel(self, by_channel: Tensor) -> Tensor:
        """Repeat a channel's number for each of its pixels, so that whole rows can be normalised in any layout."""
        repeated = by_channel if self.channels_last else by_channel[:, None, None]
        return repeated.expand(self._shape).reshape(-1).to(self.device, torch.float32)

    def __len__(self) -> int:
        return len(self._labels)

    def pick(self, examples: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images at these indices, normalised as float32 and never augmented, and their labels."""
        chosen = examples.to(self.device)
        return self._normalised(self._rows.index_select(0, chosen)), self._labels.index_select(0, chosen)

    def _normalised(self, rows: Tensor) -> Tensor:
        values = rows.float()
        values = torch.addcmul(self._shift, values, self._scale, out=values).view(len(rows), *self._shape)
        return values.permute(0, 3, 1, 2) if self.channels_last else values

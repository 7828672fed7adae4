"""Images of a set on a device, as bytes, and read from there as a network takes them."""

import torch
from torch import Tensor

from .sets import Images, ImageSet


class NormalisedImages:
    """Images that stay on the device as they are, and are normalised when they are read.

    Normalisation is (image / 255 - mean) / std of each channel, in one multiplication and addition.
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
        self._rows = stored.reshape(len(stored), -1)  # an image each
        self._labels = labels.to(self.device, torch.int64)
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in (facts.mean, facts.std))
        self._scale, self._shift = self._by_pixel(1 / (255 * std)), self._by_pixel(-mean / std)

    def _by_pixel(self, by_channel: Tensor) -> Tensor:
        """A number for each byte of an image, so that whole rows are worked on, whatever their layout."""
        repeated = by_channel if self.channels_last else by_channel[:, None, None]
        return repeated.expand(self._shape).reshape(-1).to(self.device, torch.float32)

    def __len__(self) -> int:
        return len(self._labels)

    def pick(self, examples: Tensor) -> tuple[Tensor, Tensor]:
        """These images, normalised as float32 and never augmented, and their labels; indices from any device."""
        chosen = examples.to(self.device)
        return self._normalised(self._rows.index_select(0, chosen)), self._labels.index_select(0, chosen)

    def _normalised(self, rows: Tensor) -> Tensor:
        values = rows.float()
        values = torch.addcmul(self._shift, values, self._scale, out=values).view(len(rows), *self._shape)
        return values.permute(0, 3, 1, 2) if self.channels_last else values

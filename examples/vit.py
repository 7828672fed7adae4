"""A small vision transformer; only query and key are projected, as published: python -m examples.vit"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.train_any import train


class ViT(nn.Module):
    """A small vision transformer."""

    def __init__(self, size: int = 16, patch: int = 4, width: int = 32, depth: int = 2, classes: int = 10) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.first = nn.Parameter(torch.zeros(1, 1, width))  # the token that the head reads
        self.positions = nn.Parameter(0.02 * torch.randn(1, (size // patch) ** 2 + 1, width))
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, activation="gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the classes."""
        patches = self.patches(images).flatten(2).mT
        tokens = torch.cat([self.first.expand(len(images), -1, -1), patches], 1) + self.positions
        return self.head(self.encoder(tokens)[:, 0])


if __name__ == "__main__":
    model, images, labels = ViT(), torch.randn(16, 3, 16, 16), torch.arange(16) % 10
    loss = lambda: functional.cross_entropy(model(images), labels)  # noqa: E731
    # For all matrices give "fire:exclude=first|positions": these two parameters are not declared by any layer.
    manager = train(model, images, loss, "fire:include=*.query|*.key")

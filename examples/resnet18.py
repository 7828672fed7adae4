"""A ResNet-18 for small images, as in CIFAR, with any method: python -m examples.resnet18 --method redo"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.train_any import train
from fire_rl import refresh_statistics_


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        parts = [nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width)] if stride > 1 else []
        self.shortcut = nn.Sequential(*parts)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the block's output."""
        hidden = functional.relu(self.bn1(self.conv1(inputs)))
        return functional.relu(self.bn2(self.conv2(hidden)) + self.shortcut(inputs))


class ResNet18(nn.Module):
    """A ResNet-18 for small images."""

    def __init__(self, width: int = 64, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        shapes = [(width, width, 1)] + [(width * 2**n, width * 2 ** (n + 1), 2) for n in range(3)]
        self.blocks = nn.Sequential(*(part for i, o, s in shapes for part in (Block(i, o, s), Block(o, o, 1))))
        self.head = nn.Linear(8 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the classes."""
        return self.head(self.blocks(self.stem(images)).mean((2, 3)))


if __name__ == "__main__":
    model, images, labels = ResNet18(width=4), torch.randn(16, 3, 16, 16), torch.arange(16) % 10
    manager = train(model, images, lambda: functional.cross_entropy(model(images), labels), "fire")
    refresh_statistics_(model, [images])  # BatchNorm's running statistics still belong to the old weights

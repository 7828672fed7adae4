"""VGG-16 with BatchNorm, and a small network of the same kind for images of any size.

Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition", arXiv 1409.1556. The
head's width and the absence of dropout are as in the vision experiments of FIRE (arXiv 2602.08040).

All layers follow one another, so that `fire` finds every unit from the order of the modules: the channels after
BatchNorm and ReLU, and the hidden units of the head.
"""

from collections import OrderedDict
from itertools import pairwise

from torch import nn

VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # max-pooling after each group
VGG_HEAD = (1024, 1024)
SMALL, SMALL_HEAD = (16, 32, 64), (128,)


def vgg16(shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Return a VGG-16 for images of at least 32x32 pixels, initialised by torch's defaults and global generator."""
    shrunk = 2 ** len(VGG16)
    if min(shape[1:]) < shrunk:
        raise ValueError(
            f"network 'vgg16' cannot take images of {shape[1]}x{shape[2]} pixels; "
            f"allowed are sides of at least {shrunk}, as they are halved {len(VGG16)} times; 'small' takes any size"
        )
    channels, layers = shape[0], list[nn.Module]()
    for widths in VGG16:
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    features = channels * (shape[1] // shrunk) * (shape[2] // shrunk)
    return _joined(layers, (features, *VGG_HEAD, classes))


def small(shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Return three convolutions of stride 2 and a hidden layer: 156 thousand weights for images of 28x28."""
    channels, layers = shape[0], list[nn.Module]()
    height, width = shape[1:]
    for units in SMALL:
        conv = nn.Conv2d(channels, units, 3, stride=2, padding=1, bias=False)  # the norm's shift replaces the bias
        layers += [conv, nn.BatchNorm2d(units), nn.ReLU(inplace=True)]
        channels, height, width = units, (height + 1) // 2, (width + 1) // 2
    return _joined(layers, (channels * height * width, *SMALL_HEAD, classes))


def _joined(layers: list[nn.Module], widths: tuple[int, ...]) -> nn.Sequential:
    """Return an encoder of these layers, and a head of linear layers of these widths."""
    head: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths[:-1]):
        head += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]
    head.append(nn.Linear(widths[-2], widths[-1]))
    return nn.Sequential(OrderedDict[str, nn.Module](encoder=nn.Sequential(*layers), head=nn.Sequential(*head)))

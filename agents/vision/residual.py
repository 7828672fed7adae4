"""ResNet-18 for small images: a 3x3 stem of stride 1, no max-pooling, and a head with a hidden layer.

He et al. 2016, "Deep Residual Learning for Image Recognition", arXiv 1512.03385; widths, strides and head as in the
vision experiments of FIRE (arXiv 2602.08040), where the hidden layer of 512 units is an addition to the usual head.

`fire` finds these hidden units from the order of the modules: those after BatchNorm and ReLU within each block, and
those of the head. The channels of the residual stream are not hidden units: several blocks write to each channel and
each block activates it again, so that a channel has no single activation and no single incoming weight.
"""

from collections import OrderedDict

from torch import Tensor, nn

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels, stride of the first of two blocks
HEAD_WIDTH = 512


class ResidualBlock(nn.Module):
    """relu(residual(x) + shortcut(x)): two 3x3 convolutions, and a 1x1 convolution as shortcut if the shape changes."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            OrderedDict[str, nn.Module](
                conv1=nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False),
                norm1=nn.BatchNorm2d(width),
                activation=nn.ReLU(inplace=True),
                conv2=nn.Conv2d(width, width, 3, padding=1, bias=False),
                norm2=nn.BatchNorm2d(width),
            )
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != width:
            conv = nn.Conv2d(inputs, width, 1, stride, bias=False)
            self.shortcut = nn.Sequential(OrderedDict[str, nn.Module](conv=conv, norm=nn.BatchNorm2d(width)))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the block's output."""
        return self.activation(self.residual(inputs) + self.shortcut(inputs))


def resnet18(shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Return a ResNet-18 for images of any size, initialised by torch's defaults and global generator."""
    width = STAGES[0][0]
    parts = OrderedDict[str, nn.Module](
        stem=nn.Sequential(
            OrderedDict[str, nn.Module](
                conv=nn.Conv2d(shape[0], width, 3, padding=1, bias=False),
                norm=nn.BatchNorm2d(width),
                activation=nn.ReLU(inplace=True),
            )
        )
    )
    for number, (channels, stride) in enumerate(STAGES, start=1):
        blocks = ResidualBlock(width, channels, stride), ResidualBlock(channels, channels, 1)
        parts[f"stage{number}"] = nn.Sequential(*blocks)
        width = channels
    head = nn.Sequential(
        OrderedDict[str, nn.Module](
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            hidden=nn.Linear(width, HEAD_WIDTH),
            activation=nn.ReLU(inplace=True),
            output=nn.Linear(HEAD_WIDTH, classes),
        )
    )
    return nn.Sequential(OrderedDict[str, nn.Module](encoder=nn.Sequential(parts), head=head))

"""ViT-Tiny: a class token and patches of 4x4 pixels pass through twelve pre-norm blocks to a linear head.

Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", arXiv 2010.11929; sizes as in the vision experiments of FIRE
(arXiv 2602.08040): query, key and value are separate layers without biases; LayerNorm before and after the patches'
linear layer; learned positions and class token, both drawn from N(0, 1); no dropout. The head reads the class token.

The hidden units known to `fire` are those of each block's feed-forward network, after GELU. The residual stream has no
hidden units, since every block reads and writes it, and neither have queries, keys and values, which are multiplied
with each other.
"""

from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from fire_rl.fire import Matrix

PATCH = 4
WIDTH, DEPTH, HEADS, HIDDEN = 192, 12, 3, 768


class Attention(nn.Module):
    """Multi-head attention in which every token attends to all tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return what attention adds to each token."""
        normed = self.norm(tokens)
        query, key, value = (
            layer(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        found = functional.scaled_dot_product_attention(query, key, value)
        return self.output(found.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """x <- x + attention(x), then x <- x + feed_forward(x); each of them normalises its input first."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.feed_forward = nn.Sequential(
            OrderedDict[str, nn.Module](
                norm=nn.LayerNorm(width),
                expand=nn.Linear(width, hidden),
                activation=nn.GELU(),
                contract=nn.Linear(hidden, width),
            )
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens after attention and the feed-forward network."""
        tokens = tokens + self.attention(tokens)
        return tokens + self.feed_forward(tokens)


class TokenEncoder(nn.Module):
    """(batch, channels, height, width) -> (batch, features): the class token after the last block."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = shape
        size = channels * PATCH * PATCH
        self.patches = nn.Sequential(
            OrderedDict[str, nn.Module](
                norm=nn.LayerNorm(size), embed=nn.Linear(size, WIDTH), embedded_norm=nn.LayerNorm(WIDTH)
            )
        )
        count = (height // PATCH) * (width // PATCH)
        self.positions = nn.Parameter(torch.randn(1, count + 1, WIDTH))
        self.class_token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.blocks = nn.Sequential(*(Block(WIDTH, HEADS, HIDDEN) for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of the images."""
        tokens = torch.cat((self.class_token.expand(len(images), -1, -1), self.patches(pixels(images))), dim=1)
        return self.norm(self.blocks(tokens + self.positions)[:, 0])  # LayerNorm treats each token separately

    def plastic_matrices(self) -> Iterator[Matrix]:
        """Declare to `fire` that positions and class token are not matrices, but vectors that are added."""
        yield from ()


def pixels(images: Tensor) -> Tensor:
    """Return (batch, patches, values of a patch): patches row by row, in each pixels row by row, then channels."""
    squares = images.unflatten(3, (-1, PATCH)).unflatten(2, (-1, PATCH))
    return squares.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def vit_tiny(shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Return a ViT-Tiny for images whose sides are multiples of 4; other initial values are torch's defaults."""
    if any(side < PATCH or side % PATCH for side in shape[1:]):
        raise ValueError(
            f"network 'vit-tiny' cannot take images of {shape[1]}x{shape[2]} pixels; "
            f"allowed are sides that are multiples of {PATCH}"
        )
    return nn.Sequential(OrderedDict[str, nn.Module](encoder=TokenEncoder(shape), head=nn.Linear(WIDTH, classes)))

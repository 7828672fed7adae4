"""The sizes of language models, by name: the published one, and smaller ones; memory and work by arithmetic from them.

Nothing is built to say so, so that no size is too large to ask for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal, TypeAlias

from fire_rl.fire.nearest import nearest

from ..size import COPIES, FLOAT, Size

GPTName: TypeAlias = Literal["gpt-0.1b", "gpt-10m", "gpt-small"]
Precision: TypeAlias = Literal["float32", "tf32", "bfloat16"]

GPT2_VOCABULARY = 50_304  # the 50,257 tokens of GPT-2, and rows that no token has up to a multiple of 64
BYTES = 256


@dataclass(frozen=True)
class GPTSizes:
    """What a GPT is built from; its feed-forward networks are four times as wide as its stream."""

    layers: int
    heads: int
    width: int
    context: int  # tokens of the longest sequence
    vocabulary: int  # different tokens
    meaning: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "meaning" and value < 1:
                raise ValueError(f"GPT: {field.name}={value} given; allowed is 1 and more")
        if self.width % self.heads:
            raise ValueError(f"GPT: width={self.width} given; allowed are multiples of its {self.heads} heads")

    @property
    def parameters(self) -> int:
        """How many weights it has; the output layer is the token embedding, and counts once."""
        return (self.vocabulary + self.context + 1) * self.width + self.layers * (self.products + 2 * self.width)

    @property
    def products(self) -> int:
        """Weights of a block that are multiplied: 4 of attention, 8 of the feed-forward network, in squares."""
        return 12 * self.width**2


SIZES: Mapping[str, GPTSizes] = {
    "gpt-0.1b": GPTSizes(12, 12, 768, 1_024, GPT2_VOCABULARY, "the published one: 124.4 million weights"),
    "gpt-10m": GPTSizes(6, 6, 384, 256, BYTES, "10.8 million weights on bytes, for one GPU"),
    "gpt-small": GPTSizes(4, 2, 128, 128, BYTES, "0.84 million weights on bytes, for a CPU"),
}


def gpt_sizes(name: str, vocabulary: int | None = None, context: int | None = None) -> GPTSizes:
    """The sizes of a name; ValueError, with the nearest, where there are none. Vocabulary and context may differ."""
    if name not in SIZES:
        raise ValueError(
            f"network {name!r} given; allowed are {', '.join(SIZES)}; nearest is {nearest(name, list(SIZES))}"
        )
    sizes = SIZES[name]
    return replace(
        sizes,
        vocabulary=sizes.vocabulary if vocabulary is None else vocabulary,
        context=sizes.context if context is None else context,
    )


def gpt_size(sizes: GPTSizes, batch_size: int, at_once: int | None = None, precision: Precision = "float32") -> Size:
    """Of a GPT in training on sequences as long as its context, so many an update, and so many `at_once` on the device.

    The bytes are those that an update holds at its largest moment: the end of a pass forward and the beginning of the
    one backward, where everything is kept for it and scores, their logarithms and two gradients of these are there too.
    The operations are those of products, attention's as squares although half of each is masked.
    """
    tokens, width = sizes.context * min(batch_size, at_once or batch_size), sizes.width
    number = 2 if precision == "bfloat16" else FLOAT  # of what is multiplied
    # The stream in front of both norms; normed twice, query, key, value, what was found, and 8 in the feed-forward.
    block = 2 * FLOAT * width + 14 * number * width + FLOAT * (sizes.heads + 4)
    end = (FLOAT + number) * width + (3 * FLOAT + number) * sizes.vocabulary
    matrices = sizes.layers * sizes.products + sizes.vocabulary * width
    casts = 2 * matrices if precision == "bfloat16" else 0
    squares = 2 * sizes.layers * sizes.context * width  # scores, and sums of values, of a token
    return Size(
        sizes.parameters,
        FLOAT * COPIES * sizes.parameters + casts + tokens * (sizes.layers * block + end),
        2 * batch_size * sizes.context * (3 * matrices + 3 * squares),
    )

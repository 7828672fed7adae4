"""The sizes of language models by name, the published one and smaller ones, and their memory and operations.

These are computed without building a network, so that they can also be asked for sizes that are too large to build.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

from fire_rl.fire.nearest import choices

from ..captured import Precision
from ..size import COPIES, FLOAT, Size

GPTName: TypeAlias = Literal["gpt-0.1b", "gpt-10m", "gpt-small"]

GPT2_VOCABULARY = 50_304  # the 50,257 tokens of GPT-2, and unused rows up to a multiple of 64
BYTES = 256


@dataclass(frozen=True)
class GPTSizes:
    """The sizes of a GPT; its feed-forward networks are four times as wide as its residual stream."""

    layers: int
    heads: int
    width: int
    context: int  # number of tokens in the longest sequence
    vocabulary: int  # number of different tokens
    meaning: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "meaning" and value < 1:
                raise ValueError(f"GPT: {field.name}={value} given; allowed is 1 or more")
        if self.width % self.heads:
            raise ValueError(f"GPT: width={self.width} given; allowed are multiples of its {self.heads} heads")

    @property
    def parameters(self) -> int:
        """The number of weights; the output layer is the token embedding and counts once."""
        return (self.vocabulary + self.context + 1) * self.width + self.layers * (self.products + 2 * self.width)

    @property
    def products(self) -> int:
        """The number of weights in a block's matrices: 4 width^2 in attention, 8 width^2 in the feed-forward."""
        return 12 * self.width**2


SIZES: Mapping[str, GPTSizes] = {
    "gpt-0.1b": GPTSizes(12, 12, 768, 1_024, GPT2_VOCABULARY, "the published one: 124.4 million weights"),
    "gpt-10m": GPTSizes(6, 6, 384, 256, BYTES, "10.8 million weights on bytes, for one GPU"),
    "gpt-small": GPTSizes(4, 2, 128, 128, BYTES, "0.84 million weights on bytes, for a CPU"),
}


def gpt_sizes(name: str, vocabulary: int | None = None, context: int | None = None) -> GPTSizes:
    """Return the sizes of a name, optionally with another vocabulary or context; raise ValueError if it is unknown."""
    if name not in SIZES:
        raise ValueError(f"network {name!r} given; allowed are {choices(name, SIZES)}")
    given: dict[str, Any] = {"vocabulary": vocabulary, "context": context}
    return replace(SIZES[name], **{key: value for key, value in given.items() if value is not None})


def gpt_size(sizes: GPTSizes, batch_size: int, at_once: int | None = None, precision: Precision = "float32") -> Size:
    """Return the size of a GPT in training on sequences as long as its context.

    An update has `batch_size` sequences, of which `at_once` are on the device together. The bytes are the peak of an
    update, between the forward and the backward pass: all values kept for the backward pass, and the scores, their
    logarithms and two gradients of these. The operations are those of matrix products; those of attention count in
    full, although half of each is masked.
    """
    tokens, width = sizes.context * min(batch_size, at_once or batch_size), sizes.width
    number = 2 if precision == "bfloat16" else FLOAT  # bytes of a number in matrix products
    # The stream before both norms; two normed inputs, query, key, value, attention's output, and 8 of the feed-forward.
    block = 2 * FLOAT * width + 14 * number * width + FLOAT * (sizes.heads + 4)
    end = (FLOAT + number) * width + (3 * FLOAT + number) * sizes.vocabulary
    matrices = sizes.layers * sizes.products + sizes.vocabulary * width
    casts = 2 * matrices if precision == "bfloat16" else 0
    squares = 2 * sizes.layers * sizes.context * width  # attention's scores and weighted sums of values, per token
    return Size(
        sizes.parameters,
        FLOAT * COPIES * sizes.parameters + casts + tokens * (sizes.layers * block + end),
        2 * batch_size * sizes.context * (3 * matrices + 3 * squares),
    )

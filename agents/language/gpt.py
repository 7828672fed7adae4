"""GPT: pre-norm blocks of causal attention and a feed-forward network turn tokens into scores of the next token.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", without biases and without dropout, as in
nanoGPT (github.com/karpathy/nanoGPT) and in the language experiments of FIRE (arXiv 2602.08040): learned positions,
GELU, and an output layer that is also the token embedding. Initial values are N(0, 0.02), and N(0, 0.02 / sqrt(2
layers)) in layers that write to the residual stream, so that its variance does not grow with the number of layers.

Query, key and value are one layer, so that mixed precision converts their input once and not three times; `fire` treats
them as three matrices. The hidden units known to `fire` are those of each block's feed-forward network, after GELU.
The residual stream has no hidden units, since every block reads and writes it, and neither have queries, keys and
values, which are multiplied with each other.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from fire_rl.fire import Matrix

from .sizes import GPTSizes

SPREAD = 0.02  # standard deviation of initial values
# Names of the modules that hold the output layer (also the token embedding), and of the others.
HEAD, ENCODER = ("output",), ("positions", "blocks", "norm")


class TokenLayer(nn.Linear):
    """One vector for each token, used both as the token's embedding and as its row of the output layer."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__(width, vocabulary, bias=False)

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the tokens' embeddings."""
        return functional.embedding(tokens, self.weight)

    def plastic_matrices(self) -> Iterator[Matrix]:
        """Declare to `fire` that the matrix is also an embedding, which is projected only on request (tied=project)."""
        yield Matrix("weight", self.weight, self.out_features, self.in_features, caveats=frozenset({"tied"}))


class QueryKeyValue(nn.Linear):
    """One linear layer that gives queries, keys and values, side by side."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 3 * width, bias=False)

    def plastic_matrices(self) -> Iterator[Matrix]:
        """Declare to `fire` that the weight holds three matrices."""
        for name, part in zip(("query", "key", "value"), self.weight.chunk(3), strict=True):
            yield Matrix(f"weight.{name}", part, self.in_features, self.in_features)


class CausalAttention(nn.Module):
    """Multi-head attention in which every token attends to itself and to the tokens before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, bias=False)
        self.query_key_value = QueryKeyValue(width)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, stream: Tensor) -> Tensor:
        """Return what attention adds to the residual stream."""
        parts = self.query_key_value(self.norm(stream)).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        found = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.output(found.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """x <- x + attention(x), then x <- x + feed_forward(x); each of them normalises its input first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = CausalAttention(width, heads)
        self.feed_forward = nn.Sequential(
            OrderedDict[str, nn.Module](
                norm=nn.LayerNorm(width, bias=False),
                expand=nn.Linear(width, 4 * width, bias=False),
                activation=nn.GELU(),
                contract=nn.Linear(4 * width, width, bias=False),
            )
        )

    def forward(self, stream: Tensor) -> Tensor:
        """Return the residual stream after attention and the feed-forward network."""
        stream = stream + self.attention(stream)
        return stream + self.feed_forward(stream)


class GPT(nn.Module):
    """(batch, length) token numbers -> (batch, length, vocabulary) scores of the token that follows each of them.

    Initial values are drawn from torch's global random generator.
    """

    def __init__(self, sizes: GPTSizes) -> None:
        super().__init__()
        self.output = TokenLayer(sizes.width, sizes.vocabulary)
        self.positions = nn.Embedding(sizes.context, sizes.width)
        self.blocks = nn.Sequential(*(Block(sizes.width, sizes.heads) for _ in range(sizes.layers)))
        self.norm = nn.LayerNorm(sizes.width, bias=False)
        residual = SPREAD / math.sqrt(2 * sizes.layers)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                writes = name.endswith((".attention.output.weight", ".contract.weight"))
                nn.init.normal_(parameter, std=residual if writes else SPREAD)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the next token at each position."""
        length, context = tokens.shape[1], self.positions.num_embeddings
        if length > context:
            raise ValueError(f"sequences of {length:,} tokens given; allowed are at most {context:,} (the context)")
        stream = self.output.embed(tokens) + self.positions.weight[:length]
        features = self.norm(self.blocks(stream))
        # Flattened, so that measures of the head's inputs take each token as one example.
        return self.output(features.flatten(0, 1)).unflatten(0, tokens.shape)


def make_gpt(sizes: GPTSizes, seed: int) -> GPT:
    """Return a GPT on the CPU, so that every device starts from the same weights.

    Its initial values depend on the seed only; torch's global random generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT(sizes)

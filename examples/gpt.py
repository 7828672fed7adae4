"""A small GPT with fused query, key and value, and an output layer tied to the embedding: python -m examples.gpt"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.train_any import train


class Block(nn.Module):
    """Causal self-attention and a feed-forward network, each with a LayerNorm before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.gelu, self.c_out = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the residual stream after the block."""
        parts = self.c_attn(self.ln_1(x)).chunk(3, -1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.c_proj(attended.transpose(1, 2).flatten(2))
        return x + self.c_out(self.gelu(self.c_fc(self.ln_2(x))))


class GPT(nn.Module):
    """A small GPT."""

    def __init__(self, vocabulary: int = 64, length: int = 16, width: int = 32, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.wte.weight  # tied: projected only with `tied=project`

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the next token at each position."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        return self.head(self.norm(self.blocks(self.wte(tokens) + self.wpe(positions))))


if __name__ == "__main__":
    model, tokens = GPT(), torch.randint(64, (8, 16))
    following = tokens.roll(-1, 1).flatten()
    manager = train(
        model, tokens, lambda: functional.cross_entropy(model(tokens).flatten(0, 1), following), "fire:split=*.c_attn:3"
    )

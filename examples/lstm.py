"""A classifier of sequences by an LSTM, whose gates are projected separately: python -m examples.lstm --method redo"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.train_any import train


class Classifier(nn.Module):
    """An LSTM whose mean state is classified."""

    def __init__(self, vocabulary: int = 50, width: int = 32, classes: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, num_layers=2, batch_first=True, bidirectional=True)
        self.hidden, self.head = nn.Linear(2 * width, 2 * width), nn.Linear(2 * width, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the classes."""
        states, _ = self.lstm(self.embedding(tokens))
        return self.head(functional.relu(self.hidden(states.mean(1))))


if __name__ == "__main__":
    model, tokens, labels = Classifier(), torch.randint(50, (16, 12)), torch.arange(16) % 4
    manager = train(model, tokens, lambda: functional.cross_entropy(model(tokens), labels), "fire")

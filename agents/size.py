"""How large an agent is, by arithmetic from its settings: nothing is built, so no size is too large to ask for."""

from dataclasses import dataclass
from typing import NamedTuple

FLOAT = 4  # bytes
# What is kept of each trained number: itself, its gradient, Adam's two moments, its initial value; and in a target.
COPIES, COPIES_WITH_TARGET = 5, 6


@dataclass(frozen=True)
class Size:
    """Of an agent."""

    parameters: int  # of its trained networks
    bytes: int  # that it holds, with the activations of one gradient step
    operations: int  # of floating-point numbers in one gradient step, matrix products and convolutions alone


class Layer(NamedTuple):
    """A linear layer, or a convolution with as many positions."""

    inputs: int
    outputs: int
    positions: int = 1

    @property
    def parameters(self) -> int:
        return (self.inputs + 1) * self.outputs

    @property
    def products(self) -> int:
        return self.positions * self.inputs * self.outputs

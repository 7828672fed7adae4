"""The size of an agent, computed from its settings without building it, so that any size can be checked."""

from dataclasses import dataclass
from typing import NamedTuple

FLOAT = 4  # bytes
# Copies of each trained number: itself, its gradient, Adam's two moments, its initial value; one more with a target.
COPIES, COPIES_WITH_TARGET = 5, 6


@dataclass(frozen=True)
class Size:
    """The size of an agent."""

    parameters: int  # of its trained networks
    bytes: int  # memory, including the activations of one gradient step
    operations: int  # floating-point operations of one gradient step, in matrix products and convolutions only


class Layer(NamedTuple):
    """A linear layer, or a convolution with `positions` output positions."""

    inputs: int
    outputs: int
    positions: int = 1

    @property
    def parameters(self) -> int:
        """The number of weights and biases."""
        return (self.inputs + 1) * self.outputs

    @property
    def products(self) -> int:
        """The number of multiplications for one example."""
        return self.positions * self.inputs * self.outputs

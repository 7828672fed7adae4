"""The base of regularizers: they have a strength, and act at gradient steps, not at events."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..methods import Method

Gradients = Callable[[Tensor], Sequence[Tensor]]


@dataclass(frozen=True, kw_only=True)
class Regularizer(Method):
    """A term added to the loss, or a change of the weights after each optimizer step, with a strength."""

    acts_at_events: ClassVar[bool] = False

    strength: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0.0 <= self.strength < math.inf, "strength", "given; allowed is a finite number, 0 or more")


def with_gradient(value: Tensor, parameters: Sequence[Tensor], gradients: Gradients) -> Tensor:
    """Return `value` as a tensor whose gradients come from a formula: `gradients(factor)`, which is called once.

    It returns the gradient of each parameter times the factor. This saves memory: for a sum of squares autograd would
    keep several copies of all weights, and a formula needs one.
    """
    return _KnownGradient.apply(value, gradients, *parameters)


class _KnownGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: Gradients, *parameters: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise RuntimeError("the gradient of a penalty can be taken once only: compute the penalty again")
        gradients, ctx.gradients = ctx.gradients(factor), None
        return (None, None, *gradients)

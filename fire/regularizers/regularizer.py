"""What regularizers share: a strength, and that they act at gradient steps and not at events."""

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
    """A term of the loss, or a step beside the optimizer's, with a strength."""

    acts_at_events: ClassVar[bool] = False

    strength: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0.0 <= self.strength < math.inf, "strength", "given; allowed is 0 or a number above")


def with_gradient(value: Tensor, parameters: Sequence[Tensor], gradients: Gradients) -> Tensor:
    """`value`, differentiable by `parameters`: `gradients` gives theirs, times its argument, once.

    Autograd would keep several copies of all weights for a sum of squares; a formula needs one.
    """
    result: Tensor = _KnownGradient.apply(value, gradients, *parameters)
    return result


class _KnownGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: Gradients, *parameters: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise RuntimeError("the gradient of a penalty can be taken once: ask for the penalty again")
        gradients, ctx.gradients = ctx.gradients(factor), None
        return (None, None, *gradients)

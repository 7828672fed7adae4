"""Train a network for some updates towards the outputs of another one, with an optimizer of its own.

The loss is the sum over the outputs of mean (output - former output)^2 / variance of the former output. The optimizer
is a new Adam whose learning rate falls linearly from `rate` to 0.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .outputs import Draw, outputs_of
from .probe import plain_optimizer
from .undisturbed import undisturbed


def distil_(
    module: nn.Module, before: nn.Module, names: Sequence[str], draw: Draw, spreads: Sequence[float], updates: int,
    rate: float,
) -> None:  # fmt: skip
    """Train the parameters of these names for some updates, in place; the global random generators stay as they were.

    `spreads` are the variances of the outputs.
    """
    parameters = [parameter for name, parameter in module.named_parameters() if name in set(names)]
    if not updates or not parameters:
        return
    with undisturbed(module), _trained(parameters):
        optimizer = plain_optimizer(list(parameters), rate)
        for update in range(updates):
            batch = draw()
            with torch.no_grad():
                wanted = outputs_of(before, batch)
            optimizer.param_groups[0]["lr"] = rate * (1 - update / updates)
            outputs = zip(outputs_of(module, batch), wanted, spreads, strict=True)
            errors = [(now - then).square().mean() / spread for now, then, spread in outputs]
            optimizer.zero_grad()
            torch.stack(errors).sum().backward(inputs=parameters)
            optimizer.step()


@contextmanager
def _trained(parameters: Sequence[Tensor]) -> Iterator[None]:
    """Let these parameters have gradients; then restore the gradients and settings that they had."""
    kept = [(parameter, parameter.grad, parameter.requires_grad) for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.grad = None
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter, gradient, required in kept:
            parameter.requires_grad_(required)
            parameter.grad = gradient

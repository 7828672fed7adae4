"""What a network outputs on drawn inputs, and how far that is from what another network outputs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

import torch
from torch import Tensor, nn

from .devices import double
from .network import MethodNetwork
from .undisturbed import modes_restored, undisturbed

Batch: TypeAlias = tuple[Tensor, ...]  # the inputs with which a module is called
Draw: TypeAlias = Callable[[], Batch]

SMALLEST_SPREAD = 1e-12  # variance of outputs below which they count as constant


def drawing_from(network: MethodNetwork) -> Draw:
    """Return a function that draws batches of the network's inputs with the method's own random generator."""
    inputs, generator = network.inputs, network.generator
    if inputs is None or generator is None:
        raise ValueError("it has no inputs: give the manager a function that draws them")

    def draw() -> Batch:
        batch = inputs(generator)
        return batch if isinstance(batch, tuple) else (batch,)

    return draw


def outputs_of(module: nn.Module, batch: Batch) -> Batch:
    """Return the module's outputs as tensors; raise ValueError if they are something else."""
    found = module(*batch)
    several = tuple(found) if isinstance(found, tuple | list) else (found,)
    for one in several:
        if not (isinstance(one, Tensor) and one.is_floating_point()):
            raise ValueError(f"calling it returns a {type(one).__name__}: a repair needs tensors of numbers as outputs")
    return tuple(one.float() for one in several)


@contextmanager
def examined(*modules: nn.Module) -> Iterator[None]:
    """Run modules in evaluation mode and without gradients; then restore modes, buffers and random generators."""
    with undisturbed(*modules), torch.no_grad(), ExitStack() as restored:
        for module in modules:
            restored.enter_context(modes_restored(module))
            module.eval()
        yield


@torch.no_grad()
def spreads_of(module: nn.Module, batches: Sequence[Batch]) -> list[float]:
    """Return the variance of each output over all of its numbers."""
    columns = zip(*(outputs_of(module, batch) for batch in batches), strict=True)
    values = [torch.cat([double(one).flatten() for one in column]) for column in columns]
    return [max(float(one.var(correction=0)), SMALLEST_SPREAD) for one in values]


@torch.no_grad()
def error_of(module: nn.Module, before: nn.Module, batches: Sequence[Batch], spreads: Sequence[float]) -> float:
    """Return the mean square of the change of the outputs / their variance before, averaged over the outputs."""
    errors = [0.0] * len(spreads)
    for batch in batches:
        pairs = zip(outputs_of(module, batch), outputs_of(before, batch), strict=True)
        for place, (now, then) in enumerate(pairs):
            errors[place] += float((double(now) - double(then)).square().mean()) / len(batches)
    return sum(error / spread for error, spread in zip(errors, spreads, strict=True)) / len(spreads)

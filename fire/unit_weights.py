"""Views of weights, of optimizer moments and of activations, unit by unit, for hidden units."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from .layers import is_transposed_linear

ByUnit = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Weights:
    """A parameter, unit by unit: `by_unit` views it, its moments or its initial value as (*the layer's shape, ...).

    For outgoing weights, `bias` is the name of the bias in the layer that reads the units.
    """

    name: str
    by_unit: ByUnit
    bias: str | None = None

    def of(self, module: nn.Module) -> Tensor:
        """Return a module's parameter unit by unit, as a writable view."""
        return self.by_unit(module.get_parameter(self.name))


@dataclass(frozen=True)
class HiddenLayer:
    """The hidden units of one activation module, and named after it; `shape` is (units,) or (members, units).

    `incoming` is the weight, then the bias if there is one; `outgoing` are the weights of every layer that reads the
    units; `norm` is the gain and the shift of a norm before the activation, if each unit has its own. `by_unit` turns
    the output of the activation module into (*shape, samples), with one sample for each position in an image. If the
    activation is not a module, the name is that of the incoming layer, `read_by` names a layer that reads the units,
    and `by_unit` applies to that layer's input.
    """

    name: str
    shape: tuple[int, ...]
    incoming: tuple[Weights, ...]
    outgoing: tuple[Weights, ...]
    by_unit: ByUnit
    read_by: str = ""
    norm: tuple[Weights, ...] = ()


def layer_between(
    name: str, module: nn.Module, readers: Sequence[tuple[str, nn.Module]], flattened: bool = False
) -> HiddenLayer | None:
    """Return the units that `module` feeds; None if weights cannot be separated by unit, as in grouped convolutions."""
    if not all(has_weight(each) for each in (module, *(reader for _, reader in readers))):
        return None
    units = outputs(module)
    into = _incoming_view(module)
    out_of = [_outgoing_view(reader, module, units, flattened) for _, reader in readers]
    if into is None or None in out_of:
        return None
    incoming = [Weights(f"{name}.weight", into)]
    if module._parameters.get("bias") is not None:
        incoming.append(Weights(f"{name}.bias", as_it_is))
    outgoing = tuple(
        Weights(
            f"{reader_name}.weight", view, f"{reader_name}.bias" if "bias" in dict(reader.named_parameters()) else None
        )
        for (reader_name, reader), view in zip(readers, out_of, strict=True)
        if view is not None
    )
    by_unit = units_second if isinstance(module, _ConvNd) else units_last
    return HiddenLayer(name, (units,), tuple(incoming), outgoing, by_unit)


def has_weight(module: nn.Module) -> bool:
    """Whether the module is a linear layer or a convolution with its own weight parameter."""
    known = isinstance(module, nn.Linear | _ConvNd) or is_transposed_linear(module)
    return known and "weight" in module._parameters


def outputs(module: Any) -> int:
    """Return the number of units that a layer with a weight feeds."""
    if isinstance(module, _ConvNd):
        return module.out_channels
    return module.out_features if isinstance(module, nn.Linear) else module.nf


def _incoming_view(module: nn.Module) -> ByUnit | None:
    if not isinstance(module, _ConvNd):
        return as_it_is if isinstance(module, nn.Linear) else _inputs_first
    if module.groups > 1:
        return None
    return _inputs_first if module.transposed else as_it_is


def _outgoing_view(module: nn.Module, source: nn.Module, units: int, flattened: bool) -> ByUnit | None:
    """Return a view of the weights that read a source's units; None if they cannot be separated by unit.

    A linear layer reads the units of a convolution only if these are flattened first.
    """
    if isinstance(module, _ConvNd):
        if not isinstance(source, _ConvNd) or flattened or module.groups > 1 or module.in_channels != units:
            return None
        return as_it_is if module.transposed else _inputs_first
    if not isinstance(module, nn.Linear):
        alike = not isinstance(source, _ConvNd) and not flattened and module.get_parameter("weight").shape[0] == units
        return as_it_is if alike else None
    positions, rest = divmod(module.in_features, units)
    if rest or not positions or (not flattened and (positions > 1 or isinstance(source, _ConvNd))):
        return None
    if positions == 1:
        return _inputs_first
    return partial(_flattened if isinstance(source, _ConvNd) else _flattened_last, units=units)


def as_it_is(weight: Tensor) -> Tensor:
    """Return the weight unchanged: its first dimensions are the units already."""
    return weight


def _inputs_first(weight: Tensor) -> Tensor:
    return weight.transpose(0, 1)


def _flattened(weight: Tensor, units: int) -> Tensor:
    """View (out, units x positions) as (units, out, positions)."""
    return weight.unflatten(1, (units, -1)).transpose(0, 1)


def _flattened_last(weight: Tensor, units: int) -> Tensor:
    """View (out, positions x units) as (units, out, positions)."""
    return weight.unflatten(1, (-1, units)).permute(2, 0, 1)


def units_last(values: Tensor) -> Tensor:
    """Return values of shape (..., units) as (units, samples)."""
    return values.reshape(-1, values.shape[-1]).mT


def units_second(values: Tensor) -> Tensor:
    """Return values of shape (batch, units, *positions) as (units, samples)."""
    return values.transpose(0, 1).flatten(1)


def units_seen_by(reader: nn.Module, source: nn.Module) -> ByUnit:
    """Return the function that turns the input of `reader` into values of the source's units, (units, samples)."""
    if not isinstance(source, _ConvNd):
        return units_last
    return units_second if isinstance(reader, _ConvNd) else partial(_units_flattened, units=source.out_channels)


def _units_flattened(values: Tensor, units: int) -> Tensor:
    """Return values of shape (batch, units x positions) as (units, samples)."""
    return values.unflatten(1, (units, -1)).transpose(0, 1).flatten(1)


def new_draw(initial: Tensor, shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """Return values drawn at random from the initial ones, that is from their distribution, whatever it was.

    Indices are drawn on the generator's device: the CPU, for equal draws on every device, or a GPU that captures them.
    """
    device = None if generator is None else generator.device
    chosen = torch.randint(initial.numel(), tuple(shape), generator=generator, device=device)
    return initial.reshape(-1)[chosen.to(initial.device, non_blocking=True)]

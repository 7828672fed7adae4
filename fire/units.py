"""Hidden units: where the weights of each one lie, and new weights for it.

A unit is one output of an activation module: a linear layer's, a convolution's channel, each ensemble member's own.
Known are layers of torch that follow one another in `nn.Sequential`: weight, activation, the weights that read it. Any
other module declares its units by a method `plastic_units(self) -> Iterable[HiddenLayer]`, names relative to itself.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd

from .injected import Injected

ByUnit = Callable[[Tensor], Tensor]

# fmt: off
ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus,
    nn.Tanh, nn.Hardtanh, nn.Sigmoid,
)
# What stands between weights and keeps units apart: each is read by its own weights, though norms level their values.
POOLS = (_MaxPoolNd, _AvgPoolNd, _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd)
BETWEEN = (
    nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout2d, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, _NormBase, *POOLS,
)
# fmt: on


@dataclass(frozen=True)
class Weights:
    """A parameter, unit by unit: `by_unit` views it, its moments or its initial value as (*the layer's shape, ...).

    `bias` is, of outgoing weights, the name of the bias in the layer that reads the units.
    """

    name: str
    by_unit: ByUnit
    bias: str | None = None

    def of(self, module: nn.Module) -> Tensor:
        """The parameter as it is in a module, unit by unit: a view that can be written to."""
        return self.by_unit(module.get_parameter(self.name))


@dataclass(frozen=True)
class HiddenLayer:
    """The units behind one activation module, whose name it bears: shape (units,), or (members, units).

    `incoming` is the weight, then the bias if there is one; `outgoing` the weights of every layer that reads the units;
    `by_unit` turns what the activation module returns into (*shape, samples), a sample for each position in an image.
    """

    name: str
    shape: tuple[int, ...]
    incoming: tuple[Weights, ...]
    outgoing: tuple[Weights, ...]
    by_unit: ByUnit


@runtime_checkable
class DeclaresUnits(Protocol):
    """A module that speaks for the units inside it, its children's too."""

    def plastic_units(self) -> Iterable[HiddenLayer]: ...


def hidden_layers(module: nn.Module) -> tuple[HiddenLayer, ...]:
    """Every hidden layer whose incoming and outgoing weights are known.

    What stands in two places is left out: an activation module, as what its units did there could not be told apart,
    and a weight, as it is not the units' alone. So are units whose weights are frozen, or made from others at each pass
    (weight and spectral normalisation): new weights would not be theirs.
    """
    modules = Counter(id(child) for _, child in module.named_modules(remove_duplicate=False))
    parameters = Counter(id(parameter) for _, parameter in module.named_parameters(remove_duplicate=False))

    def stands_alone(layer: HiddenLayer) -> bool:
        weights = [module.get_parameter(weights.name) for weights in (*layer.incoming, *layer.outgoing)]
        once = modules[id(module.get_submodule(layer.name))] == 1 and all(parameters[id(each)] == 1 for each in weights)
        return once and weights[0].requires_grad

    return tuple(filter(stands_alone, _find("", module)))


def chain(parts: Iterable[tuple[str, nn.Module]]) -> Iterator[HiddenLayer]:
    """Hidden layers of modules, by name, that run one after another: what a module may declare about its children.

    Where an injected head stands, its frozen parts read the units before it too.
    """
    weight: tuple[str, nn.Module] | None = None  # the last one, whose units may be behind the next activation
    activation: str | None = None
    flattened = False  # since the activation
    readers: list[tuple[str, nn.Module]] = []
    for name, module in _unrolled(parts):
        if isinstance(module, Injected):
            readers += [reader for part in _frozen_parts(name, module) for reader in _first_weights(part)]
        elif isinstance(module, nn.Linear | _ConvNd) and "weight" in module._parameters:
            if weight and activation and (layer := _layer(*weight, activation, [*readers, (name, module)], flattened)):
                yield layer
            weight, activation, readers, flattened = (name, module), None, [], False
        elif isinstance(module, ACTIVATIONS):
            activation = name if weight and not activation else None
            weight = weight if activation else None
        elif isinstance(module, nn.Flatten) and activation and (module.start_dim, module.end_dim) == (1, -1):
            flattened = True
        elif not isinstance(module, BETWEEN) or not (weight is None or _keeps_apart(module, weight[1])):
            weight, activation, readers = None, None, []
            yield from _find(name, module)


def _keeps_apart(module: nn.Module, source: nn.Module) -> bool:
    """Whether the units of `source` can be told apart behind the module: pools work on what is linear layers' units."""
    return not isinstance(module, nn.Flatten) and not (isinstance(module, POOLS) and isinstance(source, nn.Linear))


def _find(name: str, module: nn.Module) -> Iterator[HiddenLayer]:
    if isinstance(module, DeclaresUnits):
        yield from (prefixed(name, layer) for layer in module.plastic_units())
    elif _is_chain(module):
        yield from chain([(name, module)])
    else:
        for child_name, child in module.named_children():
            if not isinstance(module, Injected) or child is module.trained:
                yield from _find(_join(name, child_name), child)


def _is_chain(module: nn.Module) -> bool:
    """Whether its modules run one after another and do nothing else: a subclass may have a way of its own."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def prefixed(name: str, layer: HiddenLayer) -> HiddenLayer:
    """A child's layer, named as its parent knows it."""

    def renamed(weights: Weights) -> Weights:
        return replace(weights, name=_join(name, weights.name), bias=weights.bias and _join(name, weights.bias))

    incoming, outgoing = tuple(map(renamed, layer.incoming)), tuple(map(renamed, layer.outgoing))
    return replace(layer, name=_join(name, layer.name), incoming=incoming, outgoing=outgoing)


def _unrolled(parts: Iterable[tuple[str, nn.Module]]) -> Iterator[tuple[str, nn.Module]]:
    """Modules in the order they run in, what `nn.Sequential` and injected heads contain in their places."""
    for name, module in parts:
        if _is_chain(module):
            # Not named_children, which passes over a module that stands in two places.
            yield from _unrolled((_join(name, key), child) for key, child in module._modules.items() if child)
            continue
        yield name, module
        if isinstance(module, Injected):
            yield from _unrolled([(_join(name, "trained"), module.trained)])


def _frozen_parts(name: str, head: Injected) -> list[tuple[str, nn.Module]]:
    return [(_join(name, "old"), head.old), (_join(name, "frozen"), head.frozen)]


def _first_weights(part: tuple[str, nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    """The layers that read what a module is given."""
    for name, module in _unrolled([part]):
        if isinstance(module, Injected):
            for frozen in _frozen_parts(name, module):
                yield from _first_weights(frozen)
        elif not isinstance(module, BETWEEN):
            yield name, module
            return


def _layer(
    name: str, module: nn.Module, activation: str, readers: list[tuple[str, nn.Module]], flattened: bool
) -> HiddenLayer | None:
    """The units that `module` feeds; None where some weight is not told apart by unit, as in grouped convolutions."""
    assert isinstance(module, nn.Linear | _ConvNd)
    if not all(isinstance(reader, nn.Linear | _ConvNd) and "weight" in reader._parameters for _, reader in readers):
        return None
    units = module.out_features if isinstance(module, nn.Linear) else module.out_channels
    into = _incoming_view(module)
    out_of = [_outgoing_view(reader, module, units, flattened) for _, reader in readers]
    if into is None or None in out_of:
        return None
    incoming = [Weights(f"{name}.weight", into)]
    if module.bias is not None:
        incoming.append(Weights(f"{name}.bias", _as_it_is))
    outgoing = tuple(
        Weights(
            f"{reader_name}.weight", view, f"{reader_name}.bias" if "bias" in dict(reader.named_parameters()) else None
        )
        for (reader_name, reader), view in zip(readers, out_of, strict=True)
        if view is not None
    )
    by_unit = units_last if isinstance(module, nn.Linear) else units_second
    return HiddenLayer(activation, (units,), tuple(incoming), outgoing, by_unit)


def _incoming_view(module: nn.Linear | _ConvNd) -> ByUnit | None:
    if isinstance(module, nn.Linear):
        return _as_it_is
    if module.groups > 1:
        return None
    return _inputs_first if module.transposed else _as_it_is


def _outgoing_view(module: nn.Module, source: nn.Module, units: int, flattened: bool) -> ByUnit | None:
    """Of the weights that read a source's units. A linear layer reads a convolution's only when these are flattened."""
    if isinstance(module, _ConvNd):
        if isinstance(source, nn.Linear) or flattened or module.groups > 1 or module.in_channels != units:
            return None
        return _as_it_is if module.transposed else _inputs_first
    assert isinstance(module, nn.Linear)
    positions, rest = divmod(module.in_features, units)
    if rest or not positions or (not flattened and (positions > 1 or isinstance(source, _ConvNd))):
        return None
    if positions == 1:
        return _inputs_first
    return partial(_flattened if isinstance(source, _ConvNd) else _flattened_last, units=units)


def _as_it_is(weight: Tensor) -> Tensor:
    return weight


def _inputs_first(weight: Tensor) -> Tensor:
    return weight.transpose(0, 1)


def _flattened(weight: Tensor, units: int) -> Tensor:
    """(out, units x positions) as (units, out, positions)."""
    return weight.unflatten(1, (units, -1)).transpose(0, 1)


def _flattened_last(weight: Tensor, units: int) -> Tensor:
    """(out, positions x units) as (units, out, positions)."""
    return weight.unflatten(1, (-1, units)).permute(2, 0, 1)


def units_last(values: Tensor) -> Tensor:
    """(..., units) as (units, samples)."""
    return values.reshape(-1, values.shape[-1]).mT


def units_second(values: Tensor) -> Tensor:
    """(batch, units, *positions) as (units, samples)."""
    return values.transpose(0, 1).flatten(1)


def _join(first: str, second: str) -> str:
    return f"{first}.{second}" if first and second else first or second


def new_draw(initial: Tensor, shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """Values drawn from among initial ones: a new draw from their distribution, whatever it was.

    Drawn on the CPU, so that every device gets the same.
    """
    chosen = torch.randint(initial.numel(), tuple(shape), generator=generator)
    return initial.reshape(-1)[chosen.to(initial.device, non_blocking=True)]

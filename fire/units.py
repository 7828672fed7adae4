"""Find hidden units, with their incoming and outgoing weights.

A unit is one output of an activation module: an output of a linear layer or a channel of a convolution; each member of
an ensemble has its own units. Units are found in torch's layers that follow each other in `nn.Sequential`: a weight, an
activation, and the weights that read it. Any other module declares its units by a method
`plastic_units(self) -> Iterable[HiddenLayer]`, with names relative to itself, as `units_between` makes them, or
`declare_units` (tracing.py) finds them by a forward pass.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol, runtime_checkable

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd

from .injected import Injected
from .unit_weights import HiddenLayer, Weights, as_it_is, has_weight, layer_between, units_seen_by

# fmt: off
ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus,
    nn.Tanh, nn.Hardtanh, nn.Sigmoid,
)
# Modules between weights that keep units separate. Norms scale a unit's values by those of others, but do not mix them.
NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, _NormBase)
POOLS = (_MaxPoolNd, _AvgPoolNd, _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd)
BETWEEN = (
    nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout2d, *NORMS, *POOLS,
)
# fmt: on


@runtime_checkable
class DeclaresUnits(Protocol):
    """A module that declares the units inside it, including those of its children."""

    def plastic_units(self) -> Iterable[HiddenLayer]:
        """Return the hidden layers inside the module, with names relative to the module."""


def how_to_declare(module: nn.Module) -> str:
    """Return the end of an error message about a module without known hidden units."""
    if "plastic_units" in vars(module):
        return "; fire_rl.declare_units found none either: print its report, or give the module plastic_units()"
    return "; fire_rl.declare_units(module, inputs) finds those of most modules, or give it plastic_units()"


def hidden_layers(module: nn.Module) -> tuple[HiddenLayer, ...]:
    """Return every hidden layer whose incoming and outgoing weights are known.

    Left out are layers whose activation module or weights are used in more than one place, since the activations could
    not be separated or the weights do not belong to the units alone. Also left out are units whose weights are frozen
    or computed from other tensors at each pass (weight and spectral normalisation), as these cannot be replaced. Only
    in an injected head may the weights that read the units be frozen.
    """
    heads = tuple(f"{name}.".lstrip(".") for name, child in module.named_modules() if isinstance(child, Injected))
    modules = Counter(id(child) for _, child in module.named_modules(remove_duplicate=False))
    parameters = Counter(id(parameter) for _, parameter in module.named_parameters(remove_duplicate=False))

    def stands_alone(layer: HiddenLayer) -> bool:
        weights = [module.get_parameter(weights.name) for weights in (*layer.incoming, *layer.outgoing)]
        once = modules[id(module.get_submodule(layer.name))] == 1 and all(parameters[id(each)] == 1 for each in weights)
        readers = [weights.name for weights in layer.outgoing if not weights.name.startswith(heads)]
        learning = [layer.incoming[0].name, *readers]
        return once and all(module.get_parameter(name).requires_grad for name in learning)

    return tuple(filter(stands_alone, find_layers(module)))


def find_layers(module: nn.Module) -> tuple[HiddenLayer, ...]:
    """Return every hidden layer that is declared or found, including those that `hidden_layers` leaves out.

    A layer that a forward pass found is dropped if its weights no longer exist, because an injection replaced them.
    """
    names = {name for name, _ in module.named_parameters(remove_duplicate=False)}

    def is_there(layer: HiddenLayer) -> bool:
        return not layer.read_by or all(weights.name in names for weights in (*layer.incoming, *layer.outgoing))

    return tuple(filter(is_there, _find("", module)))


def chain(parts: Iterable[tuple[str, nn.Module]]) -> Iterator[HiddenLayer]:
    """Yield the hidden layers of named modules that run one after another; a module may use it to declare its units.

    If one of the modules is an injected head, its frozen parts also read the units before it.
    """
    weight: tuple[str, nn.Module] | None = None  # the last layer with a weight, which feeds the next activation
    activation: str | None = None
    flattened = False  # since the activation
    norms: list[tuple[str, nn.Module]] = []  # since the weight, before the activation
    readers: list[tuple[str, nn.Module]] = []
    for name, module in _unrolled(parts):
        if isinstance(module, Injected):
            readers += [reader for part in _frozen_parts(name, module) for reader in _first_weights(part)]
        elif has_weight(module):
            known = weight and activation and layer_between(*weight, [*readers, (name, module)], flattened)
            if known and activation:
                yield replace(known, name=activation, norm=_gains(norms, known.shape))
            weight, activation, readers, flattened, norms = (name, module), None, [], False, []
        elif isinstance(module, ACTIVATIONS):
            activation = name if weight and not activation else None
            weight = weight if activation else None
        elif isinstance(module, nn.Flatten) and activation and (module.start_dim, module.end_dim) == (1, -1):
            flattened = True
        elif isinstance(module, NORMS) and weight and not activation:
            norms.append((name, module))
        elif not isinstance(module, BETWEEN) or not (weight is None or _keeps_apart(module, weight[1])):
            weight, activation, readers = None, None, []
            yield from _find(name, module)


def _keeps_apart(module: nn.Module, source: nn.Module) -> bool:
    """Whether the units of `source` stay separate after the module; pooling would mix the units of a linear layer."""
    return not isinstance(module, nn.Flatten) and not (isinstance(module, POOLS) and not isinstance(source, _ConvNd))


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
    """Whether the module only runs its children in sequence; a subclass of nn.Sequential may override `forward`."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def prefixed(name: str, layer: HiddenLayer) -> HiddenLayer:
    """Return a child's layer with all its names relative to the parent."""

    def renamed(weights: Weights) -> Weights:
        return replace(weights, name=_join(name, weights.name), bias=weights.bias and _join(name, weights.bias))

    incoming, outgoing = tuple(map(renamed, layer.incoming)), tuple(map(renamed, layer.outgoing))
    read_by = layer.read_by and _join(name, layer.read_by)
    named = replace(layer, name=_join(name, layer.name), incoming=incoming, outgoing=outgoing, read_by=read_by)
    return replace(named, norm=tuple(map(renamed, layer.norm)))


def _unrolled(parts: Iterable[tuple[str, nn.Module]]) -> Iterator[tuple[str, nn.Module]]:
    """Yield modules in the order in which they run, with `nn.Sequential` and injected heads replaced by their parts."""
    for name, module in parts:
        if _is_chain(module):
            # named_children would skip the second occurrence of a module.
            yield from _unrolled((_join(name, key), child) for key, child in module._modules.items() if child)
            continue
        yield name, module
        if isinstance(module, Injected):
            yield from _unrolled([(_join(name, "trained"), module.trained)])


def _frozen_parts(name: str, head: Injected) -> list[tuple[str, nn.Module]]:
    return [(_join(name, "old"), head.old), (_join(name, "frozen"), head.frozen)]


def _first_weights(part: tuple[str, nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers that read the module's input directly."""
    for name, module in _unrolled([part]):
        if isinstance(module, Injected):
            for frozen in _frozen_parts(name, module):
                yield from _first_weights(frozen)
        elif not isinstance(module, BETWEEN):
            yield name, module
            return


def units_between(module: nn.Module, source: str, *readers: str, norm: str = "") -> HiddenLayer:
    """Return the hidden units between named layers of a module, for its `plastic_units`.

    An example is the sequence conv1, bn1, an activation, conv2. `readers` are all layers that take the units as input,
    directly after the activation; `norm` is a norm before the activation.
    """
    known = [(name, module.get_submodule(name)) for name in readers]
    layer = layer_between(source, module.get_submodule(source), known)
    if layer is None or not readers:
        listed = ", ".join(readers) or "none given"
        raise ValueError(f"units_between: the units of {source!r} cannot be separated in its readers ({listed})")
    gains = _gains([(norm, module.get_submodule(norm))], layer.shape) if norm else ()
    by_unit = units_seen_by(module.get_submodule(readers[0]), module.get_submodule(source))
    return replace(layer, by_unit=by_unit, read_by=readers[0], norm=gains)


def _gains(norms: Iterable[tuple[str, nn.Module]], shape: tuple[int, ...]) -> tuple[Weights, ...]:
    """Return the norms' gains and shifts that have one entry for each unit."""
    parameters = [(f"{name}.{key}", value) for name, norm in norms for key, value in norm.named_parameters()]
    return tuple(Weights(name, as_it_is) for name, value in parameters if value.shape == shape)


def _join(first: str, second: str) -> str:
    return f"{first}.{second}" if first and second else first or second

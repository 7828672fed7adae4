"""Hidden units: where the weights of each one lie, and new weights for it.

A unit is one output of an activation module: a linear layer's, a convolution's channel, each ensemble member's own.
Known are layers of torch that follow one another in `nn.Sequential`: weight, activation, the weights that read it. Any
other module declares its units by a method `plastic_units(self) -> Iterable[HiddenLayer]`, names relative to itself, as
`units_between` makes them; `declare_units` (tracing.py) finds them by a forward pass.
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
from .unit_weights import ByUnit, HiddenLayer, Weights, as_it_is, has_weight, layer_between, new_draw, units_seen_by

__all__ = ["ByUnit", "DeclaresUnits", "HiddenLayer", "Weights", "chain", "hidden_layers", "new_draw", "units_between"]


# fmt: off
ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus,
    nn.Tanh, nn.Hardtanh, nn.Sigmoid,
)
# What stands between weights and keeps units apart: each is read by its own weights, though norms level their values.
NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, _NormBase)
POOLS = (_MaxPoolNd, _AvgPoolNd, _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd)
BETWEEN = (
    nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout2d, *NORMS, *POOLS,
)
# fmt: on


@runtime_checkable
class DeclaresUnits(Protocol):
    """A module that speaks for the units inside it, its children's too."""

    def plastic_units(self) -> Iterable[HiddenLayer]: ...


def how_to_declare(module: nn.Module) -> str:
    """The end of a sentence about a module of which no hidden units are known."""
    if "plastic_units" in vars(module):
        return "; fire_rl.declare_units found none either: print its report, or give the module plastic_units()"
    return "; fire_rl.declare_units(module, inputs) finds those of most modules, or give it plastic_units()"


def hidden_layers(module: nn.Module) -> tuple[HiddenLayer, ...]:
    """Every hidden layer whose incoming and outgoing weights are known.

    What stands in two places is left out: an activation module, as what its units did there could not be told apart,
    and a weight, as it is not the units' alone. So are units whose weights are frozen, or made from others at each pass
    (weight and spectral normalisation): new weights would not be theirs. What reads the units may be frozen in an
    injected head alone.
    """
    heads = [name for name, child in module.named_modules() if isinstance(child, Injected)]
    modules = Counter(id(child) for _, child in module.named_modules(remove_duplicate=False))
    parameters = Counter(id(parameter) for _, parameter in module.named_parameters(remove_duplicate=False))

    def stands_alone(layer: HiddenLayer) -> bool:
        weights = [module.get_parameter(weights.name) for weights in (*layer.incoming, *layer.outgoing)]
        once = modules[id(module.get_submodule(layer.name))] == 1 and all(parameters[id(each)] == 1 for each in weights)
        readers = [weights.name for weights in layer.outgoing if not _lies_in(weights.name, heads)]
        learning = [layer.incoming[0].name, *readers]
        return once and all(module.get_parameter(name).requires_grad for name in learning)

    return tuple(filter(stands_alone, find_layers(module)))


def find_layers(module: nn.Module) -> tuple[HiddenLayer, ...]:
    """Every hidden layer that is declared or found, those that `hidden_layers` leaves out too.

    What a forward pass found is no longer looked for where an injection has put other modules in its place.
    """
    names = {name for name, _ in module.named_parameters(remove_duplicate=False)}

    def is_there(layer: HiddenLayer) -> bool:
        return not layer.read_by or all(weights.name in names for weights in (*layer.incoming, *layer.outgoing))

    return tuple(filter(is_there, _find("", module)))


def _lies_in(name: str, modules: Iterable[str]) -> bool:
    return any(name.startswith(f"{module}." if module else "") for module in modules)


def chain(parts: Iterable[tuple[str, nn.Module]]) -> Iterator[HiddenLayer]:
    """Hidden layers of modules, by name, that run one after another: what a module may declare about its children.

    Where an injected head stands, its frozen parts read the units before it too.
    """
    weight: tuple[str, nn.Module] | None = None  # the last one, whose units may be behind the next activation
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
    """Whether the units of `source` can be told apart behind the module: pools work on what is linear layers' units."""
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
    """Whether its modules run one after another and do nothing else: a subclass may have a way of its own."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def prefixed(name: str, layer: HiddenLayer) -> HiddenLayer:
    """A child's layer, named as its parent knows it."""

    def renamed(weights: Weights) -> Weights:
        return replace(weights, name=_join(name, weights.name), bias=weights.bias and _join(name, weights.bias))

    incoming, outgoing = tuple(map(renamed, layer.incoming)), tuple(map(renamed, layer.outgoing))
    read_by = layer.read_by and _join(name, layer.read_by)
    named = replace(layer, name=_join(name, layer.name), incoming=incoming, outgoing=outgoing, read_by=read_by)
    return replace(named, norm=tuple(map(renamed, layer.norm)))


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


def units_between(module: nn.Module, source: str, *readers: str, norm: str = "") -> HiddenLayer:
    """The hidden units between layers of a module, by name, for its `plastic_units`: conv1, bn1, an activation, conv2.

    `readers` are all layers that are given the units, right behind the activation; `norm` stands before it.
    """
    known = [(name, module.get_submodule(name)) for name in readers]
    layer = layer_between(source, module.get_submodule(source), known)
    if layer is None or not readers:
        listed = ", ".join(readers) or "none given"
        raise ValueError(f"units_between: the units of {source!r} cannot be told apart in its readers ({listed})")
    gains = _gains([(norm, module.get_submodule(norm))], layer.shape) if norm else ()
    by_unit = units_seen_by(module.get_submodule(readers[0]), module.get_submodule(source))
    return replace(layer, by_unit=by_unit, read_by=readers[0], norm=gains)


def _gains(norms: Iterable[tuple[str, nn.Module]], shape: tuple[int, ...]) -> tuple[Weights, ...]:
    """Gains and shifts of which each unit has its own."""
    parameters = [(f"{name}.{key}", value) for name, norm in norms for key, value in norm.named_parameters()]
    return tuple(Weights(name, as_it_is) for name, value in parameters if value.shape == shape)


def _join(first: str, second: str) -> str:
    return f"{first}.{second}" if first and second else first or second

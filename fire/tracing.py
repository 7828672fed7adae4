"""Find the hidden units of any module by one forward pass: residual blocks, transformers, activation functions.

The inputs and outputs of layers with weights (linear, convolution) are marked in the graph that autograd records. The
outputs of a layer are hidden units if everything computed from them, up to the inputs of other such layers, is computed
unit by unit, and an activation is part of it. The weights of those other layers are then the units' outgoing weights.
Outputs that are added to a residual stream are not hidden units. Norms count as computed unit by unit, although layer
and group norms scale a unit's values by those of other units. Nothing else of the module is called, and nothing is
changed except for the declaration that `declare_units` adds.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from .activity import first_input
from .matrices import holder_of, take_inventory
from .undisturbed import modes_restored, undisturbed
from .unit_weights import HiddenLayer, Weights, as_it_is, has_weight, layer_between, outputs, units_seen_by
from .units import find_layers, hidden_layers

Node: TypeAlias = Any  # of autograd's graph

# Kinds of nodes in the graph: autograd's class names up to "Backward". All of them keep units separate, as norms do.
# fmt: off
NONLINEAR = frozenset((
    "Relu", "LeakyRelu", "PreluKernel", "Elu", "Gelu", "Silu", "Mish", "Softplus", "Tanh", "Hardtanh", "Sigmoid",
    "Hardswish", "Pow", "Clamp", "ClampMin",
))
NORMS = frozenset((
    "NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm", "NativeLayerNorm", "NativeGroupNorm", "FusedRmsNorm",
))
POOLS = frozenset((
    "MaxPool2DWithIndices", "MaxPool3DWithIndices", "AvgPool2D", "AvgPool3D", "AdaptiveAvgPool2D", "Mean",
))
VIEWS = frozenset(("View", "UnsafeView", "ReshapeAlias"))
PLAIN = frozenset(("NativeDropout", "Mul", "Div", "Add", "Sub", "Neg", "Clone", "Alias", "ToCopy"))
# fmt: on
KNOWN = NONLINEAR | NORMS | POOLS | VIEWS | PLAIN


@dataclass(frozen=True)
class UnitsReport:
    """The hidden layers of a module that methods and measures now know. Print it to read it.

    `unknown` names the layers with weights whose outputs are not known hidden units. `idle` are those of them on which
    no output of the pass depends: another pass may find their units.
    """

    layers: tuple[HiddenLayer, ...]
    unknown: tuple[str, ...]
    idle: tuple[str, ...] = ()

    def __str__(self) -> str:
        known = ", ".join(f"{layer.name} ({math.prod(layer.shape)})" for layer in self.layers) or "none"
        passed_over = ", ".join(self.unknown) or "none"
        idle = f"\nno output of this pass depends on these layers; another pass may find more: {', '.join(self.idle)}"
        return (
            f"hidden units known: {known}\nlayers whose outputs are not known as hidden units (outputs of the module, "
            "sums, or not computed unit by unit), which redo, cbp, snr and the measures dormant, dead and active skip: "
            f"{passed_over}{idle if self.idle else ''}"
        )


def declare_units(module: nn.Module, *inputs: Any, **named: Any) -> UnitsReport:
    """Find hidden units by calling the module once with the inputs, and declare them by an attribute `plastic_units`.

    Only this one pass is seen: layers that run in other passes remain unknown, and so do other layers that read the
    units there. Buffers, random generators and modes are the same afterwards. Layers that `hidden_layers` already knew
    are kept as they were.
    """
    traced, graph = _trace(module, *inputs, **named)
    vars(module).pop("plastic_units", None)
    known = find_layers(module)
    covered = {layer.incoming[0].name for layer in known}
    found = [layer for layer in traced if layer.incoming[0].name not in covered]
    vars(module)["plastic_units"] = partial(iter, (*known, *found))
    layers = hidden_layers(module)
    incoming = {layer.incoming[0].name for layer in layers}
    inventory = take_inventory(module)
    owners = {holder_of(matrix.name, module): None for matrix in inventory.matrices if matrix.parameter not in incoming}
    # Also weights that a parametrization computes from other tensors at each pass.
    made = [holder_of(name.partition(".parametrizations.")[0], module) for name in inventory.undeclared]
    unknown = tuple(owners | dict.fromkeys(made))
    return UnitsReport(layers, unknown, tuple(name for name in unknown if _is_idle(module.get_submodule(name), graph)))


def _is_idle(layer: nn.Module, graph: "_Graph") -> bool:
    """Whether no output of the pass depends on the layer's trained parameters."""
    learning = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    return bool(learning) and not any(id(parameter) in graph.uses for parameter in learning)


def _trace(module: nn.Module, *inputs: Any, **named: Any) -> tuple[tuple[HiddenLayer, ...], "_Graph"]:
    with _Marks(module) as marks, undisturbed(module), modes_restored(module):
        module.train()  # find the layers as they are used in training
        graph = _Graph.of(module(*inputs, **named))
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return tuple(layer for source in marks.left if (layer := _layer(source, marks, graph, names))), graph


class _Mark(torch.autograd.Function):
    """An identity operation whose node in autograd's graph can be recognised."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return values.clone()  # a view could not be modified in place by what follows

    @staticmethod
    def backward(context: Any, *gradients: Any) -> Any:
        return gradients[0]


@dataclass(frozen=True)
class _Place:
    """A layer with weights, and the shape and graph node of its input or output."""

    name: str
    layer: nn.Module
    shape: torch.Size
    node: Node


class _Marks(ExitStack):
    """Hooks that mark the inputs (`entered`) and outputs (`left`) of layers, and count how often each layer runs."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.entered: dict[Node, _Place] = {}
        self.left: dict[Node, _Place] = {}
        self._runs: dict[nn.Module, int] = {}
        for name, child in module.named_modules():
            if has_weight(child):
                self.enter_context(child.register_forward_pre_hook(partial(self._enter, name), with_kwargs=True))
                self.enter_context(child.register_forward_hook(partial(self._leave, name)))

    def _enter(self, name: str, layer: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        self._runs[layer] = self._runs.get(layer, 0) + 1
        given = first_input(layer, inputs, named)
        if given is None or not given.requires_grad:
            return None
        marked = _Mark.apply(given)
        self.entered[marked.grad_fn] = _Place(name, layer, marked.shape, marked.grad_fn)
        swapped = [marked if each is given else each for each in inputs]
        return tuple(swapped), {key: marked if each is given else each for key, each in named.items()}

    def _leave(self, name: str, layer: Any, inputs: Any, output: Any) -> Any:
        if not isinstance(output, Tensor) or not output.requires_grad:
            return output
        marked = _Mark.apply(output)
        self.left[marked.grad_fn] = _Place(name, layer, marked.shape, marked.grad_fn)
        return marked

    def once(self, place: _Place) -> bool:
        return self._runs[place.layer] == 1


@dataclass(frozen=True)
class _Graph:
    """Autograd's graph of a pass: the readers of each node, the output nodes, and how often each parameter is used."""

    readers: Mapping[Node, list[Node]]
    outputs: frozenset[Node]
    uses: Mapping[int, int] = field(default_factory=dict)  # by the parameter's id

    @classmethod
    def of(cls, output: Any) -> "_Graph":
        outputs = frozenset(tensor.grad_fn for tensor in _tensors(output) if tensor.grad_fn is not None)
        readers: dict[Node, list[Node]] = {node: [] for node in outputs}
        waiting = list(outputs)
        while waiting:
            node = waiting.pop()
            for child, _ in node.next_functions:
                if child is not None:
                    if child not in readers:
                        readers[child] = []
                        waiting.append(child)
                    readers[child].append(node)
        uses = {id(node.variable): len(by) for node, by in readers.items() if hasattr(node, "variable")}
        return cls(readers, outputs, uses)


def _layer(source: Node, marks: _Marks, graph: _Graph, names: Mapping[int, str]) -> HiddenLayer | None:
    """Return the hidden layer that a layer with weights feeds; None if its units are not separable or not hidden."""
    place = marks.left[source]
    region, entered = _followed(source, marks, graph)
    readers = [marks.entered[node] for node in entered]
    together = [place, *readers]
    if not readers or not all(marks.once(each) for each in together):
        return None
    if any(graph.uses.get(id(parameter), 0) > 1 for each in together for parameter in each.layer.parameters()):
        return None  # the parameter is also used elsewhere
    gains = _gains(region, place, names)
    kinds = [_kind(node) for node in region]
    if gains is None or not any(kind in NONLINEAR for kind in kinds):
        return None
    flattened = any(kind in VIEWS or kind == "Mean" for kind in kinds)
    if not all(_fits(place, reader, region) for reader in readers):
        return None
    layer = layer_between(place.name, place.layer, [(reader.name, reader.layer) for reader in readers], flattened)
    if layer is None:
        return None
    by_unit = units_seen_by(readers[0].layer, place.layer)
    norm = tuple(Weights(name, as_it_is) for name in gains)
    return replace(layer, by_unit=by_unit, read_by=readers[0].name, norm=norm)


def _followed(source: Node, marks: _Marks, graph: _Graph) -> tuple[list[Node], list[Node]]:
    """Return the nodes computed from a layer's output, and the marks where they enter other layers.

    Both lists are empty if the output is also used in another way.
    """
    region: list[Node] = []
    entered: list[Node] = []
    waiting = [source]
    while waiting:
        node = waiting.pop()
        if node in graph.outputs:
            return [], []
        for reader in graph.readers.get(node, ()):
            if reader in marks.entered:
                entered += [reader] if reader not in entered else []
            elif _kind(reader) not in KNOWN:
                return [], []
            elif reader not in region:
                region.append(reader)
                waiting.append(reader)
    return region, entered


def _gains(region: list[Node], source: _Place, names: Mapping[int, str]) -> list[str] | None:
    """Return the names of norms' parameters before the activation; None if the units cannot be treated.

    This is the case if other tensors enter the computation, if a norm has no separate gain for each unit (as in a norm
    over tokens), or if a norm follows the activation, since it would hide which units are dead.
    """
    convolution = isinstance(source.layer, _ConvNd)
    last = ("NativeLayerNorm", "FusedRmsNorm")  # their gains are for the last dimension, other norms' for the second
    gains: list[str] = []
    for node in region:
        for child, _ in node.next_functions:
            if child is None or child is source.node or child in region:
                continue
            kind = _kind(node)
            if not hasattr(child, "variable") or kind not in NORMS | {"PreluKernel"}:
                return None
            if kind in NORMS:
                of_units = not convolution if kind in last else convolution or len(source.shape) == 2
                if not of_units or child.variable.shape != (outputs(source.layer),):
                    return None
                gains.append(names[id(child.variable)])
        if _kind(node) in NORMS and any(_kind(earlier) in NONLINEAR for earlier in _before(node, region)):
            return None
    return gains


def _before(node: Node, region: list[Node]) -> Iterator[Node]:
    for child, _ in node.next_functions:
        if child in region:
            yield child
            yield from _before(child, region)


def _fits(source: _Place, reader: _Place, region: list[Node]) -> bool:
    """Whether the reader gets the units in the order that the views of its weights assume."""
    kinds = [_kind(node) for node in region]
    views = [node for node in region if _kind(node) in VIEWS]
    if not isinstance(source.layer, _ConvNd):
        return source.shape == reader.shape and not views and not POOLS & set(kinds)
    units = source.shape[1] if len(source.shape) > len(source.layer.kernel_size) + 1 else -1  # -1: without a batch
    if units != source.layer.out_channels or reader.shape[0] != source.shape[0]:
        return False
    if isinstance(reader.layer, _ConvNd):
        return not views and "Mean" not in kinds and len(reader.shape) == len(source.shape)
    means = [node for node in region if _kind(node) == "Mean"]
    if any(1 in _dimensions(node, len(source.shape)) for node in means) or len(views) > 1 or len(reader.shape) != 2:
        return False
    if means and not views:
        return reader.shape[1] == units
    sizes = tuple(views[0]._saved_self_sym_sizes) if views else ()
    return sizes[:2] == tuple(source.shape[:2]) and reader.shape[1] == math.prod(sizes[1:])


def _dimensions(node: Node, count: int) -> list[int]:
    """Return the dimensions over which a mean was taken; all if the node does not say."""
    dimensions = getattr(node, "_saved_dim", None) or range(count)
    return [dimension % count if dimension < 2**63 else (dimension - 2**64) % count for dimension in dimensions]


def _kind(node: Node) -> str:
    return type(node).__name__.partition("Backward")[0]


def _tensors(output: Any) -> Iterator[Tensor]:
    """Yield all tensors in a module's return value."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        yield from _tensors(list(output.values()))
    elif isinstance(output, Iterable) and not isinstance(output, str | bytes):
        for part in output:
            yield from _tensors(part)
    elif hasattr(output, "__dict__"):
        yield from _tensors(list(vars(output).values()))

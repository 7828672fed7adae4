"""The weight matrices of one layer: torch's own layers, Hugging Face's Conv1D, and classes that a user registered.

The scale is as published (arXiv 2602.08040): sqrt(d_out / d_in), divided by the number of kernel positions for a
convolution. If one weight holds several matrices side by side (gates; query, key and value), each is projected
separately with its own scale.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.rnn import RNNBase, RNNCellBase


@dataclass(frozen=True)
class Matrix:
    """A matrix whose `view` is written in place, and so must be a view of a parameter, of shape (..., d_out, d_in).

    For a weight stored as (in, out) the view is `weight.mT`. Leading dimensions of the view are a stack of equal-sized
    matrices: kernel positions, groups, or the members of an ensemble.
    `parameter` is the parameter's name in the module whose inventory was taken. `caveats` are reasons why FIRE skips
    the matrix by default: "frozen", "tied" (to an embedding), "depthwise".
    """

    name: str
    view: Tensor
    d_out: int
    d_in: int
    kernel_positions: int = 1
    parameter: str = ""
    caveats: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        what = f"matrix {self.name!r}"
        if self.view.shape[-2:] != (self.d_out, self.d_in):
            shape, wanted = tuple(self.view.shape), (self.d_out, self.d_in)
            raise ValueError(f"{what}: its view of shape {shape} does not end in (d_out, d_in) = {wanted}")
        if any(stride == 0 and size > 1 for size, stride in zip(self.view.shape, self.view.stride(), strict=True)):
            raise ValueError(f"{what}: its view shows the same entries several times, as expand() does")
        if not self.kernel_positions >= 1:
            raise ValueError(f"{what}: kernel_positions={self.kernel_positions} given; allowed is 1 or more")
        object.__setattr__(self, "view", self.view.detach())

    @property
    def scale(self) -> float:
        """The published scale of FIRE for this matrix."""
        return math.sqrt(self.d_out / self.d_in) / self.kernel_positions


@runtime_checkable
class DeclaresMatrices(Protocol):
    """A module that declares its own matrices; its other parameters are left unchanged."""

    def plastic_matrices(self) -> Iterable[Matrix]:
        """Return the module's matrices, with names relative to the module."""


Module = TypeVar("Module", bound=nn.Module)
Matrices: TypeAlias = Callable[[Any], Iterable[Matrix]]

_registered: dict[type[nn.Module], Matrices] = {}


def register_matrices(kind: type[Module], function: Callable[[Module], Iterable[Matrix]]) -> None:
    """Declare the matrices of a module class that you cannot edit; this includes its subclasses.

    The function takes the module and yields `Matrix` records with names relative to it, as `plastic_matrices()` would.
    Parameters of the module itself that it does not yield are left unchanged. It takes precedence over anything else
    that is known about the class.
    """
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ValueError(f"register_matrices: {kind!r} given; allowed is a subclass of torch.nn.Module")
    if not callable(function):
        raise ValueError(f"register_matrices: {function!r} given for {kind.__name__}; allowed is a function")
    _registered[kind] = function


def own_matrices(module: nn.Module) -> tuple[Iterable[Matrix], bool]:
    """Return the matrices of one module without its children, and whether this list is known to be complete.

    The most specific class that is registered, declares its matrices or is built in decides.
    """
    if "plastic_matrices" in vars(module):
        return _records(vars(module)["plastic_matrices"](), "plastic_matrices()"), True
    for kind in type(module).__mro__:
        if kind in _registered:
            return _records(_registered[kind](module), f"register_matrices: the function for {kind.__name__}"), True
        if "plastic_matrices" in vars(kind):
            break
        if kind in KNOWN:
            return KNOWN[kind](module), kind is nn.MultiheadAttention
    if isinstance(module, DeclaresMatrices):
        return _records(module.plastic_matrices(), f"plastic_matrices() of {type(module).__name__}"), True
    views = [module.get_parameter("weight").mT] if is_transposed_linear(module) else []
    return [Matrix("weight", view, *view.shape) for view in views], False


def _records(given: object, source: str) -> list[Matrix]:
    """Return what a user's function gave as a list; raise ValueError if an item is not a Matrix."""
    records: list[Any] = list(given) if isinstance(given, Iterable) and not isinstance(given, Tensor) else [given]
    for record in records:
        if not isinstance(record, Matrix):
            raise ValueError(f"{source} gives a {type(record).__name__}; it must yield fire_rl.Matrix records")
    return records


def _linear(module: nn.Linear) -> Iterator[Matrix]:
    if (weight := module._parameters.get("weight")) is not None:
        yield Matrix("weight", weight, *weight.shape)


def is_transposed_linear(module: nn.Module) -> bool:
    """Whether this is Hugging Face's Conv1D, recognised by its name and layout: weight (in, out), `nf` outputs."""
    weight = module._parameters.get("weight")
    named = any(kind.__name__ == "Conv1D" for kind in type(module).__mro__)
    return named and weight is not None and weight.ndim == 2 and getattr(module, "nf", None) == weight.shape[1]


def _attention(module: nn.MultiheadAttention) -> Iterator[Matrix]:
    """Query, key and value are three matrices, however torch stores them."""
    for index, part in enumerate(("query", "key", "value")):
        if (fused := module._parameters.get("in_proj_weight")) is not None:
            name, view = f"in_proj_weight.{part}", fused.chunk(3)[index]
        elif (separate := module._parameters.get(f"{part[0]}_proj_weight")) is not None:
            name, view = f"{part[0]}_proj_weight", separate
        else:  # computed from other tensors, by a parametrization
            continue
        yield Matrix(name, view, *view.shape)


RECURRENT = re.compile(r"weight_(ih|hh|hr)(_l\d+(_reverse)?)?")
# By the number of gates, in the order in which torch stores them.
GATES = {4: ("input", "forget", "cell", "output"), 3: ("reset", "update", "new")}


def _recurrent(module: RNNBase | RNNCellBase) -> Iterator[Matrix]:
    """Yield one matrix for each gate, for inputs and for hidden units, in each layer and direction."""
    for name, weight in module._parameters.items():
        if weight is None or not RECURRENT.fullmatch(name):
            continue
        gates = 1 if name.startswith("weight_hr") else weight.shape[0] // module.hidden_size  # hr: LSTM's projection
        for index, view in enumerate(weight.chunk(gates)):
            yield Matrix(f"{name}.{GATES[gates][index]}" if gates > 1 else name, view, *view.shape)


def _bilinear(module: nn.Bilinear) -> Iterator[Matrix]:
    """Yield the weight as a linear map of the products of the two inputs' entries: (out, in1 x in2)."""
    if (weight := module._parameters.get("weight")) is not None:
        view = weight.flatten(1)
        yield Matrix("weight", view, *view.shape)


def _convolution(module: _ConvNd) -> Iterator[Matrix]:
    """Yield one (d_out, d_in) matrix per kernel position and group, in a view of shape (*kernel, groups, d_out, d_in).

    In a depthwise convolution such a matrix would be a single number, of which a projection keeps only the sign. There
    each channel's filters form one matrix, (filters, positions), in a view of shape (channels, filters, positions).
    """
    weight, groups = module._parameters.get("weight"), module.groups
    if weight is None:
        return
    first, second, *kernel = weight.shape
    if 1 < groups == module.in_channels:
        filters = weight.unflatten(0, (groups, -1)).flatten(1, 2).flatten(2)
        yield Matrix("weight", filters, filters.shape[1], filters.shape[2], caveats=frozenset({"depthwise"}))
        return
    view = weight.view(groups, first // groups, second, *kernel).movedim((0, 1, 2), (-3, -2, -1))
    view = view.mT if module.transposed else view
    yield Matrix("weight", view, view.shape[-2], view.shape[-1], kernel_positions=math.prod(kernel))


KNOWN: dict[type, Matrices] = {
    nn.Linear: _linear,
    nn.MultiheadAttention: _attention,
    nn.Bilinear: _bilinear,
    _ConvNd: _convolution,
    RNNBase: _recurrent,
    RNNCellBase: _recurrent,
}

"""Which weight matrices a module holds, and the scale each is given when it is made an isometry.

Known are torch's linear layers, convolutions and attention. Any other module declares its matrices with a method
`plastic_matrices(self) -> Iterable[Matrix]`, names relative to itself: guessing from a shape can invert the scale.
The parts of an injected head that do not learn (`Injected`) are left as they are.
Scale, as published (arXiv 2602.08040): sqrt(d_out / d_in), over the number of kernel positions for a convolution.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Protocol, runtime_checkable

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

from .injected import Injected
from .nearest import nearest

Patterns = str | Sequence[str] | None
Split = Mapping[str, int] | None

# Layers whose parameters are no matrices in FIRE's sense, whatever their shape: left as they are, and listed.
LEFT_ALONE = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, _NormBase, nn.PReLU)


@dataclass(frozen=True)
class Matrix:
    """One matrix, or a stack of alike ones (kernel positions, groups, members) in the view's leading dimensions.

    `view` is a writable view (..., d_out, d_in) of a parameter; of a weight stored as (in, out) it is `weight.mT`.
    `parameter` is that one's name in the module whose inventory was taken.
    """

    name: str
    view: Tensor
    d_out: int
    d_in: int
    kernel_positions: int = 1
    parameter: str = ""

    def __post_init__(self) -> None:
        if self.view.shape[-2:] != (self.d_out, self.d_in):
            shape, wanted = tuple(self.view.shape), (self.d_out, self.d_in)
            raise ValueError(
                f"matrix {self.name!r}: its view of shape {shape} does not end in (d_out, d_in) = {wanted}"
            )
        object.__setattr__(self, "view", self.view.detach())

    @property
    def scale(self) -> float:
        return math.sqrt(self.d_out / self.d_in) / self.kernel_positions


@runtime_checkable
class DeclaresMatrices(Protocol):
    """A module that speaks for its own parameters: those it does not yield are left as they are."""

    def plastic_matrices(self) -> Iterable[Matrix]: ...


@dataclass(frozen=True)
class Inventory:
    """What a module holds: matrices to work on, names of what is left as it is, and of weights nobody has declared."""

    matrices: tuple[Matrix, ...]
    left: tuple[str, ...]
    undeclared: tuple[str, ...]

    def declared(self) -> "Inventory":
        """Itself, or an error that names the first undeclared weight."""
        if self.undeclared:
            name = self.undeclared[0]
            raise ValueError(
                f"weight {name!r}: its module does not say what matrices it holds; give the module a method "
                f"plastic_matrices() that yields fire.Matrix records, or leave the weight out (fire_: exclude={name!r})"
            )
        return self


def take_inventory(
    module: nn.Module, include: Patterns = None, exclude: Patterns = None, split: Split = None
) -> Inventory:
    """Every matrix of `module`, once also where a weight is shared.

    Patterns are full names of matrices, parameters or modules, with shell's `*` and `?`; a module stands for all that
    it contains: "encoder", "*.query". `split` says how many equal projections a linear layer fuses: {"*.c_attn": 3}.
    """
    include, exclude = _as_tuple(include), _as_tuple(exclude)
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    found, settled = _find(module, split or {})
    known = [matrix.name for matrix, _ in found] + [name for aliases in names.values() for name in aliases]
    for pattern in (*include, *exclude):
        _check_pattern(pattern, known)

    def chosen(*aliases: str) -> bool:
        return (not include or _any_matches(include, aliases)) and not _any_matches(exclude, aliases)

    matrices, left, undeclared = [], [], []
    for matrix, owner in found:
        if chosen(matrix.name, *names[owner]):
            matrices.append(replace(matrix, parameter=names[owner][0]))
        else:
            left.append(matrix.name)
    claimed = {owner for _, owner in found}
    for parameter in module.parameters():
        aliases = names[id(parameter)]
        if id(parameter) in claimed:
            continue
        if parameter.ndim > 1 and parameter.numel() and id(parameter) not in settled and chosen(*aliases):
            undeclared.append(aliases[0])
        else:
            left.append(aliases[0])
    return Inventory(tuple(matrices), tuple(left), tuple(undeclared))


def _find(module: nn.Module, split: Mapping[str, int]) -> tuple[list[tuple[Matrix, int]], set[int]]:
    """Every matrix with the id of its parameter; and the ids of parameters known to be something else."""
    linear = [name for name, child in module.named_modules() if isinstance(child, nn.Linear)]
    for pattern in split:
        _check_pattern(pattern, linear)
    found: list[tuple[Matrix, int]] = []
    injected = [child for child in module.modules() if isinstance(child, Injected)]
    constant = {inner for head in injected for part in (head.old, head.frozen) for inner in part.modules()}
    settled = {id(parameter) for child in constant for parameter in child.parameters()}
    for name, child in module.named_modules():
        if child in constant:
            continue
        parts = next((count for pattern, count in split.items() if _matches(pattern, name)), 1)
        named = [replace(matrix, name=f"{name}.{matrix.name}".lstrip(".")) for matrix in _own(child, name, parts)]
        claimed = {owner for _, owner in found}
        pairs = [(matrix, _owner(matrix, module)) for matrix in named if matrix.view.numel()]
        found += [(matrix, owner) for matrix, owner in pairs if owner not in claimed]
        if isinstance(child, (*LEFT_ALONE, nn.MultiheadAttention)) or hasattr(child, "plastic_matrices"):
            settled.update(id(parameter) for parameter in child.parameters(recurse=False))
    return found, settled


def _own(module: nn.Module, name: str, parts: int) -> Iterator[Matrix]:
    """The matrices of one module, without its children's."""
    parameters = dict(module.named_parameters(recurse=False))
    if any(is_lazy(parameter) for parameter in parameters.values()):
        raise ValueError(f"module {name!r} has no weights yet: call it once on a batch first")
    weight = parameters.get("weight")
    if isinstance(module, DeclaresMatrices):
        yield from module.plastic_matrices()
    elif isinstance(module, nn.MultiheadAttention):
        yield from _attention(parameters)
    elif isinstance(module, nn.Linear) and weight is not None:
        yield from _linear(weight, name, parts)
    elif isinstance(module, _ConvNd) and weight is not None:
        yield _convolution(weight, module.groups, module.transposed)


def _linear(weight: Tensor, name: str, parts: int) -> Iterator[Matrix]:
    d_out, d_in = weight.shape
    if parts < 1 or d_out % parts:
        raise ValueError(f"split: the {d_out} outputs of {name!r} do not divide into {parts} equal parts")
    for index, part in enumerate(weight.chunk(parts)):
        yield Matrix(f"weight.{index}" if parts > 1 else "weight", part, d_out // parts, d_in)


def _attention(parameters: Mapping[str, Tensor]) -> Iterator[Matrix]:
    """Query, key and value are three matrices, however torch stores them."""
    for index, part in enumerate(("query", "key", "value")):
        if "in_proj_weight" in parameters:
            name, view = f"in_proj_weight.{part}", parameters["in_proj_weight"].chunk(3)[index]
        else:
            name = f"{part[0]}_proj_weight"
            view = parameters[name]
        yield Matrix(name, view, *view.shape)


def _convolution(weight: Tensor, groups: int, transposed: bool) -> Matrix:
    """One (d_out, d_in) matrix per kernel position and group, in a view of shape (*kernel, groups, d_out, d_in)."""
    first, second, *kernel = weight.shape
    view = weight.view(groups, first // groups, second, *kernel).movedim((0, 1, 2), (-3, -2, -1))
    view = view.mT if transposed else view
    return Matrix("weight", view, view.shape[-2], view.shape[-1], kernel_positions=math.prod(kernel))


def _owner(matrix: Matrix, module: nn.Module) -> int:
    """The id of the parameter in whose storage the view lies."""
    address = matrix.view.data_ptr()
    for parameter in module.parameters():
        start = parameter.data_ptr()
        if start <= address < start + parameter.numel() * parameter.element_size():
            return id(parameter)
    raise ValueError(f"matrix {matrix.name!r} is no view of a parameter: nothing written to it would stay")


def _matches(pattern: str, name: str) -> bool:
    """Whether the pattern is the name of the parameter, or of a module around it."""
    path = name.split(".")
    return any(fnmatchcase(".".join(path[: end + 1]), pattern) for end in range(len(path)))


def _any_matches(patterns: Iterable[str], names: Iterable[str]) -> bool:
    return any(_matches(pattern, name) for pattern in patterns for name in names)


def _check_pattern(pattern: str, names: Sequence[str]) -> None:
    if not _any_matches((pattern,), names):
        raise ValueError(f"pattern {pattern!r} matches no name in the module; nearest is {nearest(pattern, names)}")


def _as_tuple(patterns: Patterns) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else tuple(patterns or ())

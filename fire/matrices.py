"""Which weight matrices a module holds, and the scale each is given when it is made an isometry.

Known are torch's linear layers, convolutions and attention; any other module declares its matrices with a method
`plastic_matrices(self) -> Iterable[Matrix]`, names relative to itself. Nothing is guessed from a shape: a wrong guess inverts the scale.
Scale, as published: sqrt(d_out / d_in), for a convolution divided by its number of kernel positions (arXiv 2602.08040).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

Patterns = str | Sequence[str]

# Layers whose parameters are no matrices in FIRE's sense, whatever their shape: left as they are, and listed.
LEFT_ALONE = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, _NormBase, nn.PReLU)


@dataclass(frozen=True)
class Matrix:
    """One matrix, or a stack of alike ones (kernel positions, groups, ensemble members) in the leading dimensions of `view`.

    `view` is a writable view of a parameter with shape (..., d_out, d_in): a weight stored as (in, out) is declared as `weight.mT`.
    """

    name: str
    view: Tensor
    d_out: int
    d_in: int
    kernel_positions: int = 1

    def __post_init__(self) -> None:
        if self.view.shape[-2:] != (self.d_out, self.d_in):
            raise ValueError(
                f"matrix {self.name!r}: its view has shape {tuple(self.view.shape)}, which does not end in (d_out, d_in) = {self.d_out, self.d_in}"
            )

    @property
    def scale(self) -> float:
        return math.sqrt(self.d_out / self.d_in) / self.kernel_positions


@dataclass(frozen=True)
class Inventory:
    """What a module holds: matrices to work on, names of what is left as it is, and of weights that nobody has declared."""

    matrices: tuple[Matrix, ...]
    left: tuple[str, ...]
    undeclared: tuple[str, ...]

    def declared(self) -> "Inventory":
        """Itself, or an error that names the first undeclared weight."""
        if self.undeclared:
            name = self.undeclared[0]
            raise ValueError(
                f"weight {name!r} belongs to a module whose matrices are unknown: give the module a method plastic_matrices() "
                f"that yields fire.Matrix records, or leave the weight as it is with exclude={name!r}"
            )
        return self


def take_inventory(
    module: nn.Module, include: Patterns = (), exclude: Patterns = (), split: Mapping[str, int] | None = None
) -> Inventory:
    """Every matrix of `module` once, under its first name, also where a weight is shared.

    Patterns are shell-style (`*`, `?`) full names of matrices, parameters or modules; a module stands for all it contains: "encoder", "*.query".
    `split` gives the number of equal projections fused in a linear layer's outputs: {"*.c_attn": 3}.
    """
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    split = dict(split or {})
    found: list[tuple[Matrix, int]] = []
    claimed: set[int] = set()
    settled: set[int] = set()
    for prefix, child in module.named_modules():
        parts = next((count for pattern, count in split.items() if _matches(pattern, prefix)), 1)
        here = [(replace(matrix, name=_join(prefix, matrix.name)), _owner(matrix, module)) for matrix in _matrices_of(child, prefix, parts)]
        found += [(matrix, owner) for matrix, owner in here if owner not in claimed]
        claimed.update(owner for _, owner in here)
        if hasattr(child, "plastic_matrices") or isinstance(child, LEFT_ALONE):
            settled.update(id(parameter) for parameter in child.parameters(recurse=False))

    def chosen(*aliases: str) -> bool:
        included = not include or any(_matches(pattern, alias) for pattern in _tuple(include) for alias in aliases)
        return included and not any(_matches(pattern, alias) for pattern in _tuple(exclude) for alias in aliases)

    every_name = [name for aliases in names.values() for name in aliases] + [matrix.name for matrix, _ in found]
    _check_patterns(_tuple(include) + _tuple(exclude), every_name)
    _check_patterns(tuple(split), [prefix for prefix, child in module.named_modules() if isinstance(child, nn.Linear)])
    matrices = [(matrix, owner) for matrix, owner in found if chosen(matrix.name, *names[owner])]
    skipped = [matrix.name for matrix, owner in found if not chosen(matrix.name, *names[owner])]
    unclaimed = [(names[id(parameter)], parameter) for parameter in module.parameters() if id(parameter) not in claimed]
    undeclared = [aliases[0] for aliases, parameter in unclaimed if parameter.ndim > 1 and id(parameter) not in settled and chosen(*aliases)]
    left = skipped + [aliases[0] for aliases, _ in unclaimed if aliases[0] not in undeclared]
    return Inventory(tuple(matrix for matrix, _ in matrices), tuple(left), tuple(undeclared))


def _matrices_of(module: nn.Module, name: str, parts: int) -> Iterator[Matrix]:
    """The matrices of one module, without its children's."""
    parameters = dict(module.named_parameters(recurse=False))
    if any(is_lazy(parameter) for parameter in parameters.values()):
        raise ValueError(f"module {name!r} has no weights yet: call it once on a batch first")
    weight = parameters.get("weight")
    if hasattr(module, "plastic_matrices"):
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
    for index, part in enumerate(weight.detach().chunk(parts)):
        yield Matrix(f"weight.{index}" if parts > 1 else "weight", part, d_out // parts, d_in)


def _attention(parameters: dict[str, nn.Parameter]) -> Iterator[Matrix]:
    """Query, key and value are separate matrices, however they are stored."""
    for index, part in enumerate(("query", "key", "value")):
        if "in_proj_weight" in parameters:
            view = parameters["in_proj_weight"].detach().chunk(3)[index]
            yield Matrix(f"in_proj_weight.{part}", view, *view.shape)
        else:
            view = parameters[f"{part[0]}_proj_weight"].detach()
            yield Matrix(f"{part[0]}_proj_weight", view, *view.shape)


def _convolution(weight: Tensor, groups: int, transposed: bool) -> Matrix:
    """One (d_out, d_in) matrix per kernel position and group: view of shape (*kernel, groups, d_out, d_in)."""
    first, second, *kernel = weight.shape
    blocks = weight.detach().unflatten(0, (groups, first // groups)).movedim((0, 1, 2), (-3, -2, -1))
    view = blocks.mT if transposed else blocks
    return Matrix("weight", view, *view.shape[-2:], kernel_positions=math.prod(kernel))


def _owner(matrix: Matrix, module: nn.Module) -> int:
    """The parameter whose memory the view lies in."""
    address = matrix.view.data_ptr()
    for parameter in module.parameters():
        if parameter.data_ptr() <= address < parameter.data_ptr() + parameter.numel() * parameter.element_size():
            return id(parameter)
    raise ValueError(f"matrix {matrix.name!r} is not a view of one of the module's parameters, so nothing written to it would stay")


def _matches(pattern: str, name: str) -> bool:
    """Whether the pattern is the full name of the parameter or of a module around it."""
    steps = name.split(".")
    return any(fnmatchcase(".".join(steps[:length]), pattern) for length in range(1, len(steps) + 1))


def _check_patterns(patterns: Iterable[str], names: Sequence[str]) -> None:
    for pattern in patterns:
        if not any(_matches(pattern, name) for name in names):
            nearest = get_close_matches(pattern, names, n=3, cutoff=0.0)
            raise ValueError(f"pattern {pattern!r} matches nothing here; nearest are {', '.join(nearest) or 'none'}")


def _tuple(patterns: Patterns) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else tuple(patterns or ())


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name

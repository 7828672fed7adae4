"""Multiply projected layers by gains, so that the root mean square of their outputs stays as it was.

With the layer's output g W x + b, the gain g >= 0 solves mean (g W x + b)^2 = mean of the squared outputs before. If no
gain reaches that, the nearest one is taken. The layers follow each other in the order of the forward pass, so that each
one sees inputs that were already corrected. The weights are then a scaled isometry: all singular values of a matrix are
equal, but no longer equal to the published scale.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from .matrices import Matrix
from .outputs import Batch

NOT_LINEAR = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
LINEAR = 1e-3  # largest relative error by which a layer may differ from one that is linear in its weights

Layers = Mapping[str, list[Tensor]]  # the projected matrices of each layer, by the layer's name


def layers_of(module: nn.Module, matrices: Iterable[Matrix]) -> Layers:
    """Return the layers that hold these matrices; raise ValueError if the outputs of one are not linear in them."""
    found: dict[str, list[Tensor]] = {}
    for matrix in matrices:
        name = matrix.parameter.rpartition(".")[0]
        owner = module.get_submodule(name)
        if isinstance(owner, NOT_LINEAR):
            raise ValueError(
                f"scale=true: {name!r} is a {type(owner).__name__}, whose outputs are not linear in its weights; "
                f"exclude={name} leaves it unchanged"
            )
        found.setdefault(name, []).append(matrix.view)
    return found


class _Visits:
    """Calls a function at the first pass through each of some layers; what it returns replaces the layer's output."""

    def __init__(self, module: nn.Module, layers: Layers) -> None:
        self.layers, self.seen = layers, set[str]()
        self._inside = False
        self._handles: list[RemovableHandle] = [
            module.get_submodule(name).register_forward_hook(self._visitor(name), with_kwargs=True) for name in layers
        ]

    def _visitor(self, name: str) -> Any:
        def visit(owner: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:
            if name in self.seen:
                return None
            self.seen.add(name)
            return self.visit(name, owner, inputs, named, output)

        return visit

    def visit(self, name: str, owner: nn.Module, inputs: Any, named: Any, output: Any) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()


class _Sizes(_Visits):
    """The mean square of each layer's outputs."""

    def __init__(self, module: nn.Module, layers: Layers) -> None:
        super().__init__(module, layers)
        self.found: dict[str, Tensor] = {}

    def visit(self, name: str, owner: nn.Module, inputs: Any, named: Any, output: Any) -> None:
        self.found[name] = _mean(output.double().square(), members(owner, self.layers[name], output))


class _Corrections(_Visits):
    """Multiplies each layer's weights such that its outputs have the wanted mean square."""

    def __init__(self, module: nn.Module, layers: Layers, wanted: Mapping[str, Tensor]) -> None:
        super().__init__(module, layers)
        self.wanted, self.gains = wanted, dict[str, Tensor]()

    def visit(self, name: str, owner: nn.Module, inputs: Any, named: Any, output: Any) -> Tensor | None:
        if name not in self.wanted:
            return None
        views = self.layers[name]
        offset = at_factor(owner, views, 0.0, inputs, named).double()
        linear = output.double() - offset
        count = members(owner, views, output)
        gain = solved(
            _mean(linear.square(), count), _mean(linear * offset, count), _mean(offset.square(), count),
            self.wanted[name],
        )  # fmt: skip
        self.gains[name] = gain
        for view in views:
            view.mul_(_shaped(gain, view).to(view.dtype))
        return (offset + _shaped(gain, output) * linear).to(output.dtype)


def solved(square: Tensor, product: Tensor, rest: Tensor, wanted: Tensor) -> Tensor:
    """Return the gain g >= 0 with g^2 square + 2 g product + rest = wanted, the nearest one if there is none, and 1 for
    a layer without any output of its own."""
    root = (product.square() + square * (wanted - rest)).clamp_min(0.0).sqrt()
    gain = (root - product) / square
    return torch.where((square > 0) & (gain > 0), gain, 1.0)


def members(owner: nn.Module, views: list[Tensor], output: Tensor) -> int:
    """Return the number of members of an ensemble's layer, which has one output for each; 1 for any other layer."""
    first = views[0]
    several = first.dim() == 3 and not isinstance(owner, _ConvNd) and output.dim() >= 3 and len(first) == len(output)
    return len(first) if several else 1


def at_factor(owner: nn.Module, views: list[Tensor], factor: float, inputs: Any, named: Any) -> Tensor:
    """Return the layer's output with its weights multiplied by a factor; the weights stay as they are."""
    kept = [view.clone() for view in views]
    try:
        for view in views:
            view.mul_(factor)
        found: Tensor = owner.forward(*inputs, **named)
        return found.clone()
    finally:
        for view, value in zip(views, kept, strict=True):
            view.copy_(value)


def _mean(values: Tensor, count: int) -> Tensor:
    return values.reshape(count, -1).mean(-1)


def _shaped(gain: Tensor, like: Tensor) -> Tensor:
    return gain.reshape(-1, *[1] * (like.dim() - 1))


class _Checks(_Visits):
    def visit(self, name: str, owner: nn.Module, inputs: Any, named: Any, output: Any) -> None:
        views = self.layers[name]
        if not isinstance(output, Tensor):
            raise ValueError(f"scale=true: layer {name!r} returns a {type(output).__name__}, not a tensor")
        nothing, half = (at_factor(owner, views, factor, inputs, named) for factor in (0.0, 0.5))
        middle = (output + nothing) / 2
        if not (half - middle).norm() <= LINEAR * (1e-6 + middle.norm() + half.norm()):
            raise ValueError(f"scale=true: the outputs of layer {name!r} are not linear in its weights")


@torch.no_grad()
def refuse_not_linear(module: nn.Module, layers: Layers, batch: Batch) -> None:
    """Raise ValueError if the outputs of a layer are not linear in its weights."""
    with _Checks(module, layers):
        module(*batch)


@torch.no_grad()
def keep_sizes_(module: nn.Module, before: nn.Module, layers: Layers, batch: Batch) -> dict[str, float]:
    """Multiply the layers' weights in place; return each layer's gain, the mean over the members of an ensemble."""
    with _Sizes(before, layers) as sizes:
        before(*batch)
    with _Corrections(module, layers, sizes.found) as corrections:
        module(*batch)
    return {f"gain {name}": float(gain.mean()) for name, gain in corrections.gains.items()}

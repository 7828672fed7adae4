"""Multiply projected layers by gains, so that the root mean square of their outputs stays as it was.

With the layer's output g W x + b, the gain g > 0 solves mean (g W x + b)^2 = mean of the squared outputs before. If no
gain reaches that, the nearest one is taken, and 1 if the nearest one would be 0. The layers follow each other in the
order of the forward pass, so that each one sees inputs that were already corrected. The weights are then a scaled
isometry: all singular values of a matrix are equal, but no longer equal to the published scale.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from .devices import double
from .layers import Matrix
from .outputs import Batch

NOT_LINEAR = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
LINEAR = 1e-3  # largest relative error by which a layer may differ from one that is linear in its weights

Layers = Mapping[str, list[Tensor]]  # the projected matrices of each layer, by the layer's name
# What is called with a layer's name, the layer, its inputs by place and by name, and its output.
Visit: TypeAlias = Callable[[str, nn.Module, Any, Any, Any], Tensor | None]


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


@contextmanager
def first_passes(module: nn.Module, layers: Layers, visit: Visit) -> Iterator[None]:
    """Call `visit` at the first pass through each of the layers; what it returns replaces the layer's output."""
    seen = set[str]()

    def hook(name: str, owner: nn.Module, inputs: Any, named: Any, output: Any) -> Tensor | None:
        if name in seen:
            return None
        seen.add(name)
        return visit(name, owner, inputs, named, output)

    with ExitStack() as hooks:
        for name in layers:
            layer = module.get_submodule(name)
            hooks.enter_context(layer.register_forward_hook(partial(hook, name), with_kwargs=True))
        yield


def solved(square: Tensor, product: Tensor, rest: Tensor, wanted: Tensor) -> Tensor:
    """Return the gain g > 0 with g^2 square + 2 g product + rest = wanted, or the nearest one if there is none.

    It is 1 if the nearest one would be 0, and for a layer without any output of its own.
    """
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
        return owner.forward(*inputs, **named).clone()
    finally:
        for view, value in zip(views, kept, strict=True):
            view.copy_(value)


def _mean(values: Tensor, count: int) -> Tensor:
    return values.reshape(count, -1).mean(-1)


def _shaped(gain: Tensor, like: Tensor) -> Tensor:
    return gain.reshape(-1, *[1] * (like.dim() - 1))


@torch.no_grad()
def refuse_not_linear(module: nn.Module, layers: Layers, batch: Batch) -> None:
    """Raise ValueError if the outputs of a layer are not linear in its weights."""

    def check(name: str, owner: nn.Module, inputs: Any, named: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise ValueError(f"scale=true: layer {name!r} returns a {type(output).__name__}, not a tensor")
        nothing, half = (at_factor(owner, layers[name], factor, inputs, named) for factor in (0.0, 0.5))
        middle = (output + nothing) / 2
        if not (half - middle).norm() <= LINEAR * (1e-6 + middle.norm() + half.norm()):
            raise ValueError(f"scale=true: the outputs of layer {name!r} are not linear in its weights")

    with first_passes(module, layers, check):
        module(*batch)


@torch.no_grad()
def keep_sizes_(module: nn.Module, before: nn.Module, layers: Layers, batch: Batch) -> dict[str, float]:
    """Multiply the layers' weights in place; return each layer's gain, the mean over the members of an ensemble."""
    wanted, gains = dict[str, Tensor](), dict[str, Tensor]()

    def note(name: str, owner: nn.Module, inputs: Any, named: Any, output: Tensor) -> None:
        wanted[name] = _mean(double(output).square(), members(owner, layers[name], output))

    def correct(name: str, owner: nn.Module, inputs: Any, named: Any, output: Tensor) -> Tensor | None:
        if name not in wanted:
            return None
        views = layers[name]
        offset = double(at_factor(owner, views, 0.0, inputs, named))
        linear = double(output) - offset
        count = members(owner, views, output)
        square, product, rest = (_mean(each, count) for each in (linear.square(), linear * offset, offset.square()))
        gain = gains[name] = solved(square, product, rest, wanted[name])
        for view in views:
            view.mul_(_shaped(gain, view).to(view))
        return (offset + _shaped(gain, output) * linear).to(output)

    with first_passes(before, layers, note):
        before(*batch)
    with first_passes(module, layers, correct):
        module(*batch)
    if layers and not gains:
        raise ValueError("scale=true: none of the projected layers was seen to run: is the module a compiled one?")
    return {f"gain {name}": float(gain.mean()) for name, gain in gains.items()}

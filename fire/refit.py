"""Fit last layers again by ridge regression, so that they give the outputs from before on changed features.

With features x, a layer's present weights W and bias b, and its outputs y from before, the change (D, d) minimises

    mean |W x + b + D x + d - y|^2 + ridge * m * |D|^2,  m: the mean eigenvalue of the features' covariance.

The bias change d has no penalty. If the outputs are already right, nothing changes. The ridge is the largest of RIDGES
whose error, on batches that are not used for the fit, is at most 5% above the least; a smaller ridge would make the
layer worse conditioned for little. Then all batches are used. Computed in float64 in closed form.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from .activity import first_input
from .devices import double
from .injected import Injected
from .matrices import holder_of, last_layers, take_inventory
from .network import Network
from .outputs import Batch, Draw

RIDGES = tuple(10.0**power for power in (0, -1, -2, -3, -4, -5, -6, -7, -8))
ENOUGH = 1.05
FITTED, CHOOSING = 24, 8  # batches for the fit, and for the choice of the ridge
LINEAR = 1e-3  # largest relative error by which a layer may differ from a linear one

SEVERAL = (_ConvNd, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, nn.Bilinear)


@dataclass(frozen=True)
class LastLayer:
    """A linear layer whose outputs are those of the network; `members` layers at once in an ensemble."""

    name: str
    weight: Tensor  # writable view (members, out, in)
    bias: Tensor | None  # writable view (members, out)

    def features(self, inputs: Tensor) -> Tensor:
        """Return the layer's inputs as (members, examples, in), in float64."""
        members = len(self.weight)
        stack = double(inputs.detach())
        if members == 1:
            return stack.reshape(1, -1, stack.shape[-1])
        return stack.expand(members, *stack.shape[-2:])

    def values(self, outputs: Tensor) -> Tensor:
        """Return the layer's outputs as (members, examples, out), in float64."""
        return double(outputs.detach()).reshape(len(self.weight), -1, self.weight.shape[-2])

    def applied(self, features: Tensor) -> Tensor:
        """Return the outputs of a linear layer with these weights."""
        found = features @ double(self.weight).mT
        return found if self.bias is None else found + double(self.bias).unsqueeze(-2)


def last_linear_layers(module: nn.Module, network: Network) -> list[LastLayer]:
    """Return the last layer of each head; raise ValueError in one line if one cannot be fitted again."""
    if any(isinstance(child, Injected) for child in module.modules()):
        raise ValueError("its head was injected, so that its last layer alone does not give the outputs")
    names, inventory = last_layers(module, network.head), take_inventory(module)
    if not names:
        raise ValueError("it has no layer with a weight matrix")
    found = []
    for name in names:
        owner = module.get_submodule(name)
        matrices = [matrix for matrix in inventory.matrices if holder_of(matrix.name, module) == name]
        several = isinstance(owner, SEVERAL) or len(matrices) != 1 or matrices[0].view.dim() > 3
        if several or matrices[0].kernel_positions > 1:
            raise ValueError(f"its last layer {name!r} is a {type(owner).__name__}, not a linear layer")
        (matrix,) = matrices
        trained = network.module.get_parameter(matrix.parameter).requires_grad  # a target is frozen as a whole
        caveats = (matrix.caveats - {"frozen"}) | (set() if trained else {"frozen"})
        if caveats:
            raise ValueError(f"its last layer {name!r} cannot be fitted again: it is {', '.join(sorted(caveats))}")
        weight = matrix.view if matrix.view.dim() == 3 else matrix.view.unsqueeze(0)
        bias = owner._parameters.get("bias")
        shape = weight.shape[:2]
        if bias is not None and bias.numel() != shape.numel():
            raise ValueError(f"its last layer {name!r} has a bias of another size than its outputs")
        found.append(LastLayer(name, weight, None if bias is None else bias.detach().view(shape)))
    return found


class Passing(ExitStack):
    """Keeps the input and the output of a layer in the next passes, until it is closed."""

    def __init__(self, module: nn.Module, layer: LastLayer) -> None:
        super().__init__()
        self.layer = layer
        self.features = self.outputs = torch.empty(0)
        self.enter_context(module.get_submodule(layer.name).register_forward_hook(self._keep, with_kwargs=True))

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any], output: Tensor) -> None:
        given = first_input(module, inputs, named)
        if given is not None:  # copies, because the layers around it may write in place
            self.features, self.outputs = self.layer.features(given).clone(), self.layer.values(output).clone()


@torch.no_grad()
def refuse_not_linear(module: nn.Module, network: Network, batch: Batch) -> None:
    """Raise ValueError if a last layer did not run, or its outputs are not linear in its inputs."""
    for layer in last_linear_layers(module, network):
        with Passing(module, layer) as passing:
            module(*batch)
        if not passing.outputs.numel():
            raise ValueError(f"its last layer {layer.name!r} does not run when the module is called")
        error = (layer.applied(passing.features) - passing.outputs).norm()
        if not error <= LINEAR * (1e-6 + passing.outputs.norm()):
            raise ValueError(f"the outputs of its last layer {layer.name!r} are not linear in its inputs")


@dataclass
class Moments:
    """Second moments of features with a 1 appended, of these with residuals, and of residuals; sums over examples."""

    features: Tensor  # (members, in + 1, in + 1)
    mixed: Tensor  # (members, in + 1, out)
    residuals: Tensor  # (): the sum of squares
    count: int

    @classmethod
    def of(cls, features: Tensor, residuals: Tensor, bias: bool) -> "Moments":
        """Return the moments of one batch; without a bias, a 0 is appended instead of the 1."""
        last = torch.full_like(features[..., :1], float(bias))
        extended = torch.cat((features, last), -1)
        square = residuals.square().sum()
        return cls(extended.mT @ extended, extended.mT @ residuals, square, features.shape[-2])

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.features + other.features, self.mixed + other.mixed, self.residuals + other.residuals,
            self.count + other.count,
        )  # fmt: skip

    def error(self, change: Tensor) -> float:
        """Return the mean squared error after a change (members, in + 1, out)."""
        total = self.residuals - 2 * (change * self.mixed).sum() + (change * (self.features @ change)).sum()
        return float(total) / self.count

    def solved(self, ridges: tuple[float, ...]) -> list[Tensor]:
        """Return the best change (members, in + 1, out) for each ridge."""
        moments, mixed = self.features / self.count, self.mixed / self.count
        means, offsets = moments[..., :-1, -1:], mixed[..., -1:, :]
        covariance = moments[..., :-1, :-1] - means @ means.mT
        crossed = mixed[..., :-1, :] - means @ offsets
        values, vectors = torch.linalg.eigh(covariance)
        values = values.clamp_min(0.0).unsqueeze(-1)
        size = values.mean(-2, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
        turned = vectors.mT @ crossed
        found = []
        for ridge in ridges:
            change = vectors @ (turned / (values + ridge * size))
            found.append(torch.cat((change, offsets - means.mT @ change), -2))
        return found


def moments_of(module: nn.Module, before: nn.Module, layer: LastLayer, draw: Draw, batches: int) -> Moments:
    """Return the moments of a layer's features, and of what its outputs lack to those before the event."""
    found: Moments | None = None
    with Passing(module, layer) as now, Passing(before, layer) as then:
        for _ in range(batches):
            batch = draw()
            module(*batch)
            before(*batch)
            one = Moments.of(now.features, then.outputs - now.outputs, layer.bias is not None)
            found = one if found is None else found + one
    assert found is not None
    return found


@torch.no_grad()
def refit_(module: nn.Module, before: nn.Module, network: Network, draw: Draw) -> Mapping[str, float]:
    """Fit the last layers of the module to the outputs of `before`, in place; return the ridges by layer."""
    chosen: dict[str, float] = {}
    for layer in last_linear_layers(module, network):
        fitted = moments_of(module, before, layer, draw, FITTED)
        others = moments_of(module, before, layer, draw, CHOOSING)
        errors = [others.error(change) for change in fitted.solved(RIDGES)]
        ridge = next(ridge for ridge, error in zip(RIDGES, errors, strict=True) if error <= ENOUGH * min(errors))
        (change,) = (fitted + others).solved((ridge,))
        layer.weight.copy_(double(layer.weight) + change[..., :-1, :].mT)
        if layer.bias is not None:
            layer.bias.copy_(double(layer.bias) + change[..., -1, :])
        chosen[f"ridge {layer.name}"] = ridge
    return chosen

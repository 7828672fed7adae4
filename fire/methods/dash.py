"""DASH: shrink weights that do not point along the negative gradient, w <- w max(lambda, cos(w, -gradient of w)).

w is one row of a matrix, one kernel of a convolution (for one input and one output channel), or all biases of a layer,
of a gate, or of the queries, keys or values of attention. Norms are left unchanged.

Source: "DASH: Warm-Starting Neural Network Training in Stationary Settings without Loss of Plasticity", Shin, Oh, Cho
and Yun, NeurIPS 2024, arXiv 2410.23495. There the gradient is a running average over the batches of a whole data set,
G <- (1 - alpha) G + alpha g with alpha = 0.3, in which about the last 1 / alpha batches count. The same is done here if
alpha is given and network.loss has batches (LossByBatch). Otherwise it is the gradient of network.loss, which for an
agent is computed on examples from its replay: for one batch alpha changes nothing, since the cosine does not depend on
a gradient's length, and a note says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.rnn import RNNBase, RNNCellBase

from ..layers import Matrix
from ..matrices import LEFT_ALONE, refuse_not_real, take_inventory
from ..network import Loss, LossByBatch, MethodNetwork, Network
from ..report import left_rows
from ..undisturbed import undisturbed
from .method import Renewal, option
from .reinitialization import Reinitialization, Touches


@dataclass(frozen=True, kw_only=True)
class Dash(Reinitialization):
    """Shrink weights that do not point along the negative gradient: w <- w max(least, cos(w, -gradient))."""

    needs_loss: ClassVar[bool] = True

    least: float = option(0.3, "the smallest factor, the publication's lambda, 0 to 1")
    alpha: float | None = option(
        None, "weight of each new batch in the averaged gradient of one pass over the data; none: one batch"
    )
    # As in the authors' code, the optimizer's state is kept.
    optimizer: Renewal = option("keep", "its moments and step counts")
    companions: Renewal = option("keep", "such as SAC's temperature")
    target: Literal["copy", "keep"] = option("copy", "the target network, which has no gradient: made a copy, or kept")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0.0 <= self.least <= 1.0, "least", "must lie between 0 and 1")
        self.require(self.alpha is None or 0.0 < self.alpha <= 1.0, "alpha", "must be above 0 and at most 1, or none")

    def check(self, network: Network) -> None:
        """Raise ValueError if nothing can be shrunk."""
        super().check(network)
        self.check_reach(network)
        for matrix in matrices_in(network.module, self.touches(network)):
            _kernel_dimensions(matrix, network.module)

    def ready(self, network: MethodNetwork) -> None:
        """Compute the gradients; raise ValueError if one is not finite."""
        network.prepared.update(_downhill(network, self.alpha))
        for name, direction in network.prepared.items():
            if not direction.isfinite().all():
                raise ValueError(f"dash: the loss has no finite gradient for {name!r}")

    def rewrite(self, module: nn.Module, network: MethodNetwork, touches: Touches) -> None:
        """Shrink weights and biases by their agreement with the negative gradient."""
        downhill = dict(network.prepared) or _downhill(network, self.alpha)  # if `ready` was not called
        parameters = {name: parameter for name, parameter in module.named_parameters() if name in downhill}
        shrunk: set[tuple[str, int | None]] = set()
        for matrix in matrices_in(module, touches):
            if matrix.parameter not in downhill:  # frozen
                continue
            along = _seen_as(matrix.view, parameters[matrix.parameter], downhill[matrix.parameter])
            matrix.view.mul_(self._factors(matrix.view, along, _kernel_dimensions(matrix, module)))
            bias, rows = _bias_of(matrix, module)
            if bias in downhill and touches(bias) and (bias, rows.start) not in shrunk:
                shrunk.add((bias, rows.start))  # once only, even if the module holds several matrices
                parameters[bias][rows].mul_(self._factors(parameters[bias][rows], downhill[bias][rows]))

    def notes(self, network: Network) -> list[str]:
        """Also name weights left unchanged as they belong to no known matrix, such as biases of registered layers."""
        touches = self.touches(network)
        matrices = matrices_in(network.module, touches)
        treated = {matrix.parameter for matrix in matrices} | {_bias_of(each, network.module)[0] for each in matrices}
        norms = [child for child in network.module.modules() if isinstance(child, LEFT_ALONE)]
        known = {id(parameter) for norm in norms for parameter in norm.parameters(recurse=False)}
        learning = [(name, each) for name, each in network.module.named_parameters() if each.requires_grad]
        left = [name for name, each in learning if touches(name) and name not in treated and id(each) not in known]
        rows = left_rows({"not known to belong to a weight matrix": left})
        if self.alpha is not None and not isinstance(getattr(network, "loss", None), LossByBatch):
            rows.append(f"alpha={self.alpha} had no effect: the loss has no batches(), so one gradient was computed")
        return super().notes(network) + rows

    def _factors(self, weights: Tensor, downhill: Tensor, kernel_dimensions: int = 0) -> Tensor:
        """Return a factor for each vector in the last dimension, or for each kernel.

        With `kernel_dimensions`, that many first dimensions are the positions in a kernel.
        """
        if kernel_dimensions:
            shape = weights.shape[kernel_dimensions:]
            weights, downhill = (each.reshape(-1, *shape).movedim(0, -1) for each in (weights, downhill))
        shares = torch.cosine_similarity(weights, downhill, dim=-1).clamp(min=self.least, max=1.0)
        return shares if kernel_dimensions else shares.unsqueeze(-1)


def matrices_in(module: nn.Module, touches: Touches) -> list[Matrix]:
    """Return the weight matrices that `touches` accepts; raise ValueError that names undeclared ones among them."""
    inventory = take_inventory(module)
    inventory = replace(inventory, undeclared=tuple(filter(touches, inventory.undeclared)))
    found = [matrix for matrix in inventory.declared(exclude=False).matrices if touches(matrix.name)]
    refuse_not_real(found)
    return found


def _downhill(network: MethodNetwork, alpha: float | None) -> dict[str, Tensor]:
    """Return the negative gradient of each trained parameter; with alpha its running average over the batches."""
    learning = {name: parameter for name, parameter in network.module.named_parameters() if parameter.requires_grad}
    assert network.loss is not None, "the manager has checked it"
    with undisturbed(network.module, network.target):
        if alpha is None or not isinstance(network.loss, LossByBatch):
            return dict(zip(learning, torch._foreach_neg(_gradients(network.loss, learning)), strict=True))
        average = [torch.zeros_like(parameter) for parameter in learning.values()]
        count = 0
        for loss in network.loss.batches():
            torch._foreach_lerp_(average, _gradients(loss, learning), alpha)
            count += 1
    if not count:
        raise ValueError("dash: the loss has no batch of data for the average of gradients")
    torch._foreach_neg_(average)
    return dict(zip(learning, average, strict=True))


def _gradients(loss: Loss, learning: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    value = loss()
    if not isinstance(value, Tensor) or not value.requires_grad or value.numel() != 1:
        raise ValueError("dash: the loss has no gradient: give a function that returns one number, not detached")
    return torch.autograd.grad(value, list(learning.values()), materialize_grads=True)


def _bias_of(matrix: Matrix, module: nn.Module) -> tuple[str, slice]:
    """Return the name of the bias in a matrix's layer, and which of its entries belong to this matrix."""
    owner_name, _, weight = matrix.parameter.rpartition(".")
    owner = module.get_submodule(owner_name)
    bias, rows = f"{matrix.name.rpartition('.')[0]}.bias", slice(None)
    if isinstance(owner, RNNBase | RNNCellBase | nn.MultiheadAttention):
        # One bias holds the parts for all matrices, in the order of the matrices.
        stored = module.get_parameter(matrix.parameter)
        first = (matrix.view.storage_offset() - stored.storage_offset()) // stored.stride(0)
        bias = f"{owner_name}.{weight.replace('weight', 'bias')}"
        if isinstance(owner, nn.MultiheadAttention):
            first = first if weight == "in_proj_weight" else "qkv".index(weight[0]) * owner.embed_dim
            bias = f"{owner_name}.in_proj_bias"
        rows = slice(first, first + matrix.d_out)
    return bias.removeprefix("."), rows


def _kernel_dimensions(matrix: Matrix, module: nn.Module) -> int:
    """Return how many of the view's first dimensions are positions in a kernel."""
    owner = dict(module.named_modules()).get(matrix.name.rpartition(".")[0])
    if "depthwise" in matrix.caveats:  # here each kernel is a row
        return 0
    if isinstance(owner, _ConvNd):
        return len(owner.kernel_size)
    if matrix.kernel_positions > 1:
        raise ValueError(f"dash: matrix {matrix.name!r} does not say which dimensions of its view are kernel positions")
    return 0


def _seen_as(view: Tensor, parameter: Tensor, values: Tensor) -> Tensor:
    """Return values of the parameter's shape, indexed as the view indexes the parameter."""
    stored = torch.empty_like(parameter).copy_(values)  # in the order in which the parameter is stored
    return stored.as_strided(view.shape, view.stride(), view.storage_offset() - parameter.storage_offset())

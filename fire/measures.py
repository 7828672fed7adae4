"""Numbers that say how plastic a network is, how far from isometry, and how much it was changed, summed in float64.

DfI(W) = ||W'W - I||_F^2 on the smaller side, of W over its published scale: 0 for what FIRE leaves (arXiv 2602.08040).
SFE(W, W') = ||W - W'||_F^2 of the stored weights. `measure` asks for all there is: of units and features (activity.py),
of singular values (spectra.py), of norms (weights.py) and of the loss's Hessian (curvature.py).
"""

import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TypeAlias, overload

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .activity import HeadInput, Watch, feature_measures, missing_measures, unit_measures
from .curvature import top_eigenvalue
from .matrices import Matrix, Patterns, Split, take_inventory
from .network import Loss, Network
from .polar import double
from .spectra import gram, gram_measures
from .undisturbed import undisturbed
from .units import hidden_layers
from .weights import norms, weight_measures, weights_with_matrices

Run: TypeAlias = Callable[[], object]  # runs a network's module on examples


def feature_width(network: Network) -> int | None:
    """How many numbers the last layer of its head is given for each example; None where that is not known."""
    matrices = take_inventory(network.module.get_submodule(network.head[0])).matrices if network.head else ()
    return matrices[-1].d_in if matrices else None


def measure(
    network: Network,
    reference: Mapping[str, Tensor] | None = None,
    hessian: bool = False,
    loss: Loss | None = None,
    run: Run | None = None,
) -> dict[str, float]:
    """Every measure of one network, by name, and of its layers, weights and matrices as `name/layer`.

    Of the weights: `deviation`, `spread`, `weight_norm`, `effective_learning_rate` (the mean of its weights') and `sfe`
    to the reference, by default the initial values. Of one pass forward and backward through `loss`, if it is given:
    `gradient_norm`; of hidden units that are known, `dormant`, `dead` and `active`; of what the head is given,
    `effective_rank`, `stable_rank` and `feature_norm`: no rank is higher than the number of examples, so that four for
    each feature are few enough. `run`, which runs the module on as many, is then asked for these instead of the loss,
    and `feature_examples` says how many there were. On request `hessian`, its top eigenvalue, which takes longer by
    far. What cannot be asked of a network is absent, and a warning says so. Nothing is changed: gradients, optimizer,
    random streams and buffers stay as they were, and all values come from the device at once.
    """
    if hessian and loss is None:
        raise ValueError(f"network {network.name!r} has no loss, whose Hessian was asked for")
    matrices = take_inventory(network.module).matrices
    trained = {name: weight for name, weight in network.module.named_parameters() if weight.requires_grad}
    weights = weights_with_matrices(trained, matrices)
    found = gram_measures(matrices) | weight_measures(network, trained, weights, reference)
    top: dict[str, float] = {}
    if loss is not None:
        layers = hidden_layers(network.module)
        if missing := missing_measures(network, layers):
            warnings.warn(missing, stacklevel=2)
        with (
            undisturbed(network.module, network.target),
            Watch(network.module, layers) as watch,
            HeadInput(network) as head_input,
            sdpa_kernel(SDPBackend.MATH) if hessian else nullcontext(),  # fused attention has one derivative only
        ):
            value = loss()
            found |= unit_measures(watch)
            if head_input.latest is not None and run is None:
                found |= feature_measures(head_input.latest)
            if trained:
                parameters = list(trained.values())
                gradients = torch.autograd.grad(
                    value, parameters, create_graph=hessian, allow_unused=True, materialize_grads=True
                )
                found |= norms("gradient_norm", dict(zip(trained, gradients, strict=True)), weights)
                if hessian:
                    top["hessian"] = top_eigenvalue(gradients, parameters)
    if run is not None:
        with undisturbed(network.module, network.target), HeadInput(network) as head_input:
            run()
        if (features := head_input.latest) is not None:
            examples = features.shape[-2] if features.dim() <= 3 else len(features)
            count = torch.tensor(float(examples), device=features.device)
            found |= feature_measures(features) | {"feature_examples": count}
    values = torch.stack([value.double() for value in found.values()]).tolist() if found else []
    return dict(zip(found, values, strict=True)) | top


@overload
def deviation_from_isometry(matrix_or_module: Tensor | Matrix) -> float: ...
@overload
def deviation_from_isometry(
    matrix_or_module: nn.Module, include: Patterns = None, exclude: Patterns = None, split: Split = None
) -> dict[str, float]: ...
def deviation_from_isometry(
    matrix_or_module: Tensor | Matrix | nn.Module,
    include: Patterns = None,
    exclude: Patterns = None,
    split: Split = None,
) -> float | dict[str, float]:
    """DfI over the published scale, by name, of each matrix of a module or of a `Matrix`; of a bare tensor as it is.

    A stack (kernel positions, groups, ensemble members) counts as its worst matrix. Pass modules where you can: a
    bare tensor does not say its scale, so what FIRE leaves there has sqrt(d_out / d_in) in place of 1.
    """
    if isinstance(matrix_or_module, nn.Module):
        inventory = take_inventory(matrix_or_module, include, exclude, split).declared()
        return {matrix.name: deviation_from_isometry(matrix) for matrix in inventory.matrices}
    if isinstance(matrix_or_module, Matrix):
        return _deviation(double(matrix_or_module.view) / matrix_or_module.scale)
    if matrix_or_module.ndim not in (2, 3):
        shape = tuple(matrix_or_module.shape)
        raise ValueError(f"a tensor of shape {shape} is no matrix nor a stack of them; pass the module that holds it")
    return _deviation(double(matrix_or_module.detach()))


@torch.no_grad()
def _deviation(stack: Tensor) -> float:
    product = gram(stack)
    product.diagonal(dim1=-2, dim2=-1).sub_(1.0)
    return float(product.square().sum((-2, -1)).amax())


def squared_frobenius_error(before: Tensor, after: Tensor) -> float:
    """||before - after||_F^2, of all matrices in a stack together."""
    if before.shape != after.shape:
        raise ValueError(f"shapes {tuple(before.shape)} and {tuple(after.shape)} differ")
    return float((double(before.detach()) - double(after.detach())).square().sum())


@torch.no_grad()
def singular_values(matrix: Matrix) -> Tensor:
    """Of each matrix in the stack, over the published scale; ascending, on the CPU, NaN where weights are not finite.

    Roots of the Gram matrix's eigenvalues, so right to 1e-8 of the largest: enough for a measure or a histogram.
    """
    stack = double(matrix.view).reshape(-1, matrix.d_out, matrix.d_in) / matrix.scale
    if not torch.isfinite(stack).all():
        return torch.full((stack.shape[0], min(matrix.d_out, matrix.d_in)), torch.nan, dtype=torch.float64)
    largest = stack.abs().amax((-2, -1), keepdim=True).clamp_min(torch.finfo(stack.dtype).tiny)
    eigenvalues = torch.linalg.eigvalsh(gram(stack / largest))
    return (eigenvalues.clamp_min(0.0).sqrt() * largest[..., 0]).cpu()

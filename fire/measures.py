"""Measures of a network: plasticity, deviation from isometry (DfI) and squared Frobenius error (SFE), in float64.

DfI(W) = ||W'W - I||_F^2 on the smaller side, where W is the weight divided by its published scale; it is 0 right after
FIRE (arXiv 2602.08040). SFE(W, W') = ||W - W'||_F^2 of the stored weights. `measure` collects these and the measures of
units and features (activity.py), singular values (spectra.py), norms (weights.py) and curvature (curvature.py).
"""

import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import TypeAlias, overload

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .activity import HeadInput, Watch, feature_measures, missing_measures, silent_layers, unit_measures
from .curvature import top_eigenvalue
from .devices import double, is_full, stacked
from .layers import Matrix
from .matrices import last_layers, take_inventory
from .network import Loss, Network
from .patterns import Patterns, Split
from .spectra import deviations_, eigenvalues, gram, gram_measures
from .undisturbed import undisturbed
from .units import hidden_layers
from .weights import norms, weight_measures, weights_with_matrices

Run: TypeAlias = Callable[[], object]  # runs a network's module on examples


def feature_width(network: Network) -> int | None:
    """Return the number of inputs of the head's last layer; None if it is not known."""
    matrices = last_layers(network.module, network.head[:1]).values() if network.head else ()
    return next((matrix.d_in for matrix in matrices), None)


def measure(
    network: Network,
    reference: Mapping[str, Tensor] | None = None,
    hessian: bool = False,
    loss: Loss | None = None,
    run: Run | None = None,
) -> dict[str, float]:
    """Return every measure of one network by name, and those of its layers, weights and matrices as `name/layer`.

    From the weights: `deviation`, `spread`, `weight_norm`, `effective_learning_rate` (the mean over its weights) and
    `sfe` to the reference, by default the initial values. From one forward and backward pass through `loss`, if given:
    `gradient_norm`; for known hidden units `dormant`, `dead` and `active`; for the head's inputs (features)
    `effective_rank`, `stable_rank` and `feature_norm`. A rank is never above the number of examples, so there should be
    about four examples per feature. If `run` is given, which runs the module on so many examples, the feature measures
    come from it instead of the loss, and `feature_examples` is their number. With `hessian`, the Hessian's top
    eigenvalue, which takes far longer. Measures that the network lacks are absent, and a warning says so. Nothing is
    changed: gradients, optimizer, random generators and buffers are as before. All values except `hessian` are fetched
    from the device at once.
    """
    if hessian and loss is None:
        raise ValueError(f"network {network.name!r} has no loss: the Hessian needs one")
    matrices = take_inventory(network.module).matrices
    trained = {name: weight for name, weight in network.module.named_parameters() if weight.requires_grad}
    for name, weight in (*trained.items(), *((matrix.name, matrix.view) for matrix in matrices)):
        if weight.is_complex():
            raise ValueError(f"network {network.name!r}: {name!r} is complex; there are measures for real numbers only")
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
            sdpa_kernel(SDPBackend.MATH) if hessian else nullcontext(),  # fused attention has no second derivative
        ):
            value = loss()
            if silent := silent_layers(layers, watch):
                warnings.warn(f"network {network.name!r}: {silent}", stacklevel=2)
            found |= unit_measures(watch)
            if head_input.latest is not None and run is None:
                found |= feature_measures(head_input.latest)
            if trained:
                parameters = list(trained.values())
                gradients = torch.autograd.grad(value, parameters, create_graph=hessian, materialize_grads=True)
                found |= norms("gradient_norm", dict(zip(trained, gradients, strict=True)), weights)
                if hessian:
                    top["hessian"] = top_eigenvalue(gradients, parameters)
    if run is not None:
        with (
            undisturbed(network.module, network.target),
            HeadInput(network, every_pass=True) as head_input,
            torch.no_grad(),
        ):
            run()
        if (features := head_input.latest) is not None:
            examples = features.shape[-2] if features.dim() <= 3 else len(features)
            count = torch.tensor(float(examples), device=features.device)
            found |= feature_measures(features) | {"feature_examples": count}
    values = stacked(map(double, found.values())).tolist() if found else []
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
    """Return DfI of each matrix of a module, by name, or of one `Matrix`, over its scale; of a tensor without a scale.

    For a stack (kernel positions, groups, ensemble members) it is the worst matrix's. Pass a module where you can: the
    scale of a tensor is unknown, and after FIRE its singular values are sqrt(d_out / d_in) rather than 1.
    """
    if isinstance(matrix_or_module, nn.Module):
        inventory = take_inventory(matrix_or_module, include, exclude, split).declared()
        return {matrix.name: deviation_from_isometry(matrix) for matrix in inventory.matrices}
    if isinstance(matrix_or_module, Matrix):
        return float(deviations_(gram(double(matrix_or_module.view) / matrix_or_module.scale)).amax())
    if matrix_or_module.ndim not in (2, 3):
        shape = tuple(matrix_or_module.shape)
        raise ValueError(f"a tensor of shape {shape} is not a matrix or a stack of them; pass the module that holds it")
    return float(deviations_(gram(double(matrix_or_module.detach()))).amax())


def squared_frobenius_error(before: Tensor, after: Tensor) -> float:
    """Return ||before - after||_F^2, summed over all matrices of a stack."""
    return squared_frobenius_errors([(before.detach(), after.detach())])[0]


def squared_frobenius_errors(pairs: Iterable[tuple[Tensor, Tensor]]) -> list[float]:
    """Return ||before - after||_F^2 of each pair; all are fetched from the device at once."""
    errors = []
    for before, after in pairs:
        if before.shape != after.shape:
            raise ValueError(f"shapes {tuple(before.shape)} and {tuple(after.shape)} differ")
        errors.append((double(before) - double(after)).square().sum())
    return stacked(errors).cpu().tolist() if errors else []


def singular_values(matrix: Matrix) -> Tensor:
    """Return each matrix's singular values over the published scale, ascending, on the CPU; NaN if not finite.

    They are square roots of the Gram matrix's eigenvalues, so they are exact to 1e-8 of the largest only: enough for a
    measure or a histogram.
    """
    return singular_values_of([matrix])[0]


@torch.no_grad()
def singular_values_of(matrices: Sequence[Matrix]) -> list[Tensor]:
    """Return the singular values of several matrices, on a GPU with one call for many Gram matrices of a size."""
    alike: dict[Hashable, dict[int, tuple[Tensor, Tensor]]] = {}
    found: dict[int, Tensor] = {}
    for number, matrix in enumerate(matrices):
        stack = double(matrix.view).reshape(-1, matrix.d_out, matrix.d_in) / matrix.scale
        largest = stack.abs().amax((-2, -1), keepdim=True).clamp_min(torch.finfo(stack.dtype).tiny)
        product = gram(stack / largest)
        key = product.device, product.shape[-1]
        group = alike.setdefault(key, {})
        group[number] = product, largest[..., 0]
        if is_full(product for product, _ in group.values()):
            found |= _decomposed(alike.pop(key))
    for group in alike.values():
        found |= _decomposed(group)
    return [found[number] for number in range(len(matrices))]


def _decomposed(group: Mapping[int, tuple[Tensor, Tensor]]) -> dict[int, Tensor]:
    """Return the singular values, by number, of matrices with these Gram matrices and these largest entries."""
    products, largest = zip(*group.values(), strict=True)
    values = (eigenvalues(torch.cat(products)).sqrt() * torch.cat(largest)).cpu()
    return dict(zip(group, values.split([len(product) for product in products]), strict=True))

"""Measures of the weights: their norms, their change, and the effective learning rate.

Effective learning rate: if a weight's length has no effect on the output, as before a normalisation, a step rotates the
weight by an angle proportional to the learning rate divided by ||W||_F^2 with SGD, or divided by ||W||_F with Adam and
similar optimizers, whose steps do not shrink with the gradient. Van Laarhoven, "L2 Regularization versus Batch and
Weight Normalization", 2017, arXiv 1706.05350; Lyle et al., "Normalization and Effective Learning Rates in Reinforcement
Learning", NeurIPS 2024, arXiv 2407.01800.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from .devices import device_with_float64, double, stacked
from .layers import Matrix
from .network import Network


def weights_with_matrices(trained: Iterable[str], matrices: Sequence[Matrix]) -> list[str]:
    """Return the names of parameters that hold matrices; one may hold several, as attention's query, key and value."""
    holders = {matrix.parameter for matrix in matrices}
    return [name for name in trained if name in holders]


@torch.no_grad()
def weight_measures(
    network: Network, trained: Mapping[str, Tensor], weights: Sequence[str], reference: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """Return `weight_norm`, `sfe` and `effective_learning_rate` of all trained parameters, and of each weight.

    The overall `effective_learning_rate` is the mean over the weights. A stack counts as one weight.
    """
    found = norms("weight_norm", trained, weights) | _changes(network, trained, weights, reference)
    if network.optimizer is None:
        return found
    power = 2 if isinstance(network.optimizer, torch.optim.SGD) else 1
    rates = learning_rates(network.optimizer)
    each = {
        f"effective_learning_rate/{name}": rates[id(trained[name])] / found[f"weight_norm/{name}"] ** power
        for name in weights
        if id(trained[name]) in rates
    }
    mean = {"effective_learning_rate": stacked(each.values()).mean()} if each else {}
    return found | mean | each


def learning_rates(optimizer: torch.optim.Optimizer) -> dict[int, float | Tensor]:
    """Return the learning rate of each parameter, by its id: that of its group, unless the optimizer says otherwise."""
    own: Callable[[], dict[int, float | Tensor]] | None = getattr(optimizer, "learning_rates", None)
    if callable(own):
        return own()
    return {id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]}


def _changes(
    network: Network, trained: Mapping[str, Tensor], weights: Sequence[str], reference: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """Return the squared Frobenius errors to the reference; none if there is no reference."""
    before = network.initial if reference is None else reference
    missing = trained.keys() - before.keys()
    if missing and reference is not None:
        raise ValueError(f"network {network.name!r}: the reference has no value for {min(missing)!r}")
    if missing:
        return {}
    changes = {name: double(weight.detach()) - double(before[name]) for name, weight in trained.items()}
    return {name: value.square() for name, value in norms("sfe", changes, weights).items()}


def norms(measure: str, tensors: Mapping[str, Tensor], weights: Sequence[str]) -> dict[str, Tensor]:
    """Return the norm of all tensors together, and that of each weight."""
    detached = {name: tensor.detach().to(device_with_float64(tensor)) for name, tensor in tensors.items()}
    lengths = {name: torch.linalg.vector_norm(tensor, dtype=torch.float64) for name, tensor in detached.items()}
    together = {measure: torch.linalg.vector_norm(stacked(lengths.values()))} if lengths else {}
    return together | {f"{measure}/{name}": lengths[name] for name in weights}

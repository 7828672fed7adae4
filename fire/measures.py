"""Numbers that say how far a network is from isometry and how much it was changed, accumulated in float64.

DfI(W) = ||W'W - I||_F^2 on the smaller side, of W over its published scale: 0 for what FIRE leaves (arXiv 2602.08040).
SFE(W, W') = ||W - W'||_F^2 of the stored weights.
"""

from typing import overload

import torch
from torch import Tensor, nn

from .matrices import Matrix, Patterns, Split, take_inventory
from .polar import double


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
    gram = _gram(stack)
    gram.diagonal(dim1=-2, dim2=-1).sub_(1.0)
    return float(gram.square().sum((-2, -1)).amax())


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
    eigenvalues = torch.linalg.eigvalsh(_gram(stack / largest))
    return (eigenvalues.clamp_min(0.0).sqrt() * largest[..., 0]).cpu()


def _gram(matrix: Tensor) -> Tensor:
    return matrix @ matrix.mT if matrix.shape[-2] < matrix.shape[-1] else matrix.mT @ matrix

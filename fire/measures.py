"""Numbers that say how far a network is from isometry and how much it was changed, accumulated in float64.

DfI(W) = ||W'W - I||_F^2 on the smaller side, of W divided by its published scale: 0 for what FIRE leaves behind (arXiv 2602.08040).
SFE(W, W') = ||W - W'||_F^2 of the stored weights.
"""

from typing import overload

import torch
from torch import Tensor, nn

from .matrices import Matrix, take_inventory
from .polar import double


@overload
def deviation_from_isometry(matrix_or_module: Tensor | Matrix) -> float: ...
@overload
def deviation_from_isometry(matrix_or_module: nn.Module) -> dict[str, float]: ...
def deviation_from_isometry(matrix_or_module: Tensor | Matrix | nn.Module) -> float | dict[str, float]:
    """DfI of a plain matrix as it is; of each matrix of a module over its published scale, by name.

    A stack (kernel positions, groups, members) counts as its worst matrix.
    """
    if isinstance(matrix_or_module, nn.Module):
        return {matrix.name: deviation_from_isometry(matrix) for matrix in take_inventory(matrix_or_module).declared().matrices}
    if isinstance(matrix_or_module, Matrix):
        return deviation_from_isometry(double(matrix_or_module.view) / matrix_or_module.scale)
    gram = _gram(double(matrix_or_module.detach()))
    gram.diagonal(dim1=-2, dim2=-1).sub_(1.0)
    return float(gram.square().sum((-2, -1)).amax())


def squared_frobenius_error(before: Tensor, after: Tensor) -> float:
    """||before - after||_F^2, of all matrices in a stack together."""
    return float((double(before.detach()) - double(after.detach())).square().sum())


@torch.no_grad()
def singular_values(matrix: Matrix) -> Tensor:
    """Singular values over the published scale, (matrices in the stack, smaller side), ascending, on the CPU; NaN where weights are not finite.

    They are roots of the Gram matrix's eigenvalues: exact to 1e-8 of the largest, which is all a histogram or a null direction asks for.
    """
    scaled = double(matrix.view).flatten(0, -3) if matrix.view.ndim > 2 else double(matrix.view)[None]
    scaled = scaled / matrix.scale
    if not torch.isfinite(scaled).all():
        return scaled.new_full((scaled.shape[0], min(scaled.shape[1:])), torch.nan).cpu()
    largest = scaled.abs().amax((-2, -1), keepdim=True).clamp_min(torch.finfo(scaled.dtype).tiny)
    values = torch.linalg.eigvalsh(_gram(scaled / largest))
    return (values.clamp_min(0.0).sqrt() * largest[..., 0]).cpu()


def _gram(matrix: Tensor) -> Tensor:
    return matrix @ matrix.mT if matrix.shape[-2] < matrix.shape[-1] else matrix.mT @ matrix

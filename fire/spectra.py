"""Deviation from isometry and spread, from Gram matrices in float64, with one product for all matrices of a shape.

DfI(W) = ||W'W - I||_F^2 on the smaller side, where W is the weight divided by its published scale (arXiv 2602.08040).
Spread is the condition number, the largest singular value divided by the smallest; it is 1 for an isometry. A Gram
matrix gives singular values to 1e-8 of the largest only, so the spread is capped at 1e8, also for rank-deficient
matrices and for zero.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .devices import device_with_float64, stacked
from .layers import Matrix

LARGEST_SPREAD = 1e8


def gram(matrix: Tensor) -> Tensor:
    """Return the Gram matrix of the smaller side."""
    return matrix @ matrix.mT if matrix.shape[-2] < matrix.shape[-1] else matrix.mT @ matrix


def eigenvalues(grams: Tensor) -> Tensor:
    """Return each Gram matrix's eigenvalues, ascending and at least 0; NaN, and no error, if an entry is not finite."""
    finite = grams.isfinite().all(-1).all(-1)[..., None, None]
    values = torch.linalg.eigvalsh(torch.where(finite, grams, torch.zeros_like(grams))).clamp_min(0.0)
    return torch.where(finite[..., 0], values, torch.full_like(values, torch.nan))


def spread(values: Tensor) -> Tensor:
    """Return the square root of the largest eigenvalue divided by the smallest, at most LARGEST_SPREAD."""
    smallest, largest = values[..., 0], values[..., -1]
    ratio = torch.where(largest == 0, largest, smallest / largest)
    return ratio.sqrt().clamp_min(1 / LARGEST_SPREAD).reciprocal()


def deviations_(grams: Tensor) -> Tensor:
    """Return ||G - I||_F^2 of each Gram matrix G; G - I replaces it in memory."""
    grams.diagonal(dim1=-2, dim2=-1).sub_(1.0)
    return grams.square().sum((-2, -1))


@torch.no_grad()
def gram_measures(matrices: Sequence[Matrix]) -> dict[str, Tensor]:
    """Return `deviation/matrix` and `spread/matrix`, of a stack's worst matrix; the sum of these deviations as
    `deviation` and the worst spread as `spread`. The values are tensors on the device."""
    alike: dict[tuple[int, int], list[Matrix]] = {}
    for matrix in matrices:
        short, long = sorted((matrix.d_out, matrix.d_in))
        alike.setdefault((short, long), []).append(matrix)
    found: dict[str, Tensor] = {}
    for group in alike.values():
        grams, sizes = _grams(group)
        spreads = spread(eigenvalues(grams))
        parts = zip(group, deviations_(grams).split(sizes), spreads.split(sizes), strict=True)
        for matrix, own_deviations, own_spreads in parts:
            found[f"deviation/{matrix.name}"] = own_deviations.amax()
            found[f"spread/{matrix.name}"] = own_spreads.amax()
    if found:
        worst = {name: [found[f"{name}/{matrix.name}"] for matrix in matrices] for name in ("deviation", "spread")}
        found["deviation"] = stacked(worst["deviation"]).sum()
        found["spread"] = stacked(worst["spread"]).amax()
    return found


def _grams(alike: Sequence[Matrix]) -> tuple[Tensor, list[int]]:
    """Return the Gram matrices of the matrices divided by their scales, and the number of matrices in each stack."""
    sizes = [matrix.view[..., 0, 0].numel() for matrix in alike]
    first = alike[0]
    short, long = sorted((first.d_out, first.d_in))
    stack = torch.empty(sum(sizes), short, long, dtype=torch.float64, device=device_with_float64(first.view))
    for part, matrix in zip(stack.split(sizes), alike, strict=True):
        view = matrix.view if matrix.d_out == short else matrix.view.mT
        part.view(view.shape).copy_(view).div_(matrix.scale)
    return stack @ stack.mT, sizes

"""Curvature of the loss: the top eigenvalue of its Hessian, by the Lanczos method with Hessian-vector products.

Each product is a second backward pass: Pearlmutter, "Fast Exact Multiplication by the Hessian", Neural Computation
1994. The method is Lanczos, "An Iteration Method for the Solution of the Eigenvalue Problem", 1950, as a three-term
recurrence. It does not reorthogonalise: that can produce copies of an eigenvalue that was already found, but these do
not change the largest one (Paige 1980).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .devices import device_with_float64

STEPS = 40
TOLERANCE = 1e-3


def top_eigenvalue(gradients: Sequence[Tensor], parameters: Sequence[Tensor]) -> float:
    """Return the largest eigenvalue of the Hessian. The gradients must have been computed with `create_graph=True`.

    The iteration stops when the residual shows that the relative error is within TOLERANCE, or after STEPS steps; then
    the result is a lower bound. The starting direction is pseudo-random and always the same. Each step waits for the
    device, so this is for occasional use.
    """
    size = sum(parameter.numel() for parameter in parameters)
    # A separate generator on the CPU: the run's own generators do not advance, and every device starts alike.
    start = torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    direction = (start / start.norm()).to(device_with_float64(parameters[0]))
    before, beta = torch.zeros_like(direction), 0.0
    diagonal: list[float] = []
    off_diagonal: list[float] = []
    top = math.nan
    for _ in range(min(STEPS, size)):
        image = hessian_product(gradients, parameters, direction) - beta * before
        diagonal.append(float(image @ direction))
        image -= diagonal[-1] * direction
        beta = float(image.norm())
        if not (math.isfinite(diagonal[-1]) and math.isfinite(beta)):
            return math.nan
        lower = torch.tensor(off_diagonal, dtype=torch.float64).diag(-1)  # all that `eigh` reads beside the diagonal
        values, vectors = torch.linalg.eigh(torch.tensor(diagonal, dtype=torch.float64).diag() + lower)
        top = float(values[-1])
        if beta * abs(float(vectors[-1, -1])) <= TOLERANCE * abs(top) or beta == 0.0:
            break
        off_diagonal.append(beta)
        before, direction = direction, image / beta
    return top


def hessian_product(gradients: Sequence[Tensor], parameters: Sequence[Tensor], vector: Tensor) -> Tensor:
    """Return H v in float64; its entries are zero for parameters on which the gradient does not depend."""
    parts = vector.split([parameter.numel() for parameter in parameters])
    along = [part.view_as(parameter).to(parameter) for part, parameter in zip(parts, parameters, strict=True)]
    bent = [(gradient, part) for gradient, part in zip(gradients, along, strict=True) if gradient.requires_grad]
    if not bent:
        return torch.zeros_like(vector)
    outputs, directions = zip(*bent, strict=True)
    products = torch.autograd.grad(outputs, parameters, directions, retain_graph=True, materialize_grads=True)
    return torch.cat([product.reshape(-1).to(vector) for product in products])

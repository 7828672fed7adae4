"""The polar factor of a matrix, which is the nearest (semi-)orthogonal matrix, by three solvers.

W = U P, with U'U = I on the smaller side and P positive semidefinite; U = W (W'W)^(-1/2).
Sources: FIRE (arXiv 2602.08040) for the Newton-Schulz steps, Polar Express (arXiv 2505.16932) for optimal polynomials.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from .devices import double
from .nearest import choices

Solver = Literal["newton-schulz", "exact", "polar-express"]
SOLVERS: tuple[str, ...] = get_args(Solver)
DEFAULT_STEPS = {"newton-schulz": 10, "polar-express": 9}

# Odd quintics a x + b x^3 + c x^5. Each minimises the largest distance from 1 over the interval to which the earlier
# ones map [1e-4, 1]; the upper end is widened by a thousandth, so that rounding stays inside (docs/fire.md).
OPTIMAL_QUINTICS = (
    (8.501389, -25.188682, 18.660096),
    (4.245345, -3.145545, 0.582967),
    (4.221004, -3.128732, 0.581055),
    (4.121257, -3.059569, 0.573194),
    (3.756491, -2.802639, 0.544017),
    (2.858202, -2.132006, 0.468443),
    (2.021438, -1.403092, 0.389583),
)
PLAIN_QUINTIC = (1.875, -1.25, 0.375)  # fifth-order Newton-Schulz, for the last steps near 1
STEPS_PER_GRAM = 3  # with more steps on one float32 Gram matrix, rounding errors in null directions grow too large


@torch.no_grad()
def polar_factor(matrix: Tensor, solver: Solver = "newton-schulz", steps: int | None = None) -> Tensor:
    """Return the polar factor of each (d_out, d_in) matrix in the last two dimensions; shape, dtype and device stay.

    `steps` is for the iterative solvers (None: newton-schulz 10, as published; polar-express 9); `exact` has no steps.
    Half precision is computed in float32, and `exact` always computes in float64.
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver={solver} is unknown; known are {choices(solver, SOLVERS)}")
    if steps is not None and steps < 1:
        raise ValueError(f"steps={steps} must be at least 1")
    if matrix.ndim < 2 or not matrix.is_floating_point():
        raise ValueError(
            f"a tensor of {matrix.dtype} and shape {tuple(matrix.shape)} given; allowed is a real matrix or a stack of "
            "such matrices"
        )
    if matrix.numel() == 0:
        return matrix.clone()
    if not torch.isfinite(matrix).all():
        raise ValueError(f"the matrix of shape {tuple(matrix.shape)} holds NaN or infinity")
    if steps is not None and solver == "exact":
        raise ValueError(f"steps={steps} given: solver exact has no steps; leave them out")
    wide = matrix.shape[-2] < matrix.shape[-1]
    stack = matrix.mT if wide else matrix
    stack = stack.reshape(-1, *stack.shape[-2:])
    with torch.autocast(matrix.device.type, enabled=False), full_precision():  # or the result is not an isometry
        if solver == "exact":
            kinds = (matrix.dtype, torch.float32)
            factor = exact(double(stack), precision=min(torch.finfo(kind).eps for kind in kinds))
        else:
            iterate = newton_schulz if solver == "newton-schulz" else polar_express
            factor = iterate(stack.float() if stack.element_size() < 4 else stack, steps or DEFAULT_STEPS[solver])
    factor = factor.to(matrix)
    return (factor.mT if wide else factor).reshape(matrix.shape)


@contextmanager
def full_precision() -> Iterator[None]:
    """Run the block with float32 products on a GPU, and not with TF32."""
    products = torch.backends.cuda.matmul
    try:
        before, full, choose = torch.get_float32_matmul_precision(), "highest", torch.set_float32_matmul_precision
    except RuntimeError:  # chosen by torch's newer switch, which must not be mixed with the older one
        before, full, choose = products.fp32_precision, "ieee", partial(setattr, products, "fp32_precision")
    choose(full)
    try:
        yield
    finally:
        choose(before)


def newton_schulz(stack: Tensor, steps: int) -> Tensor:
    """Iterate X <- 1.5 X - 0.5 X X'X, which moves every singular value in (0, sqrt 3) towards 1 and keeps 0."""
    factor = normalise(stack)
    for _ in range(steps):
        factor = torch.baddbmm(factor, factor, factor.mT @ factor, beta=1.5, alpha=-0.5)
    return factor


def polar_express(stack: Tensor, steps: int) -> Tensor:
    """Iterate X <- X (a I + b X'X + c (X'X)^2) with the optimal quintics, then the plain one; singular value 0 stays 0.

    For a tall X the small symmetric factors of several steps are multiplied first: the Gram form (Zhang et al. 2026).
    """
    factor = normalise(stack)
    quintics = (OPTIMAL_QUINTICS + (PLAIN_QUINTIC,) * steps)[:steps]
    run = STEPS_PER_GRAM if stack.shape[-2] >= 2 * stack.shape[-1] else 1
    for start in range(0, steps, run):
        gram = factor.mT @ factor
        if start == 0:
            # The root of the Gram matrix's norm bounds the largest singular value more closely than the norm of X.
            bound = torch.linalg.matrix_norm(gram, keepdim=True).clamp_min(torch.finfo(gram.dtype).tiny)
            factor, gram = factor / bound.sqrt(), gram / bound
        step = product = quintic(gram, *quintics[start])
        for coefficients in quintics[start + 1 : start + run]:
            gram = step @ gram @ step
            step = quintic(gram, *coefficients)
            product = product @ step
        factor = factor @ product
    return factor


def quintic(gram: Tensor, a: float, b: float, c: float) -> Tensor:
    """Return a I + b G + c G^2; multiplied by it, a matrix's singular value s becomes a s + b s^3 + c s^5."""
    step = torch.baddbmm(b * gram, gram, gram, alpha=c)
    step.diagonal(dim1=-2, dim2=-1).add_(a)
    return step


def exact(stack: Tensor, precision: float) -> Tensor:
    """Return X V L^(-1/2) V' from X'X = V L V' in float64; directions where that is too imprecise go to `complete`."""
    stack = normalise(stack)
    values, vectors = torch.linalg.eigh(stack.mT @ stack)
    # The error of an eigenvalue is about the largest one times float64's precision. They are in ascending order.
    sound = values * precision > values[:, -1:] * torch.finfo(values.dtype).eps
    roots = torch.where(sound, values, 1.0).rsqrt()
    factor = stack @ (vectors * roots[:, None, :] @ vectors.mT)
    for index, count in enumerate((~sound).sum(-1).tolist()):
        if count:
            factor[index] = complete(stack[index] @ vectors[index], roots[index], vectors[index], count)
    return factor


def complete(images: Tensor, roots: Tensor, vectors: Tensor, count: int) -> Tensor:
    """Return an isometry for any rank; the first `count` directions have eigenvalues too small to be precise.

    A Householder QR gives a basis orthogonal to the images of all other directions; it is complete even if the `count`
    small images are zero. The singular vectors of the small images in this basis are complete too. Null directions are
    completed deterministically.
    """
    others = images[:, count:] * roots[count:]
    basis = torch.linalg.qr(torch.cat([others, images[:, :count]], dim=1))[0][:, -count:]
    left, _, right = torch.linalg.svd(basis.mT @ images[:, :count])
    return torch.cat([basis @ (left @ right), others], dim=1) @ vectors.mT


def normalise(matrix: Tensor) -> Tensor:
    """Divide by the largest entry, which avoids overflow and underflow, then by the Frobenius norm. Zero stays zero."""
    largest = matrix.abs().amax((-2, -1), keepdim=True)
    matrix = matrix / torch.where(largest > 0, largest, 1.0)
    norm = torch.linalg.matrix_norm(matrix, keepdim=True)
    return matrix / torch.where(norm > 0, norm, 1.0)

"""FIRE on any torch module: each weight matrix replaced, in place, by the nearest isometry times its published scale.

W <- sqrt(d_out / d_in) / kernel positions * W (W'W)^(-1/2): least squared Frobenius error among all W with no deviation from isometry.
Source: "FIRE: Frobenius-Isometry Reinitialization", ICLR 2026, arXiv 2602.08040.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .matrices import Matrix, Patterns, take_inventory
from .measures import deviation_from_isometry, singular_values, squared_frobenius_error
from .polar import Solver, polar_factor

NULL_DIRECTION = 0.01  # singular values of a projected matrix are 1; one that stayed below this was (nearly) lost by the solver


@dataclass(frozen=True)
class MatrixReport:
    """One matrix before and after; of a stack, DfI and singular values of its worst matrix, the error and null directions of all together."""

    name: str
    d_out: int
    d_in: int
    stack: int
    scale: float
    squared_frobenius_error: float
    deviation_before: float
    deviation_after: float
    smallest_singular_value: float
    null_directions: int
    seconds: float | None = None


@dataclass(frozen=True)
class FireReport:
    """What `fire_` did: one line per matrix, and the names of the parameters it left as they were. Print it."""

    matrices: tuple[MatrixReport, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([*table(self.matrices), f"left as they were: {', '.join(self.left) or 'nothing'}"])


@torch.no_grad()
def fire_(
    module: nn.Module,
    solver: Solver = "newton-schulz",
    steps: int | None = None,
    include: Patterns = (),
    exclude: Patterns = (),
    split: Mapping[str, int] | None = None,
) -> FireReport:
    """Project every weight matrix of `module` in place; biases, norms and embeddings stay. Patterns and `split` as in `take_inventory`."""
    inventory = take_inventory(module, include, exclude, split).declared()
    refuse_nonfinite(inventory.matrices)
    reports = []
    for matrix in inventory.matrices:
        before = Snapshot.of(matrix)
        started = clock(matrix.view)
        project_(matrix, solver, steps)
        reports.append(before.compare(matrix, clock(matrix.view) - started))
    return FireReport(tuple(reports), inventory.left)


def project_(matrix: Matrix, solver: Solver, steps: int | None) -> None:
    matrix.view.copy_(polar_factor(matrix.view, solver, steps) * matrix.scale)


def refuse_nonfinite(matrices: Iterable[Matrix]) -> None:
    """Before anything is written, so that a refusal leaves the module untouched."""
    for matrix in matrices:
        if not torch.isfinite(matrix.view).all():
            raise ValueError(f"{matrix.name!r} holds NaN or infinity, which has no nearest isometry; nothing was changed")


@dataclass(frozen=True)
class Snapshot:
    """A matrix as it was, to be compared with what it has become."""

    weight: Tensor
    deviation: float

    @classmethod
    def of(cls, matrix: Matrix) -> "Snapshot":
        return cls(matrix.view.clone(), deviation_from_isometry(matrix))

    def compare(self, matrix: Matrix, seconds: float | None = None) -> MatrixReport:
        values = singular_values(matrix)
        return MatrixReport(
            matrix.name,
            matrix.d_out,
            matrix.d_in,
            stack=values.shape[0],
            scale=matrix.scale,
            squared_frobenius_error=squared_frobenius_error(self.weight, matrix.view),
            deviation_before=self.deviation,
            deviation_after=deviation_from_isometry(matrix),
            smallest_singular_value=float(values.amin()),
            null_directions=int((values < NULL_DIRECTION).sum()),
            seconds=seconds,
        )


def table(reports: Iterable[MatrixReport]) -> list[str]:
    """Lines of text: a head, then one line per matrix."""
    reports = tuple(reports)
    width = max([len(report.name) for report in reports] + [6])
    lines = [f"{'matrix':<{width}}  {'d_out x d_in':>18}  {'SFE':>9}  {'DfI before':>10}  {'DfI after':>10}  {'null':>5}  {'seconds':>8}"]
    for report in reports:
        shape = (f"{report.stack} x " if report.stack > 1 else "") + f"{report.d_out} x {report.d_in}"
        seconds = "" if report.seconds is None else f"{report.seconds:.4f}"
        lines.append(
            f"{report.name:<{width}}  {shape:>18}  {report.squared_frobenius_error:>9.3g}  {report.deviation_before:>10.3g}  "
            f"{report.deviation_after:>10.3g}  {report.null_directions or '':>5}  {seconds:>8}"
        )
    return lines


def clock(tensor: Tensor) -> float:
    """Seconds, once the tensor's device has finished what it was given."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
    return time.perf_counter()

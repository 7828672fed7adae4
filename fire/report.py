"""How a matrix has changed: its report, the snapshot it is compared with, and the printed table of reports."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .layers import Matrix
from .measures import singular_values_of, squared_frobenius_errors

NULL_DIRECTION = 0.01  # an isometry's singular values are 1; below this, the solver did not restore the direction


def left_rows(names: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a line for each reason why something was left unchanged, with the names that it applies to."""
    return [f"left as they were, {reason}: {', '.join(them)}" for reason, them in names.items() if them]


@dataclass(frozen=True)
class MatrixReport:
    """One matrix or stack, before and after an event.

    For a stack, the deviations (DfI) and the smallest singular value are those of its worst matrix; the other figures
    are of the whole stack. `seconds` is NaN if the matrix was not timed separately.
    """

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
    seconds: float = math.nan


@dataclass(frozen=True)
class Snapshots:
    """Copies of matrices before an event, with their singular values, by name."""

    weights: Mapping[str, Tensor]
    singular_values: Mapping[str, Tensor]

    @classmethod
    def of(cls, matrices: Sequence[Matrix]) -> "Snapshots":
        """Copy matrices and compute their singular values."""
        names = [matrix.name for matrix in matrices]
        weights = {matrix.name: matrix.view.clone() for matrix in matrices}
        return cls(weights, dict(zip(names, singular_values_of(matrices), strict=True)))

    def compare(
        self, matrices: Iterable[Matrix], seconds: float = math.nan
    ) -> dict[str, tuple[MatrixReport, tuple[Tensor, Tensor]]]:
        """Return the reports of the matrices as they are now, and their singular values before and now, by name.

        Matrices without a snapshot are left out, and an unchanged matrix is not decomposed again.
        """
        now = {matrix.name: matrix for matrix in matrices if matrix.name in self.weights}
        errors = squared_frobenius_errors([(self.weights[name], matrix.view) for name, matrix in now.items()])
        moved = [name for name, error in zip(now, errors, strict=True) if error]  # also if it is NaN
        values = {
            **self.singular_values,
            **dict(zip(moved, singular_values_of([now[name] for name in moved]), strict=True)),
        }
        return {
            name: (self._report(matrix, values[name], error, seconds), (self.singular_values[name], values[name]))
            for (name, matrix), error in zip(now.items(), errors, strict=True)
        }

    def _report(self, matrix: Matrix, values: Tensor, error: float, seconds: float) -> MatrixReport:
        return MatrixReport(
            name=matrix.name,
            d_out=matrix.d_out,
            d_in=matrix.d_in,
            stack=values.shape[0],
            scale=matrix.scale,
            squared_frobenius_error=error,
            deviation_before=_worst_deviation(self.singular_values[matrix.name]),
            deviation_after=_worst_deviation(values),
            smallest_singular_value=float(values.amin()),
            null_directions=int((values < NULL_DIRECTION).sum()),
            seconds=seconds,
        )


def _worst_deviation(values: Tensor) -> float:
    """Return the largest ||W'W - I||_F^2 in a stack, which is the sum of (s^2 - 1)^2 over the singular values."""
    return float((values.square() - 1.0).square().sum(-1).amax())


def table(reports: Sequence[MatrixReport]) -> str:
    """Return a table with one line per matrix, and a further line if null directions are left."""
    width = max([len(report.name) for report in reports] + [6])
    timed = "" if all(math.isnan(report.seconds) for report in reports) else f" {'seconds':>8}"
    lines = [f"{'matrix':<{width}} {'d_out x d_in':>18} {'SFE':>9} {'DfI before':>11} {'DfI after':>10}{timed}"]
    for report in reports:
        shape = (f"{report.stack} x " if report.stack > 1 else "") + f"{report.d_out} x {report.d_in}"
        measures = (
            f"{report.squared_frobenius_error:>9.3g} {report.deviation_before:>11.3g} {report.deviation_after:>10.3g}"
        )
        seconds = "" if math.isnan(report.seconds) else f"{report.seconds:>9.4f}"
        lines.append(f"{report.name:<{width}} {shape:>18} {measures}{seconds}")
    null = {report.name: report.null_directions for report in reports if report.null_directions}
    if null:
        counts = ", ".join(f"{name} {count}" for name, count in null.items())
        lines.append(f"null directions (singular values below {NULL_DIRECTION}; solver exact leaves none): {counts}")
    return "\n".join(lines)


def clock(tensor: Tensor) -> float:
    """Return the time in seconds after the tensor's device has finished its work."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
    return time.perf_counter()

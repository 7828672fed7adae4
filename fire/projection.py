"""FIRE on any torch module: every weight matrix becomes the nearest isometry times its published scale, in place.

W <- scale W (W'W)^(-1/2): of all weights without deviation from isometry, those with the least squared Frobenius error.
Source: "FIRE: Frobenius-Isometry Reinitialization", ICLR 2026, arXiv 2602.08040.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from .matrices import Matrix, Patterns, Split, take_inventory
from .measures import singular_values
from .polar import Solver, polar_factor
from .report import MatrixReport, Snapshot, clock, table


@dataclass(frozen=True)
class FireReport:
    """What `fire_` did to each matrix, and the names of the parameters it left as they were. Made to be printed."""

    matrices: tuple[MatrixReport, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([table(self.matrices), f"left as they were: {', '.join(self.left) or 'none'}"])


@torch.no_grad()
def fire_(
    module: nn.Module,
    solver: Solver = "newton-schulz",
    steps: int | None = None,
    include: Patterns = None,
    exclude: Patterns = None,
    split: Split = None,
) -> FireReport:
    """Project every weight matrix of `module` in place; biases, norms and embeddings stay as they are.

    `solver` and `steps` as in `polar_factor`; `include`, `exclude` and `split` as in `take_inventory`.
    """
    inventory = take_inventory(module, include, exclude, split).declared()
    refuse_nonfinite(inventory.matrices)
    reports = []
    for matrix in inventory.matrices:
        before = Snapshot.of(matrix)
        started = clock(matrix.view)
        project_(matrix, solver, steps)
        seconds = clock(matrix.view) - started
        reports.append(before.compare(matrix, singular_values(matrix), seconds))
    return FireReport(tuple(reports), inventory.left)


def project_(matrix: Matrix, solver: Solver, steps: int | None = None) -> None:
    """One matrix, or each of a stack."""
    matrix.view.copy_(polar_factor(matrix.view, solver, steps) * matrix.scale)


def refuse_nonfinite(matrices: Iterable[Matrix]) -> None:
    """Before anything is written, so that a refusal leaves the module untouched."""
    for matrix in matrices:
        if not torch.isfinite(matrix.view).all():
            raise ValueError(f"{matrix.name!r} holds NaN or infinity and has no nearest isometry; nothing was changed")

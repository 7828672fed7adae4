"""FIRE on any torch module: every weight matrix becomes the nearest isometry times its published scale, in place.

W <- scale W (W'W)^(-1/2): of all weights without deviation from isometry, those with the least squared Frobenius error.
Source: "FIRE: Frobenius-Isometry Reinitialization", ICLR 2026, arXiv 2602.08040.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import nn

from .matrices import Inventory, Matrix, Patterns, Split, refuse_not_real, take_inventory
from .measures import singular_values
from .polar import Solver, polar_factor
from .report import MatrixReport, Snapshot, clock, left_rows, table
from .statistics import modules_with_statistics

Choice: TypeAlias = Literal["skip", "project"]

# Why a matrix is left as it is unless asked for, and the option that asks.
CAVEATS = {
    "frozen": "frozen (requires_grad is False; frozen='project' projects them)",
    "tied": "tied to an embedding (tied='project' projects them, as the published language runs do)",
    "depthwise": "depthwise convolutions (depthwise='project' makes each channel's filters orthogonal, of one length)",
}
SHOWN = 4  # names in a line about what all of them have in common
FUSED = ("c_attn", "qkv", "qkv_proj", "to_qkv", "Wqkv")  # common names of query, key and value in one layer


@dataclass(frozen=True)
class Selection:
    """Which matrices are projected; and, by the reason, the names of everything that is not."""

    matrices: tuple[Matrix, ...]
    skipped: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, inventory: Inventory, **choices: Choice) -> "Selection":
        """Of an inventory without undeclared weights; `choices` for "frozen", "tied" and "depthwise"."""
        for name, choice in choices.items():
            if choice not in ("skip", "project"):
                raise ValueError(f"{name}={choice} given; allowed are skip and project")
        chosen: list[Matrix] = []
        skipped: dict[str, tuple[str, ...]] = {}
        for matrix in inventory.matrices:
            caveat = next((key for key in CAVEATS if key in matrix.caveats and choices.get(key) != "project"), None)
            if caveat is None:
                chosen.append(matrix)
            else:
                skipped[CAVEATS[caveat]] = (*skipped.get(CAVEATS[caveat], ()), matrix.name)
        refuse_not_real(chosen)
        return cls(tuple(chosen), {**skipped, **inventory.reasons})


@dataclass(frozen=True)
class FireReport:
    """What `fire_` did to each matrix, and what it left as it was, all names and by the reason. Made to be printed.

    `stale` are the modules whose running statistics may still be those of the old weights.
    """

    matrices: tuple[MatrixReport, ...]
    left: tuple[str, ...]
    skipped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stale: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = table(self.matrices) if self.matrices else "no weight matrix was projected"
        return "\n".join([head, *self.lines()])

    def lines(self) -> list[str]:
        """One for each reason why something was left as it was, and for what is to be known or done now."""
        rows = left_rows(self.skipped)
        rows += notes([matrix.name for matrix in self.matrices], self.stale)
        return rows or ["left as they were: none"]


def notes(projected: Iterable[str], stale: Iterable[str]) -> list[str]:
    """What is to be known of projected matrices, by their names, and done about statistics."""
    fused = [name for name in projected if name.removesuffix(".weight").rpartition(".")[2] in FUSED]
    rows = []
    if fused:
        advice = f"split={{'*.{fused[0].removesuffix('.weight').rpartition('.')[2]}': 3}} would project each"
        rows.append(f"projected as one, though named like query, key and value: {', '.join(fused)}; {advice}")
    if stale := tuple(stale):
        shown = ", ".join(stale if len(stale) <= SHOWN else [*stale[: SHOWN - 1], f"and {len(stale) - SHOWN + 1} more"])
        rows.append(
            f"running statistics may still be of the old weights: {shown}; before it is evaluated, train the "
            "module or call fire_rl.refresh_statistics_(module, batches)"
        )
    return rows


@torch.no_grad()
def fire_(
    module: nn.Module,
    solver: Solver = "newton-schulz",
    steps: int | None = None,
    include: Patterns = None,
    exclude: Patterns = None,
    split: Split = None,
    tied: Choice = "skip",
    depthwise: Choice = "skip",
    frozen: Choice = "skip",
) -> FireReport:
    """Project every weight matrix of `module` in place; biases, norms and embeddings stay as they are.

    `solver` and `steps` as in `polar_factor`; `include`, `exclude` and `split` as in `take_inventory`. Weights tied to
    an embedding, depthwise convolutions and frozen weights stay too, unless chosen with "project". What stays is in
    the report, with the reason.
    """
    inventory = take_inventory(module, include, exclude, split).declared()
    selection = Selection.of(inventory, tied=tied, depthwise=depthwise, frozen=frozen)
    refuse_nonfinite(selection.matrices)
    reports = []
    for matrix in selection.matrices:
        before = Snapshot.of(matrix)
        started = clock(matrix.view)
        project_(matrix, solver, steps)
        seconds = clock(matrix.view) - started
        reports.append(before.compare(matrix, singular_values(matrix), seconds))
    projected = {matrix.name for matrix in selection.matrices}
    left = (*(matrix.name for matrix in inventory.matrices if matrix.name not in projected), *inventory.left)
    stale = modules_with_statistics(module) if reports else ()
    return FireReport(tuple(reports), left, selection.skipped, tuple(stale))


def project_(matrix: Matrix, solver: Solver, steps: int | None = None) -> None:
    """One matrix, or each of a stack."""
    matrix.view.copy_(polar_factor(matrix.view, solver, steps) * matrix.scale)


def refuse_nonfinite(matrices: Iterable[Matrix]) -> None:
    """Before anything is written, so that a refusal leaves the module untouched."""
    for matrix in matrices:
        if not torch.isfinite(matrix.view).all():
            raise ValueError(f"{matrix.name!r} holds NaN or infinity and has no nearest isometry; nothing was changed")

"""FIRE on any torch module: replace every weight matrix in place by the nearest isometry times its published scale.

W <- scale W (W'W)^(-1/2) has, among all weights with zero deviation from isometry, the least squared Frobenius error.
Source: "FIRE: Frobenius-Isometry Reinitialization", ICLR 2026, arXiv 2602.08040.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import nn

from .devices import is_full
from .layers import Matrix
from .matrices import Inventory, refuse_not_real, take_inventory
from .patterns import Patterns, Split
from .polar import Solver, polar_factor
from .report import MatrixReport, Snapshots, clock, left_rows, table
from .statistics import modules_with_statistics, stale_rows

Choice: TypeAlias = Literal["skip", "project"]

# Reasons why a matrix is left unchanged by default, with the option that projects it.
CAVEATS = {
    "frozen": "frozen (requires_grad is False; frozen='project' projects them)",
    "tied": "tied to an embedding (tied='project' projects them, as the published language runs do)",
    "depthwise": "depthwise convolutions (depthwise='project' makes each channel's filters orthogonal, of one length)",
}
FUSED = ("c_attn", "qkv", "qkv_proj", "to_qkv", "Wqkv")  # common names of layers that hold query, key and value


@dataclass(frozen=True)
class Selection:
    """The matrices to project, and the names of everything else by the reason why it is skipped."""

    matrices: tuple[Matrix, ...]
    skipped: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, inventory: Inventory, **choices: Choice) -> "Selection":
        """Select from an inventory without undeclared weights; `choices` for "frozen", "tied" and "depthwise"."""
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
    """What `fire_` did to each matrix, and the names of what it left unchanged, by the reason. Print it to read it.

    `stale` names the modules whose running statistics may still belong to the old weights.
    """

    matrices: tuple[MatrixReport, ...]
    left: tuple[str, ...]
    skipped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stale: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = table(self.matrices) if self.matrices else "no weight matrix was projected"
        return "\n".join([head, *self.lines()])

    def lines(self) -> list[str]:
        """Return a line for each reason why something was left unchanged, and for each further note."""
        rows = left_rows(self.skipped)
        rows += [*fused_rows(matrix.name for matrix in self.matrices), *stale_rows(self.stale)]
        return rows or ["left as they were: none"]


def fused_rows(projected: Iterable[str]) -> list[str]:
    """Return a note that names matrices that look like fused query, key and value, if there are any."""
    fused = [name for name in projected if name.removesuffix(".weight").rpartition(".")[2] in FUSED]
    if not fused:
        return []
    advice = f"split={{'*.{fused[0].removesuffix('.weight').rpartition('.')[2]}': 3}} would project each separately"
    return [f"projected as one matrix, but named like query, key and value: {', '.join(fused)}; {advice}"]


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
    """Project every weight matrix of `module` in place; biases, norms and embeddings are left unchanged.

    `solver` and `steps` are as in `polar_factor`; `include`, `exclude` and `split` as in `take_inventory`. Weights tied
    to an embedding, depthwise convolutions and frozen weights are left unchanged too, unless chosen by "project". The
    report names what was left unchanged, with the reason.
    """
    inventory = take_inventory(module, include, exclude, split).declared()
    selection = Selection.of(inventory, tied=tied, depthwise=depthwise, frozen=frozen)
    refuse_nonfinite(selection.matrices)
    reports = []
    for matrix in selection.matrices:
        before = Snapshots.of([matrix])
        started = clock(matrix.view)
        project_(matrix, solver, steps)
        report, _ = before.compare([matrix], clock(matrix.view) - started)[matrix.name]
        reports.append(report)
    projected = {matrix.name for matrix in selection.matrices}
    left = (*(matrix.name for matrix in inventory.matrices if matrix.name not in projected), *inventory.left)
    stale = modules_with_statistics(module) if reports else ()
    return FireReport(tuple(reports), left, selection.skipped, tuple(stale))


def project_(matrix: Matrix, solver: Solver, steps: int | None = None) -> None:
    """Project one matrix, or each matrix of a stack, in place."""
    matrix.view.copy_(polar_factor(matrix.view, solver, steps) * matrix.scale)


def project_all_(matrices: Iterable[Matrix], solver: Solver, steps: int | None = None) -> None:
    """Project matrices in place. On a GPU many of one shape are projected together, with fewer and larger products."""
    alike: dict[Hashable, list[Matrix]] = {}
    for matrix in matrices:
        view = matrix.view
        key = view.device, view.dtype, *sorted(view.shape[-2:])
        group = alike.setdefault(key, [])
        group.append(matrix)
        if is_full(each.view for each in group):
            _project_together_(alike.pop(key), solver, steps)
    for group in alike.values():
        _project_together_(group, solver, steps)


def _project_together_(alike: Sequence[Matrix], solver: Solver, steps: int | None) -> None:
    """Project matrices that have the same shape, apart from transposition, as one stack."""
    if len(alike) == 1:
        project_(alike[0], solver, steps)
        return
    tall = [matrix.view.mT if matrix.d_out < matrix.d_in else matrix.view for matrix in alike]
    stacks = [view.reshape(-1, *view.shape[-2:]) for view in tall]
    factors = polar_factor(torch.cat(stacks), solver, steps).split([len(stack) for stack in stacks])
    for matrix, view, factor in zip(alike, tall, factors, strict=True):
        view.copy_(factor.view(view.shape) * matrix.scale)


def refuse_nonfinite(matrices: Iterable[Matrix]) -> None:
    """Raise ValueError if a matrix holds NaN or infinity; call this before anything is written."""
    for matrix in matrices:
        if not torch.isfinite(matrix.view).all():
            raise ValueError(f"{matrix.name!r} holds NaN or infinity and has no nearest isometry; nothing was changed")

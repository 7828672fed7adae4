"""FIRE: W <- scale W (W'W)^(-1/2), the nearest isometry to each weight matrix; biases and norms are left unchanged.

Source: "FIRE: Frobenius-Isometry Reinitialization", ICLR 2026, arXiv 2602.08040. The repair after the projection
(`repair`, `scale`) is not part of the publication.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn

from ..layers import Matrix
from ..matrices import EMBEDDING, NOT_CHOSEN, PACKED, Inventory, last_layers, take_inventory
from ..network import MethodNetwork, Network, lies_in
from ..patterns import Patterns, Split, as_patterns, as_split, read_patterns, read_split, write_patterns, write_split
from ..polar import Solver
from ..projection import CAVEATS, Choice, Selection, fused_rows, project_all_, refuse_nonfinite
from ..repair import Kind, Repair
from ..report import left_rows
from ..statistics import stale_rows
from .method import option
from .reinitialization import Reinitialization, Touches

MOST_STEPS = 1_000  # of a solver; about ten are enough
MOST_UPDATES = 1_000_000
UPDATES, RATE = 300, 1e-3  # of repair=distil, by default
SPELLED = {"read": read_patterns, "write": write_patterns}
SPLIT = {"read": read_split, "write": write_split}


@dataclass(frozen=True, kw_only=True)
class Fire(Reinitialization):
    """Project each weight matrix to the nearest isometry: W <- scale W (W'W)^(-1/2)."""

    solver: Solver = option("newton-schulz", "newton-schulz as published, or a more exact one")
    steps: int | None = option(None, "steps of the solver; none: newton-schulz 10, polar-express 9; exact has none")
    include: Patterns = option((), "names of matrices or modules, such as *.to_q|*.to_k; none: all", **SPELLED)
    exclude: Patterns = option((), "names of matrices or modules to leave unchanged", **SPELLED)
    split: Split = option((), "layers that hold several matrices, such as *.c_attn:3 or *.qkv:64/16/16", **SPLIT)
    tied: Choice = option("skip", "weights tied to an embedding")
    depthwise: Choice = option("skip", "depthwise convolutions")
    frozen: Choice = option("skip", "weights that are not trained (requires_grad is False)")
    repair: Kind = option(
        "none",
        "afterwards, on inputs of the replay or the data: fit the last layers to the outputs from before "
        "(head), or train the whole network towards them (distil)",
    )
    updates: int = option(UPDATES, "gradient updates of repair=distil")
    rate: float = option(RATE, "learning rate of repair=distil; it falls linearly to 0")
    scale: bool = option(False, "keep the root mean square of each projected layer's outputs by a gain")

    def __post_init__(self) -> None:
        object.__setattr__(self, "include", as_patterns(self.include))
        object.__setattr__(self, "exclude", as_patterns(self.exclude))
        object.__setattr__(self, "split", as_split(self.split))
        super().__post_init__()
        if self.steps is not None and (not 1 <= self.steps <= MOST_STEPS or self.solver == "exact"):
            raise ValueError(
                f"steps={self.steps} given; allowed is 1 to {MOST_STEPS:,}, and only for the solvers newton-schulz and "
                "polar-express"
            )
        self.require(0 <= self.updates <= MOST_UPDATES, "updates", f"is not allowed; allowed is 0 to {MOST_UPDATES:,}")
        self.require(0 < self.rate < math.inf, "rate", "is not allowed; allowed is a learning rate above 0")
        distils = self.repair == "distil"
        self.require(distils or self.updates == UPDATES, "updates", "given without repair=distil")
        self.require(distils or self.rate == RATE, "rate", "given without repair=distil")
        splits = (pattern for pattern, _ in as_split(self.split))
        for pattern in (*as_patterns(self.include), *as_patterns(self.exclude), *splits):
            if not pattern or any(sign in pattern for sign in ",|"):
                raise ValueError(f"pattern {pattern!r} given; allowed are names without a comma and without |")

    def inventory(self, module: nn.Module) -> Inventory:
        """Return all matrices, with `split` applied, including those excluded by name."""
        return take_inventory(module, split=self.split)

    def check(self, network: Network) -> None:
        """Raise ValueError if no matrix is left to project."""
        super().check(network)
        selection = self.selection(network)
        said = _said(selection)
        why = [f"{', '.join(names)}: {reason}" for reason, names in said.items()]
        if self.needs_inputs:
            self._repair.check(network, selection.matrices)
        if not selection.matrices:
            raise ValueError("; ".join([f"fire: network {network.name!r} has no matrix left to project", *why]))
        projected = {id(network.module.get_parameter(matrix.parameter)) for matrix in selection.matrices}
        self.refuse_shared(network, lambda parameter: id(parameter) in projected)

    @property
    def needs_inputs(self) -> bool:
        """Whether events need inputs of the networks, because a repair follows the projection."""
        return self.repair != "none" or self.scale

    @property
    def _repair(self) -> Repair:
        return Repair(self.repair, self.updates, self.rate, self.scale)

    def ready(self, network: MethodNetwork) -> None:
        """Raise ValueError if a chosen matrix is not finite, also in a target that is projected."""
        chosen = self.selection(network).matrices
        refuse_nonfinite(chosen)
        if network.target is not None and self.target == "same":
            refuse_nonfinite(self._like(network.target, chosen))
        if self.needs_inputs:
            self._repair.ready(network, chosen)

    def change(self, module: nn.Module, network: MethodNetwork) -> Mapping[str, float] | None:
        """Project the matrices and then repair the outputs, if that was chosen; return the repair's numbers."""
        if not self.needs_inputs:
            return super().change(module, network)
        before = copy.deepcopy(module).requires_grad_(False)
        super().change(module, network)
        projected = self._like(module, self.selection(network).matrices)
        return self._repair.act(module, before, network, projected)

    def resets(self, network: Network) -> Touches:
        """Leave out the matrices that the repair rewrites after the reset."""
        resets = super().resets(network)
        if self.repair == "none":
            return resets
        again = tuple(last_layers(network.module, network.head)) if self.repair == "head" else ("",)
        return lambda name: resets(name) and not any(not part or lies_in(name, (part,)) for part in again)

    def rewrite(self, module: nn.Module, network: Network, touches: Touches) -> None:
        """Replace each chosen matrix by its scaled nearest isometry."""
        chosen = self.selection(network).matrices
        project_all_(chosen if module is network.module else self._like(module, chosen), self.solver, self.steps)

    def selection(self, network: Network) -> Selection:
        """Return the matrices to project within the method's scope, and the reasons why its others are not."""
        inventory = take_inventory(network.module, self.include, self.exclude, self.split)
        scope = self.scoped(network)
        matrices = tuple(matrix for matrix in inventory.matrices if scope(matrix.name))
        undeclared = tuple(filter(scope, inventory.undeclared))
        reasons = {reason: tuple(filter(scope, names)) for reason, names in inventory.reasons.items()}
        inside = replace(inventory, matrices=matrices, undeclared=undeclared, reasons=reasons)
        return Selection.of(inside.declared(), tied=self.tied, depthwise=self.depthwise, frozen=self.frozen)

    def notes(self, network: Network) -> list[str]:
        """Name matrices and embeddings left unchanged, by the reason; biases are not worth a note."""
        selection = self.selection(network)
        projected = [matrix.name for matrix in selection.matrices]
        return [*left_rows(_said(selection)), *fused_rows(projected), *stale_rows(self.stale(network))]

    def _like(self, module: nn.Module, chosen: tuple[Matrix, ...]) -> list[Matrix]:
        """Return the same matrices in a copy of the network; they are found by name, as a copy may be frozen."""
        names = {matrix.name for matrix in chosen}
        return [matrix for matrix in self.inventory(module).matrices if matrix.name in names]


SAID = (*CAVEATS.values(), EMBEDDING, NOT_CHOSEN, PACKED)


def _said(selection: Selection) -> dict[str, tuple[str, ...]]:
    """Return the names left unchanged for a reason that is worth reporting, by reason."""
    return {reason: names for reason, names in selection.skipped.items() if names and reason in SAID}

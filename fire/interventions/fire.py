"""FIRE: W <- scale W (W'W)^(-1/2), the nearest isometry to each weight matrix; biases and norms stay.

Source: "FIRE: Frobenius-Isometry Reinitialization", ICLR 2026, arXiv 2602.08040.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from ..matrices import Matrix, take_inventory
from ..network import Network
from ..polar import Solver
from ..projection import project_, refuse_nonfinite
from .reinitialization import Reinitialization


@dataclass(frozen=True, kw_only=True)
class Fire(Reinitialization):
    """Project each weight matrix to the nearest isometry: W <- scale W (W'W)^(-1/2)."""

    solver: Solver = field(default="newton-schulz", metadata={"help": "published iteration, exact, or optimal polynomials"})
    steps: int | None = field(default=None, metadata={"help": "of the iterative solvers; none: newton-schulz 10, polar-express 8"})

    def check(self, network: Network) -> None:
        super().check(network)
        take_inventory(network.module, include=network.part(self.scope)).declared()

    def rewrite(self, module: nn.Module, network: Network, touches: Callable[[str], bool]) -> None:
        matrices: list[Matrix] = [matrix for matrix in take_inventory(module).matrices if touches(matrix.name)]
        refuse_nonfinite(matrices)
        for matrix in matrices:
            project_(matrix, self.solver, self.steps)

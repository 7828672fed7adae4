"""FIRE: W <- scale W (W'W)^(-1/2), the nearest isometry to each weight matrix; biases and norms stay.

Source: "FIRE: Frobenius-Isometry Reinitialization", ICLR 2026, arXiv 2602.08040.
"""

from dataclasses import dataclass, field

from torch import nn

from ..network import Network
from ..polar import Solver
from ..projection import project_, refuse_nonfinite
from .reinitialization import Reinitialization, Touches

MOST_STEPS = 1_000  # of a solver that needs ten


@dataclass(frozen=True, kw_only=True)
class Fire(Reinitialization):
    """Project each weight matrix to the nearest isometry: W <- scale W (W'W)^(-1/2)."""

    solver: Solver = field(default="newton-schulz", metadata={"help": "the published one, or one that gets there"})
    steps: int | None = field(default=None, metadata={"help": "none: newton-schulz 10, polar-express 9; not for exact"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps is not None and (not 1 <= self.steps <= MOST_STEPS or self.solver == "exact"):
            raise ValueError(
                f"steps={self.steps}: at least 1, at most {MOST_STEPS:,}, and only for the solvers newton-schulz and "
                "polar-express"
            )

    def check(self, network: Network) -> None:
        super().check(network)
        self.matrices(network.module, self.touches(network))

    def ready(self, network: Network) -> None:
        refuse_nonfinite(self.matrices(network.module, self.touches(network)))
        if network.target is not None and self.target == "same":
            refuse_nonfinite(self.matrices(network.target, self.touches(network)))

    def rewrite(self, module: nn.Module, network: Network, touches: Touches) -> None:
        for matrix in self.matrices(module, touches):
            project_(matrix, self.solver, self.steps)

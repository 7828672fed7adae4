"""L2 Init (regenerative regularization): strength ||theta - theta_0||^2, theta_0 the run's own initial parameters.

Source: "Maintaining Plasticity in Continual Learning via Regenerative Regularization", Kumar, Marklund and Van Roy,
2023, arXiv 2308.11958. In its experiments, all on supervised learning, strengths were tuned from 1e-5 to 1e-2, and the
best single value was 1e-2 (its code halves the sum). "Parseval Regularization for Continual Reinforcement Learning"
(arXiv 2412.07224), with PPO, uses 1e-2 or 1e-3 times the mean square of each parameter's entries instead of their sum.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..devices import multiply_, stacked
from ..methods.method import option
from ..network import Network, refuse_missing_initial
from .regularizer import Regularizer, with_gradient


@dataclass(frozen=True, kw_only=True)
class L2Init(Regularizer):
    """Pull every trained parameter towards its initial value: strength ||theta - theta_0||^2."""

    has_penalty: ClassVar[bool] = True
    capturable: ClassVar[bool] = True

    strength: float = option(1e-2, "factor of the sum of squares; 0 or more")

    def check(self, network: Network) -> None:
        """Raise ValueError if the initial values are missing."""
        refuse_missing_initial(network)

    def penalty(self, network: Network) -> Tensor | None:
        """Return the squared distance of all trained parameters from their initial values, times the strength."""
        trained = {name: value for name, value in network.module.named_parameters() if value.requires_grad}
        if not trained or not self.strength:
            return None
        parameters: list[Tensor] = list(trained.values())
        with torch.no_grad():
            initial: list[Tensor] = [network.initial[name] for name in trained]
            differences = torch._foreach_sub(parameters, initial)
            value = self.strength * stacked(torch._foreach_norm(differences)).square().sum()

        def gradients(factor: Tensor) -> list[Tensor]:
            """Return 2 strength (theta - theta_0), stored in the memory of the differences."""
            multiply_(differences, 2 * self.strength * factor)
            return list(differences)

        return with_gradient(value, parameters, gradients)

"""Repair a network right after its weights were projected, from inputs of its replay or its data.

`scale` keeps the root mean square of the outputs of each projected layer (gains.py). Then `head` fits the last layers
to the outputs from before (refit.py), or `distil` trains the whole network towards them (distillation.py). The error of
the outputs is measured on further batches that are not used for the repair.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import nn

from . import gains, refit
from .distillation import distil_
from .layers import Matrix
from .measures import deviation_from_isometry
from .network import MethodNetwork, Network
from .outputs import Draw, drawing_from, error_of, examined, outputs_of, spreads_of
from .statistics import modules_with_statistics

Kind: TypeAlias = Literal["none", "head", "distil"]

HELD_OUT = 4  # batches on which the error of the outputs is measured
SCALED_ON = 4  # batches on which the sizes of outputs are compared


@dataclass(frozen=True)
class Repair:
    """What is repaired, and how."""

    kind: Kind
    updates: int  # of "distil"
    rate: float  # of "distil"
    scale: bool

    def check(self, network: Network, projected: Sequence[Matrix]) -> None:
        """Raise ValueError in one line if the network cannot be repaired in this way."""
        if stale := next(iter(modules_with_statistics(network.module)), None):
            raise ValueError(
                f"network {network.name!r} cannot be repaired: {stale!r} keeps running statistics, which belong to the "
                "weights from before the event"
            )
        try:
            if self.kind == "head":
                refit.last_linear_layers(network.module, network)
            if self.scale:
                gains.layers_of(network.module, projected)
        except ValueError as error:
            raise ValueError(f"network {network.name!r} cannot be repaired: {error}") from error

    def ready(self, network: MethodNetwork, projected: Sequence[Matrix]) -> None:
        """Raise ValueError if there are no inputs now, or the module's outputs cannot be repaired. Nothing changes."""
        draw = drawing_from(network)
        assert network.generator is not None
        state = network.generator.get_state()
        batch = draw()
        network.generator.set_state(state)
        with examined(network.module):
            if not all(one.isfinite().all() for one in outputs_of(network.module, batch)):
                raise ValueError("its outputs are not finite, so that there is nothing to repair towards")
            if self.kind == "head":
                refit.refuse_not_linear(network.module, network, batch)
            if self.scale:
                gains.refuse_not_linear(network.module, gains.layers_of(network.module, projected), batch)

    def act(
        self, module: nn.Module, before: nn.Module, network: MethodNetwork, projected: Sequence[Matrix]
    ) -> dict[str, float]:
        """Repair a module, given a copy of it from before, in place; return what was done as numbers."""
        draw = drawing_from(network)
        held_out = [draw() for _ in range(HELD_OUT)]
        figures: dict[str, float] = {}
        with examined(module, before):
            spreads = spreads_of(before, held_out)
            error, deviation = error_of(module, before, held_out, spreads), _deviation(projected)
            if self.scale:
                layers = gains.layers_of(module, projected)
                figures |= gains.keep_sizes_(module, before, layers, _joined(draw))
            if self.kind == "head":
                figures |= refit.refit_(module, before, network, draw)
            if self.kind == "distil":
                names = [name for name, each in network.module.named_parameters() if each.requires_grad]
                distil_(module, before, names, draw, spreads, self.updates, self.rate)
            return {
                "output error before repair": error,
                "output error after repair": error_of(module, before, held_out, spreads),
                "deviation before repair": deviation,
                "deviation after repair": _deviation(projected),
                **figures,
            }


def _joined(draw: Draw) -> tuple[torch.Tensor, ...]:
    batches = [draw() for _ in range(SCALED_ON)]
    return tuple(torch.cat(parts) for parts in zip(*batches, strict=True))


def _deviation(matrices: Sequence[Matrix]) -> float:
    return sum(deviation_from_isometry(matrix) for matrix in matrices)

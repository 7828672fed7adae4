"""ReDo: reset dormant hidden units. Unit i of a layer is dormant if s_i <= tau, where

    s_i = mean |h_i| / mean_k mean |h_k|,  over examples (and positions in an image), k over the layer's units.

Its incoming weights are drawn again, its bias and its outgoing weights become 0, and its gain and shift in a norm
become their initial values.

Source: "The Dormant Neuron Phenomenon in Deep Reinforcement Learning", Sokar, Agarwal, Castro and Evci, ICML 2023,
arXiv 2302.12902. The default tau is that of its experiments with one or more updates per decision; with one update in
four decisions it is 0.025 there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..activity import Watch, dormancy_scores, silent_layers
from ..network import MethodNetwork, Network
from ..undisturbed import undisturbed
from ..unit_weights import Weights
from ..units import hidden_layers
from .method import Method, option
from .unit_resets import drawn, optimizer_state, refuse_what_has_no_units, reset_norms_, zero_moments_


@dataclass(frozen=True, kw_only=True)
class Redo(Method):
    """Reset dormant units: those whose mean |h| is at most tau times their layer's mean."""

    needs_loss: ClassVar[bool] = True
    usual_period: ClassVar[int | None] = 1_000

    tau: float = option(0.1, "threshold; 0 resets dead units only, which changes no outputs except after a norm")
    outgoing: Literal["zero", "draw"] = option("zero", "outgoing weights of reset units: zero, or drawn again")
    step_count: Literal["keep", "renew"] = option(
        "keep", "Adam's step counts of whole parameters; moments of reset weights become zero"
    )
    target: Literal["keep", "same"] = option("keep", "the target network: kept, or given the same weights")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.tau >= 0.0, "tau", "must be at least 0")

    def check(self, network: Network) -> None:
        """Raise ValueError if the network has no known hidden layer."""
        refuse_what_has_no_units("redo", network, lacks="hidden layer that is known")

    def ready(self, network: MethodNetwork) -> None:
        """Find the dormant units; raise ValueError if the loss runs no hidden layer."""
        network.prepared.update(self._dormant(network))

    @torch.no_grad()
    def act(self, network: MethodNetwork) -> Mapping[str, float]:
        """Reset the dormant units; return for each layer how many were reset, and how many units it has."""
        masks = dict(network.prepared) or self._dormant(network)  # if `ready` was not called
        dormant = [(layer, masks[layer.name]) for layer in hidden_layers(network.module) if layer.name in masks]
        # Draw all incoming weights before zeroing outgoing ones: weights between two dormant units end at zero.
        for layer, units in dormant:
            weight, *biases = layer.incoming
            weight.of(network.module)[units] = drawn(network, weight, units)
            for bias in biases:
                bias.of(network.module)[units] = 0.0
            reset_norms_(network, layer, units)
        for layer, units in dormant:
            for weight in layer.outgoing:
                weight.of(network.module)[units] = 0.0 if self.outgoing == "zero" else drawn(network, weight, units)
        for layer, units in dormant:
            for weights in (*layer.incoming, *layer.outgoing, *layer.norm):
                self._follow(network, weights, units)
        counts = {f"reset {layer.name}": float(units.sum()) for layer, units in dormant}
        return counts | {f"units {layer.name}": float(units.numel()) for layer, units in dormant}

    def _follow(self, network: Network, weights: Weights, units: Tensor) -> None:
        """Update what belongs to the weights just written: their moments, Adam's step count, the target's weights."""
        zero_moments_(network, weights, units)
        step = optimizer_state(network, network.module.get_parameter(weights.name)).get("step")
        if isinstance(step, Tensor) and self.step_count == "renew" and units.any():
            step.zero_()
        if network.target is not None and self.target == "same":
            weights.of(network.target)[units] = weights.of(network.module)[units]

    def _dormant(self, network: MethodNetwork) -> dict[str, Tensor]:
        """Return for each layer that runs a mask of its dormant units, of the layer's shape."""
        layers = hidden_layers(network.module)
        assert network.loss is not None, "the manager has checked it"
        with undisturbed(network.module, network.target), Watch(network.module, layers) as watch:
            network.loss()  # with gradients, so that passes for targets do not count
            if silent := silent_layers(layers, watch):
                raise ValueError(f"redo: {silent}")
            return {name: dormancy_scores(values) <= self.tau for name, values in watch.items()}

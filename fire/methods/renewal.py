"""Hidden units that begin anew: which networks have units that a method can work on, and what is written to them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..network import MethodNetwork, Network, refuse_missing_initial, refuse_unknown
from ..units import HiddenLayer, Weights, hidden_layers, how_to_declare, new_draw

Units = tuple[Tensor, ...]  # indices of some units of a layer: (units,), or (members, units) that broadcast


def refuse_what_has_no_units(method: str, network: Network, renews: bool = True) -> None:
    if not hidden_layers(network.module):
        advice = how_to_declare(network.module)
        raise ValueError(f"{method}: network {network.name!r} has no hidden units whose weights are known{advice}")
    refuse_missing_initial(network)
    if renews and network.optimizer is not None:
        refuse_unknown(network.optimizer, advice="")


def by_member(indices: Tensor) -> Units:
    """Indices of units, (count,) or (members, count), as they index a tensor that begins with the layer's shape."""
    if indices.dim() == 1:
        return (indices,)
    return torch.arange(len(indices), device=indices.device).unsqueeze(-1), indices


def replace_units_(network: MethodNetwork, layer: HiddenLayer, units: Units, moments: bool = True) -> None:
    """Incoming weights drawn anew, biases and outgoing weights zero, norms as at first; moments zero too, or kept."""
    for weights in (*layer.incoming, *layer.outgoing):
        weights.of(network.module)[units] = drawn(network, weights, units) if weights is layer.incoming[0] else 0.0
    begin_norms_anew_(network, layer, units)
    if moments:
        for weights in (*layer.incoming, *layer.outgoing, *layer.norm):
            forget_moments_(network, weights, units)


def begin_norms_anew_(network: MethodNetwork, layer: HiddenLayer, units: Units | Tensor) -> None:
    """Initial gains and shifts, for units that a norm had silenced would stay silent."""
    for weights in layer.norm:
        weights.of(network.module)[units] = weights.by_unit(network.initial[weights.name])[units]


def drawn(network: MethodNetwork, weights: Weights, units: Units | Tensor) -> Tensor:
    """New weights for some units, drawn from among the initial ones of the same layer."""
    shape = weights.of(network.module)[units].shape
    return new_draw(network.initial[weights.name], shape, network.generator)


def forget_moments_(network: Network, weights: Weights, units: Units | Tensor) -> None:
    """The optimizer forgets the moments of these units' weights, and nothing of the others."""
    parameter = network.module.get_parameter(weights.name)
    for value in optimizer_state(network, parameter).values():
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            weights.by_unit(value)[units] = 0.0


def optimizer_state(network: Network, parameter: Tensor) -> Mapping[str, Any]:
    """What the optimizer keeps of a parameter: nothing before the first step, and for what is not trained."""
    return {} if network.optimizer is None else network.optimizer.state.get(parameter, {})

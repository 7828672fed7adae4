"""Hidden units that begin anew: which networks have units that a method can work on, and what is written to them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..network import MethodNetwork, Network, refuse_missing_initial, refuse_unknown
from ..units import HiddenLayer, Weights, hidden_layers, how_to_declare, new_draw

Units = tuple[Tensor, ...]  # indices of some units of a layer: (units,), or (members, units) that broadcast; () is all


def known_at_once(count: Tensor) -> bool:
    """Whether the host reads the number without waiting. A GPU's it does not read: shapes are those of the most."""
    return count.device.type == "cpu"


def slots(count: Tensor, most: int) -> tuple[int, Tensor | None]:
    """How many units to look at so that `count` are among the first, and which those are; None: all."""
    if known_at_once(count):
        return int(count), None
    return most, torch.arange(most, device=count.device) < count


def some_of(mask: Tensor) -> tuple[Units, Tensor | None]:
    """Indices of units that hold those of a mask, and which of them these are; None: all."""
    return (mask.nonzero(as_tuple=True), None) if known_at_once(mask) else ((), mask)


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


def write_(view: Tensor, units: Units | Tensor, values: Tensor | float, chosen: Tensor | None = None) -> None:
    """Write to some units of a view by unit; where a mask is given, to those of them that it has chosen."""
    if chosen is not None:
        before = view[units]
        values = torch.where(chosen.reshape(*chosen.shape, *[1] * (before.dim() - chosen.dim())), values, before)
    view[units] = values


def replace_units_(
    network: MethodNetwork, layer: HiddenLayer, units: Units, moments: bool = True, chosen: Tensor | None = None
) -> None:
    """Incoming weights drawn anew, biases and outgoing weights zero, norms as at first; moments zero too, or kept."""
    for weights in (*layer.incoming, *layer.outgoing):
        values = drawn(network, weights, units) if weights is layer.incoming[0] else 0.0
        write_(weights.of(network.module), units, values, chosen)
    begin_norms_anew_(network, layer, units, chosen)
    if moments:
        for weights in (*layer.incoming, *layer.outgoing, *layer.norm):
            forget_moments_(network, weights, units, chosen)


def begin_norms_anew_(
    network: MethodNetwork, layer: HiddenLayer, units: Units | Tensor, chosen: Tensor | None = None
) -> None:
    """Initial gains and shifts, for units that a norm had silenced would stay silent."""
    for weights in layer.norm:
        initial = weights.by_unit(network.initial[weights.name])[units]
        write_(weights.of(network.module), units, initial, chosen)


def drawn(network: MethodNetwork, weights: Weights, units: Units | Tensor) -> Tensor:
    """New weights for some units, drawn from among the initial ones of the same layer."""
    shape = weights.of(network.module)[units].shape
    return new_draw(network.initial[weights.name], shape, network.generator)


def forget_moments_(network: Network, weights: Weights, units: Units | Tensor, chosen: Tensor | None = None) -> None:
    """The optimizer forgets the moments of these units' weights, and nothing of the others."""
    parameter = network.module.get_parameter(weights.name)
    for value in optimizer_state(network, parameter).values():
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            write_(weights.by_unit(value), units, 0.0, chosen)


def optimizer_state(network: Network, parameter: Tensor) -> Mapping[str, Any]:
    """What the optimizer keeps of a parameter: nothing before the first step, and for what is not trained."""
    return {} if network.optimizer is None else network.optimizer.state.get(parameter, {})

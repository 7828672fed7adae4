"""Reset hidden units: check that a network has units that a method can reset, and write their new weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..network import MethodNetwork, Network, refuse_missing_initial, refuse_unknown
from ..unit_weights import HiddenLayer, Weights, new_draw
from ..units import hidden_layers, how_to_declare
from .method import Method

Units = tuple[Tensor, ...]  # indices of units in a layer: (units,), or (members, units) that broadcast; () means all


@dataclass(frozen=True, kw_only=True)
class UnitResets(Method):
    """Reset single hidden units after gradient steps. The memory has the numbers of steps and of reset units."""

    acts_at_events: ClassVar[bool] = False
    acts_every_step: ClassVar[bool] = True
    capturable: ClassVar[bool] = True
    watches_units: ClassVar[bool] = True

    def begin(self, network: MethodNetwork) -> None:
        """Create both numbers, on the device."""
        device = network.module.get_parameter(network.layers[0].incoming[0].name).device
        for number in ("step", "replaced"):
            network.memory[number] = torch.zeros((), dtype=torch.int64, device=device)

    def figures(self, network: MethodNetwork) -> dict[str, float | Tensor]:
        """Return the number of units reset so far."""
        return {"replaced units": network.memory["replaced"]}


def known_at_once(count: Tensor) -> bool:
    """Whether the value can be read without waiting for a GPU; if not, shapes are those of the largest count."""
    return count.device.type == "cpu"


def slots(count: Tensor, most: int) -> tuple[int, Tensor | None]:
    """Return how many units to process, and a mask of the first `count` of them; None as the mask means all.

    On a GPU the number is always `most`, so that shapes are fixed.
    """
    if known_at_once(count):
        return int(count), None
    return most, torch.arange(most, device=count.device) < count


def some_of(mask: Tensor) -> tuple[Units, Tensor | None]:
    """Return the indices of a mask's units and None, or on a GPU the indices of all units and the mask."""
    return (mask.nonzero(as_tuple=True), None) if known_at_once(mask) else ((), mask)


def refuse_what_has_no_units(
    method: str, network: Network, renews: bool = True, lacks: str = "hidden units whose weights are known"
) -> None:
    """Raise ValueError if the network has no known hidden units, or they or its optimizer's state cannot be reset."""
    if not hidden_layers(network.module):
        raise ValueError(f"{method}: network {network.name!r} has no {lacks}{how_to_declare(network.module)}")
    refuse_missing_initial(network)
    if renews and network.optimizer is not None:
        refuse_unknown(network.optimizer, advice="")


def by_member(indices: Tensor) -> Units:
    """Turn indices of units, (count,) or (members, count), into an index of tensors that start with a layer's shape."""
    if indices.dim() == 1:
        return (indices,)
    return torch.arange(len(indices), device=indices.device).unsqueeze(-1), indices


def write_(view: Tensor, units: Units | Tensor, values: Tensor | float, chosen: Tensor | None = None) -> None:
    """Write values to some units of a view by unit; if a mask `chosen` is given, only to the chosen ones of them."""
    if chosen is not None:
        before = view[units]
        values = torch.where(chosen.reshape(*chosen.shape, *[1] * (before.dim() - chosen.dim())), values, before)
    view[units] = values


def replace_units_(
    network: MethodNetwork, layer: HiddenLayer, units: Units, moments: bool = True, chosen: Tensor | None = None
) -> None:
    """Reset units: incoming weights are drawn again, biases and outgoing weights become 0, norms their initial values.

    With `moments` the optimizer's moments of these weights become zero too; otherwise they are kept.
    """
    for weights in (*layer.incoming, *layer.outgoing):
        values = drawn(network, weights, units) if weights is layer.incoming[0] else 0.0
        write_(weights.of(network.module), units, values, chosen)
    reset_norms_(network, layer, units, chosen)
    if moments:
        for weights in (*layer.incoming, *layer.outgoing, *layer.norm):
            zero_moments_(network, weights, units, chosen)


def reset_norms_(
    network: MethodNetwork, layer: HiddenLayer, units: Units | Tensor, chosen: Tensor | None = None
) -> None:
    """Reset the gains and shifts of units to initial values; a unit that a norm made dead would otherwise stay dead."""
    for weights in layer.norm:
        initial = weights.by_unit(network.initial[weights.name])[units]
        write_(weights.of(network.module), units, initial, chosen)


def drawn(network: MethodNetwork, weights: Weights, units: Units | Tensor) -> Tensor:
    """Return new weights for some units, drawn at random from the initial weights of the same layer."""
    shape = weights.of(network.module)[units].shape
    return new_draw(network.initial[weights.name], shape, network.generator)


def zero_moments_(network: Network, weights: Weights, units: Units | Tensor, chosen: Tensor | None = None) -> None:
    """Set the optimizer's moments of these units' weights to zero, and leave all others."""
    parameter = network.module.get_parameter(weights.name)
    for value in optimizer_state(network, parameter).values():
        if isinstance(value, Tensor) and value.shape == parameter.shape:
            write_(weights.by_unit(value), units, 0.0, chosen)


def optimizer_state(network: Network, parameter: Tensor) -> Mapping[str, Any]:
    """Return the optimizer's state of a parameter; it is empty before the first step and for untrained parameters."""
    return {} if network.optimizer is None else network.optimizer.state.get(parameter, {})

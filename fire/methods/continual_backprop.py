"""Continual backpropagation: at every step, a small share of the mature units, those of least utility, is reset.

The utility u <- decay u + (1 - decay) mean |h| mean |w_out| is divided by 1 - decay^age to correct its bias. The
incoming weights of a reset unit are drawn again, its outgoing weights become 0.

Source: "Loss of plasticity in deep continual learning", Dohare et al., Nature 632, 2024, arXiv 2306.13812; the defaults
are those of its experiments in reinforcement learning. These use torch's Adam, and their code keeps the moments and
step counts of reset units (github.com/shibhansh/loss-of-plasticity, issue 10). `optimizer=renew` does what that code
does with its own optimizer, AdamGnT: moments start at zero, and each new weight has its own step count.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..devices import device_with_float64, double
from ..network import MethodNetwork, Network
from ..unit_weights import HiddenLayer
from .method import option
from .own_counts import count_new_steps_, steps_of_its_own
from .unit_resets import UnitResets, Units, by_member, refuse_what_has_no_units, replace_units_, slots, write_

LONG_AGO = -(2**30)  # step of birth for weights that existed before the method started


@dataclass(frozen=True, kw_only=True)
class ContinualBackprop(UnitResets):
    """Reset the mature units of least utility, a few at every step: new incoming weights, zero outgoing weights."""

    replacement_rate: float = option(1e-4, "share of the mature units reset at every step")
    maturity: int = option(10_000, "gradient steps before a new unit may be reset")
    decay: float = option(0.99, "decay rate of the running means of utility and activation")
    biases: Literal["keep", "correct"] = option(
        "keep", "biases of the next layer: kept, or corrected by a reset unit's mean contribution"
    )
    optimizer: Literal["keep", "renew"] = option(
        "keep", "moments and step counts of a reset unit's weights; renew takes longer"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0.0 <= self.replacement_rate <= 1.0, "replacement_rate", "must lie between 0 and 1")
        self.require(self.maturity >= 0, "maturity", "must be 0 or more gradient steps")
        self.require(0.0 <= self.decay < 1.0, "decay", "must be at least 0 and less than 1")

    def check(self, network: Network) -> None:
        """Raise ValueError if the network has no units to replace."""
        refuse_what_has_no_units("cbp", network, renews=self.optimizer == "renew")

    def begin(self, network: MethodNetwork) -> None:
        """Create the memory of utilities and ages."""
        self._begin(network, renews=self.optimizer == "renew")

    def recall(self, network: MethodNetwork, saved: Mapping[str, Tensor]) -> None:
        """Continue a run of an older version, which always renewed Adam's state, as it began.

        The units of a layer that the saved run lacks are born now, since their utility is observed from now on.
        """
        if self.optimizer == "keep" and any(f"{name}.birth" in saved for name in _weights(network)):
            self._begin(network, renews=True)
        super().recall(network, saved)
        for name in (f"{layer.name}.birth" for layer in network.layers):
            if name not in saved:
                network.memory[name].copy_(network.memory["step"])

    def _begin(self, network: MethodNetwork, renews: bool) -> None:
        """Create the memory. Counts are on the device, so that every step does the same operations and can be captured.

        A unit that existed before the method started has 0 as its step of birth, because its utility is observed from
        then on; its weights have LONG_AGO, because Adam's step count, which may have begun earlier, is right for them.
        """
        super().begin(network)
        memory = network.memory
        for layer in network.layers:
            weight = network.module.get_parameter(layer.incoming[0].name)
            memory[f"{layer.name}.utility"] = weight.new_zeros(layer.shape, requires_grad=False)
            memory[f"{layer.name}.birth"] = weight.new_zeros(layer.shape, dtype=torch.int32, requires_grad=False)
            if self.biases == "correct":
                memory[f"{layer.name}.mean"] = weight.new_zeros(layer.shape, requires_grad=False)
            memory[f"{layer.name}.owed"] = torch.zeros((), dtype=torch.float64, device=device_with_float64(weight))
        for name in _weights(network) if renews and steps_of_its_own(network.optimizer) else ():
            parameter = network.module.get_parameter(name)
            memory[f"{name}.birth"] = torch.full_like(parameter, LONG_AGO, dtype=torch.int32, requires_grad=False)

    @torch.no_grad()
    def after_step(self, network: MethodNetwork) -> None:
        """Update the utilities, and replace the units that are due."""
        layers = network.layers
        step = network.memory["step"].add_(1)
        if _renews_counts(network) and (own_steps := steps_of_its_own(network.optimizer)):
            most = {layer.name: min(layer.shape[-1], own_steps * self._most(layer)) for layer in layers}
            count_new_steps_(network, layers, step, own_steps, most)
        for layer in layers:
            if layer.name not in network.activations:  # the layer did not run
                continue
            self._observe(network, layer)
            birth = network.memory[f"{layer.name}.birth"]
            age = step.to(birth.device) - birth  # layers may lie on several devices
            count = self._due(network, layer, age)
            looked_at, chosen = slots(count, self._most(layer))
            if looked_at:
                self._replace(network, layer, self._least_useful(network, layer, age, looked_at), chosen)
                network.memory["replaced"] += count.to(step.device) * math.prod(layer.shape[:-1])

    def _observe(self, network: MethodNetwork, layer: HiddenLayer) -> None:
        activations = network.activations[layer.name]
        length = outgoing_length(network.module, layer)
        means = activations.abs().mean(-1, dtype=length.dtype)  # activations may have lower precision than weights
        network.memory[f"{layer.name}.utility"].lerp_(means * length, 1 - self.decay)
        if self.biases == "correct":
            network.memory[f"{layer.name}.mean"].lerp_(activations.mean(-1, dtype=length.dtype), 1 - self.decay)

    def _due(self, network: MethodNetwork, layer: HiddenLayer, age: Tensor) -> Tensor:
        """Return the number of units to reset now in each member; the fraction left over is kept for later steps."""
        owed = network.memory[f"{layer.name}.owed"]
        mature = double((age > self.maturity).sum(-1).view(-1)[0])
        count = owed.add_(self.replacement_rate * mature).floor().minimum(mature)
        owed.sub_(count)
        return count.long()

    def _most(self, layer: HiddenLayer) -> int:
        """Return an upper bound on the units of one member that are reset at one step."""
        return min(layer.shape[-1], int(self.replacement_rate * layer.shape[-1]) + 1) if self.replacement_rate else 0

    def _least_useful(self, network: MethodNetwork, layer: HiddenLayer, age: Tensor, count: int) -> Units:
        """Return the units of least utility; immature units come last."""
        utility = network.memory[f"{layer.name}.utility"]
        corrected = utility / (1 - self.decay ** age.to(utility.dtype))
        corrected = corrected.masked_fill(age <= self.maturity, math.inf)
        return by_member(corrected.topk(count, largest=False).indices)

    def _replace(self, network: MethodNetwork, layer: HiddenLayer, units: Units, chosen: Tensor | None) -> None:
        memory = network.memory
        step = memory["step"].to(memory[f"{layer.name}.birth"])
        chosen = None if chosen is None else chosen.expand(units[-1].shape)
        if self.biases == "correct":
            mean = memory[f"{layer.name}.mean"]
            age = (step - memory[f"{layer.name}.birth"][units]).to(mean.dtype)
            means = mean[units] / (1 - self.decay**age)
            give_to_readers_(network.module, layer, units, means if chosen is None else means * chosen)
            write_(mean, units, 0.0, chosen)
        moments = self.optimizer == "renew" or _renews_counts(network)
        replace_units_(network, layer, units, moments, chosen)
        write_(memory[f"{layer.name}.utility"], units, 0.0, chosen)
        write_(memory[f"{layer.name}.birth"], units, step, chosen)
        for weights in (*layer.incoming, *layer.outgoing):
            if f"{weights.name}.birth" in memory:
                write_(weights.by_unit(memory[f"{weights.name}.birth"]), units, step, chosen)


def _weights(network: MethodNetwork) -> list[str]:
    """Return the names of all incoming and outgoing weights of hidden units, each once."""
    all_weights = [weights for layer in network.layers for weights in (*layer.incoming, *layer.outgoing)]
    return list(dict.fromkeys(weights.name for weights in all_weights))


def _renews_counts(network: MethodNetwork) -> bool:
    """Whether the memory holds each weight's step of birth, so that weights have their own step counts."""
    return any(f"{name}.birth" in network.memory for name in _weights(network)[:1])


def outgoing_length(module: nn.Module, layer: HiddenLayer) -> Tensor:
    """Return the mean |w| of each unit's outgoing weights, (*shape)."""
    views = [weights.of(module) for weights in layer.outgoing]
    # Averaging over the readers first follows the order of weights in memory, which is twice as fast.
    means = [view.abs().mean(len(layer.shape)).reshape(*layer.shape, -1).mean(-1) for view in views]
    if len(means) == 1:
        return means[0]
    entries = [math.prod(view.shape[len(layer.shape) :]) for view in views]
    return torch.stack([mean * count for mean, count in zip(means, entries, strict=True)]).sum(0) / sum(entries)


def give_to_readers_(module: nn.Module, layer: HiddenLayer, units: Units, means: Tensor) -> None:
    """Add the units' mean contributions to the biases of the layers that read them."""
    members = len(layer.shape) - 1
    for weights in layer.outgoing:
        if weights.bias is not None:
            outgoing = weights.of(module)[units]
            given = outgoing * means.reshape(*means.shape, *[1] * (outgoing.dim() - means.dim()))
            given = given.sum(members).flatten(members).unflatten(members, (outgoing.shape[members + 1], -1)).sum(-1)
            module.get_parameter(weights.bias).view_as(given).add_(given)

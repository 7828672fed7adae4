"""Continual backpropagation: at every step, a small share of the mature units, those of least utility, begins anew.

u <- decay u + (1 - decay) mean |h| mean |w_out|, over 1 - decay^age; incoming weights are drawn anew, outgoing are 0.

Source: "Loss of plasticity in deep continual learning", Dohare et al., Nature 632, 2024, arXiv 2306.13812; the defaults
are those of its experiments in reinforcement learning. These have torch's Adam, of which their code leaves moments and
step counts of replaced units as they are (github.com/shibhansh/loss-of-plasticity, issue 10). `optimizer=renew` is what
it does with an optimizer of its own, AdamGnT: new moments, and steps counted from each new weight's own first.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ..network import MethodNetwork, Network
from ..units import HiddenLayer
from .method import Method
from .own_counts import count_new_steps_, steps_of_its_own
from .renewal import Units, by_member, refuse_what_has_no_units, replace_units_

LONG_AGO = -(2**30)  # when a weight was born that was there before the method


@dataclass(frozen=True, kw_only=True)
class ContinualBackprop(Method):
    """Replace the mature units of least utility, a small share at every step: incoming weights anew, outgoing zero."""

    acts_at_events: ClassVar[bool] = False
    acts_every_step: ClassVar[bool] = True
    watches_units: ClassVar[bool] = True

    replacement_rate: float = field(default=1e-4, metadata={"help": "share of the mature units, at every step"})
    maturity: int = field(default=10_000, metadata={"help": "gradient steps for which a new unit is left alone"})
    decay: float = field(default=0.99, metadata={"help": "of the running means of utility and activation"})
    biases: Literal["keep", "correct"] = field(
        default="keep",
        metadata={"help": "of what reads a replaced unit: kept, or given its mean contribution"},
    )
    optimizer: Literal["keep", "renew"] = field(
        default="keep", metadata={"help": "moments and step counts of a replaced unit's weights; renew takes longer"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0.0 <= self.replacement_rate <= 1.0, "replacement_rate", "must lie between 0 and 1")
        self.require(self.maturity >= 0, "maturity", "must be 0 or more gradient steps")
        self.require(0.0 <= self.decay < 1.0, "decay", "must be at least 0 and less than 1")

    def check(self, network: Network) -> None:
        refuse_what_has_no_units("cbp", network, renews=self.optimizer == "renew")

    def begin(self, network: MethodNetwork) -> None:
        self._begin(network, steps_of_its_own(network.optimizer) if self.optimizer == "renew" else 0)

    def recall(self, network: MethodNetwork, saved: Mapping[str, Tensor]) -> None:
        """A run of a version that renewed Adam's state without being asked to goes on as it began."""
        own_steps = steps_of_its_own(network.optimizer)
        if own_steps and self.optimizer == "keep" and any(f"{name}.birth" in saved for name in _weights(network)):
            self._begin(network, own_steps)
        super().recall(network, saved)

    def _begin(self, network: MethodNetwork, own_steps: int) -> None:
        """Utilities and ages are kept on the device; how many units are due is counted on the CPU, so nothing waits."""
        memory = network.memory
        memory["step"] = torch.zeros((), dtype=torch.int64)
        memory["replaced"] = torch.zeros((), dtype=torch.int64)
        for layer in network.layers:
            weight = network.module.get_parameter(layer.incoming[0].name)
            memory[f"{layer.name}.utility"] = weight.new_zeros(layer.shape, requires_grad=False)
            memory[f"{layer.name}.birth"] = weight.new_zeros(layer.shape, dtype=torch.int32, requires_grad=False)
            if self.biases == "correct":
                memory[f"{layer.name}.mean"] = weight.new_zeros(layer.shape, requires_grad=False)
            memory[f"{layer.name}.owed"] = torch.zeros((), dtype=torch.float64)
            memory[f"{layer.name}.births"] = torch.zeros(max(self.maturity, own_steps) + 2, dtype=torch.int64)
            memory[f"{layer.name}.immature_and_young"] = torch.zeros(2, dtype=torch.int64)
        for name in _weights(network) if own_steps else ():
            parameter = network.module.get_parameter(name)
            memory[f"{name}.birth"] = torch.full_like(parameter, LONG_AGO, dtype=torch.int32, requires_grad=False)

    @torch.no_grad()
    def after_step(self, network: MethodNetwork) -> None:
        layers = network.layers
        step = int(network.memory["step"].add_(1))  # on the CPU, as all that is read here
        own_steps = steps_of_its_own(network.optimizer) if _renews_counts(network) else 0
        for layer in layers:
            self._age(network, layer, step, own_steps)
        if own_steps:
            count_new_steps_(network, layers, step, own_steps)
        for layer in layers:
            if layer.name not in network.activations:  # it did not run
                continue
            self._observe(network, layer)
            if count := self._due(network, layer, step):
                self._replace(network, layer, self._least_useful(network, layer, step, count), step)

    def figures(self, network: MethodNetwork) -> dict[str, float | Tensor]:
        return {"replaced units": network.memory["replaced"]}

    def _age(self, network: MethodNetwork, layer: HiddenLayer, step: int, own_steps: int) -> None:
        """How many units are immature or, to Adam, young: those that come of age leave the counts."""
        births = network.memory[f"{layer.name}.births"]
        births[step % len(births)] = 0
        counts = network.memory[f"{layer.name}.immature_and_young"]
        counts[0] -= births[(step - self.maturity - 1) % len(births)]
        counts[1] -= births[(step - own_steps - 1) % len(births)]

    def _observe(self, network: MethodNetwork, layer: HiddenLayer) -> None:
        activations = network.activations[layer.name]
        length = outgoing_length(network.module, layer)
        network.memory[f"{layer.name}.utility"].lerp_(activations.abs().mean(-1) * length, 1 - self.decay)
        if self.biases == "correct":
            network.memory[f"{layer.name}.mean"].lerp_(activations.mean(-1), 1 - self.decay)

    def _due(self, network: MethodNetwork, layer: HiddenLayer, step: int) -> int:
        """How many units to replace now, of each member as many: fractions add up."""
        owed = network.memory[f"{layer.name}.owed"]
        immature = int(network.memory[f"{layer.name}.immature_and_young"][0])
        mature = layer.shape[-1] - immature if step > self.maturity else 0
        count = min(int(owed.add_(self.replacement_rate * mature)), mature)
        owed.sub_(count)
        births = network.memory[f"{layer.name}.births"]
        births[step % len(births)] = count
        network.memory[f"{layer.name}.immature_and_young"].add_(count)
        return count

    def _least_useful(self, network: MethodNetwork, layer: HiddenLayer, step: int, count: int) -> Units:
        age = step - network.memory[f"{layer.name}.birth"]
        utility = network.memory[f"{layer.name}.utility"]
        corrected = utility / (1 - self.decay ** age.to(utility.dtype))
        corrected = corrected.masked_fill(age <= self.maturity, math.inf)
        return by_member(corrected.topk(count, largest=False).indices)

    def _replace(self, network: MethodNetwork, layer: HiddenLayer, units: Units, step: int) -> None:
        memory = network.memory
        if self.biases == "correct":
            mean = memory[f"{layer.name}.mean"]
            age = (step - memory[f"{layer.name}.birth"][units]).to(mean.dtype)
            give_to_readers_(network.module, layer, units, mean[units] / (1 - self.decay**age))
            mean[units] = 0
        replace_units_(network, layer, units, moments=self.optimizer == "renew" or _renews_counts(network))
        memory[f"{layer.name}.utility"][units] = 0
        memory[f"{layer.name}.birth"][units] = step
        for weights in (*layer.incoming, *layer.outgoing):
            if f"{weights.name}.birth" in memory:
                weights.by_unit(memory[f"{weights.name}.birth"])[units] = step
        memory["replaced"] += units[-1].numel()


def _weights(network: MethodNetwork) -> list[str]:
    """The parameters that lead to hidden units, or read them, each once."""
    all_weights = [weights for layer in network.layers for weights in (*layer.incoming, *layer.outgoing)]
    return list(dict.fromkeys(weights.name for weights in all_weights))


def _renews_counts(network: MethodNetwork) -> bool:
    """Whether it was remembered when each weight was born."""
    return any(f"{name}.birth" in network.memory for name in _weights(network)[:1])


def outgoing_length(module: nn.Module, layer: HiddenLayer) -> Tensor:
    """mean |w| of all weights that read each unit, (*shape)."""
    views = [weights.of(module) for weights in layer.outgoing]
    # First over what reads them, in the order in which weights are stored: twice as fast.
    means = [view.abs().mean(len(layer.shape)).reshape(*layer.shape, -1).mean(-1) for view in views]
    if len(means) == 1:
        return means[0]
    entries = [math.prod(view.shape[len(layer.shape) :]) for view in views]
    return torch.stack([mean * count for mean, count in zip(means, entries, strict=True)]).sum(0) / sum(entries)


def give_to_readers_(module: nn.Module, layer: HiddenLayer, units: Units, means: Tensor) -> None:
    """What the units contribute on average goes into the biases of what reads them."""
    members = len(layer.shape) - 1
    for weights in layer.outgoing:
        if weights.bias is not None:
            outgoing = weights.of(module)[units]
            given = outgoing * means.reshape(*means.shape, *[1] * (outgoing.dim() - means.dim()))
            given = given.sum(members).flatten(members).unflatten(members, (outgoing.shape[members + 1], -1)).sum(-1)
            module.get_parameter(weights.bias).view_as(given).add_(given)

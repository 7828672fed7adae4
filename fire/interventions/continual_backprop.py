"""Continual backpropagation: at every step, a small share of the mature units, those of least utility, begins anew.

u <- decay u + (1 - decay) mean |h| mean |w_out|, over 1 - decay^age; incoming weights are drawn anew, outgoing are 0.

Source: "Loss of plasticity in deep continual learning", Dohare et al., Nature 632, 2024, arXiv 2306.13812; the defaults
are those of its experiments in reinforcement learning. Adam counts the steps of each new weight from its own first.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from ..network import Network, refuse_missing_initial, refuse_unknown
from ..units import HiddenLayer, Weights, hidden_layers, new_draw
from .intervention import Intervention

LONG_AGO = -(2**30)  # when a weight was born that was there before the method
OWN_STEPS = 50  # for how long Adam counts a new weight's steps by themselves, at most: it costs time
Units = tuple[Tensor, ...]  # indices of some units of a layer: (units,), or (members, units) that broadcast


@dataclass(frozen=True, kw_only=True)
class ContinualBackprop(Intervention):
    """Replace mature units of least utility, a few in a thousand steps: incoming weights anew, outgoing zero."""

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

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.replacement_rate <= 1.0:
            raise ValueError(f"replacement_rate={self.replacement_rate} must lie between 0 and 1")
        if self.maturity < 0:
            raise ValueError(f"maturity={self.maturity} must be 0 or more gradient steps")
        if not 0.0 <= self.decay < 1.0:
            raise ValueError(f"decay={self.decay} must be at least 0 and less than 1")

    def check(self, network: Network) -> None:
        refuse_what_has_no_units("cbp", network)

    def begin(self, network: Network) -> None:
        """What stays on the device tells units apart; how many are due is counted on the CPU, so nobody waits."""
        memory, own_steps = network.memory, steps_of_its_own(network.optimizer)
        memory["step"] = torch.zeros((), dtype=torch.int64)
        memory["replaced"] = torch.zeros((), dtype=torch.int64)
        for layer in hidden_layers(network.module):
            weight = network.module.get_parameter(layer.incoming[0].name)
            memory[f"{layer.name}.utility"] = weight.new_zeros(layer.shape, requires_grad=False)
            memory[f"{layer.name}.birth"] = weight.new_zeros(layer.shape, dtype=torch.int32, requires_grad=False)
            if self.biases == "correct":
                memory[f"{layer.name}.mean"] = weight.new_zeros(layer.shape, requires_grad=False)
            memory[f"{layer.name}.owed"] = torch.zeros((), dtype=torch.float64)
            memory[f"{layer.name}.births"] = torch.zeros(max(self.maturity, own_steps) + 2, dtype=torch.int64)
            memory[f"{layer.name}.immature_and_young"] = torch.zeros(2, dtype=torch.int64)
            for weights in (*layer.incoming, *layer.outgoing) if own_steps else ():
                parameter = network.module.get_parameter(weights.name)
                memory[f"{weights.name}.birth"] = torch.full_like(
                    parameter, LONG_AGO, dtype=torch.int32, requires_grad=False
                )

    @torch.no_grad()
    def after_step(self, network: Network) -> None:
        layers = hidden_layers(network.module)
        step = int(network.memory["step"].add_(1))  # on the CPU, as all that is read here
        own_steps = steps_of_its_own(network.optimizer)
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

    def figures(self, network: Network) -> dict[str, float | Tensor]:
        return {"replaced units": network.memory["replaced"]}

    def _age(self, network: Network, layer: HiddenLayer, step: int, own_steps: int) -> None:
        """How many units are immature or, to Adam, young: those that come of age leave the counts."""
        births = network.memory[f"{layer.name}.births"]
        births[step % len(births)] = 0
        counts = network.memory[f"{layer.name}.immature_and_young"]
        counts[0] -= births[(step - self.maturity - 1) % len(births)]
        counts[1] -= births[(step - own_steps - 1) % len(births)]

    def _observe(self, network: Network, layer: HiddenLayer) -> None:
        activations = network.activations[layer.name]
        length = outgoing_length(network.module, layer)
        network.memory[f"{layer.name}.utility"].lerp_(activations.abs().mean(-1) * length, 1 - self.decay)
        if self.biases == "correct":
            network.memory[f"{layer.name}.mean"].lerp_(activations.mean(-1), 1 - self.decay)

    def _due(self, network: Network, layer: HiddenLayer, step: int) -> int:
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

    def _least_useful(self, network: Network, layer: HiddenLayer, step: int, count: int) -> Units:
        age = step - network.memory[f"{layer.name}.birth"]
        utility = network.memory[f"{layer.name}.utility"]
        corrected = utility / (1 - self.decay ** age.to(utility.dtype))
        corrected = corrected.masked_fill(age <= self.maturity, math.inf)
        return by_member(corrected.topk(count, largest=False).indices)

    def _replace(self, network: Network, layer: HiddenLayer, units: Units, step: int) -> None:
        memory = network.memory
        if self.biases == "correct":
            mean = memory[f"{layer.name}.mean"]
            age = (step - memory[f"{layer.name}.birth"][units]).to(mean.dtype)
            give_to_readers_(network.module, layer, units, mean[units] / (1 - self.decay**age))
            mean[units] = 0
        replace_units_(network, layer, units)
        memory[f"{layer.name}.utility"][units] = 0
        memory[f"{layer.name}.birth"][units] = step
        for weights in (*layer.incoming, *layer.outgoing):
            if f"{weights.name}.birth" in memory:
                weights.by_unit(memory[f"{weights.name}.birth"])[units] = step
        memory["replaced"] += units[-1].numel()


def refuse_what_has_no_units(method: str, network: Network) -> None:
    if not hidden_layers(network.module):
        raise ValueError(f"{method}: network {network.name!r} has no hidden units whose weights are known")
    refuse_missing_initial(network)
    if network.optimizer is not None:
        refuse_unknown(network.optimizer, advice="")


def by_member(indices: Tensor) -> Units:
    """Indices of units, (count,) or (members, count), as they index a tensor that begins with the layer's shape."""
    if indices.dim() == 1:
        return (indices,)
    return torch.arange(len(indices), device=indices.device).unsqueeze(-1), indices


def outgoing_length(module: nn.Module, layer: HiddenLayer) -> Tensor:
    """mean |w| of all weights that read each unit, (*shape)."""
    views = [weights.by_unit(module.get_parameter(weights.name)) for weights in layer.outgoing]
    # First over what reads them, as the weights lie in memory: twice as fast.
    means = [view.abs().mean(len(layer.shape)).reshape(*layer.shape, -1).mean(-1) for view in views]
    if len(means) == 1:
        return means[0]
    entries = [math.prod(view.shape[len(layer.shape) :]) for view in views]
    return torch.stack([mean * count for mean, count in zip(means, entries, strict=True)]).sum(0) / sum(entries)


def replace_units_(network: Network, layer: HiddenLayer, units: Units) -> None:
    """Incoming weights drawn anew, incoming biases and outgoing weights zero, all their moments zero."""
    for weights in (*layer.incoming, *layer.outgoing):
        parameter = network.module.get_parameter(weights.name)
        view = weights.by_unit(parameter)
        if weights is layer.incoming[0]:
            shape = (*units[-1].shape, *view.shape[len(layer.shape) :])
            view[units] = new_draw(network.initial[weights.name], shape, network.generator)
        else:
            view[units] = 0
        for value in optimizer_state(network, parameter).values():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                weights.by_unit(value)[units] = 0


def give_to_readers_(module: nn.Module, layer: HiddenLayer, units: Units, means: Tensor) -> None:
    """What the units contribute on average goes into the biases of what reads them."""
    members = len(layer.shape) - 1
    for weights in layer.outgoing:
        if weights.bias is not None:
            outgoing = weights.by_unit(module.get_parameter(weights.name))[units]
            given = outgoing * means.reshape(*means.shape, *[1] * (outgoing.dim() - means.dim()))
            given = given.sum(members).flatten(members).unflatten(members, (outgoing.shape[members + 1], -1)).sum(-1)
            module.get_parameter(weights.bias).view_as(given).add_(given)


# Adam divides its moments by 1 - beta^steps, for they begin at zero, and has one count of steps for a whole parameter.
# With betas 0.9 and 0.999 that moves a new weight up to 6.5 times too far, and too far for hundreds of steps. So what
# Adam did is made what it does by a count of the weight's own, exactly so for its first 50 steps. Then its moments are
# divided once and for all, and the parameter's count is right for them too: averages, in which those steps weigh more.


def steps_of_its_own(optimizer: Optimizer | None) -> int:
    """For how many steps a new weight is counted for by itself; 0 for optimizers that do not count."""
    if type(optimizer) not in (Adam, AdamW):
        return 0
    assert optimizer is not None
    return min(OWN_STEPS, max(round(1 / (1 - group["betas"][1])) for group in optimizer.param_groups))


def count_new_steps_(network: Network, layers: Sequence[HiddenLayer], step: int, own_steps: int) -> None:
    """Adam's last step, made that of a weight with a count of its own; asked of all layers before one changes."""
    assert network.optimizer is not None
    groups = {id(parameter): group for group in network.optimizer.param_groups for parameter in group["params"]}
    writes: list[tuple[Tensor, Units, Tensor]] = []
    for layer in layers:
        births = network.memory[f"{layer.name}.births"]
        young = min(int(network.memory[f"{layer.name}.immature_and_young"][1]), layer.shape[-1])
        if young == 0:
            continue
        units = by_member(network.memory[f"{layer.name}.birth"].topk(young).indices)
        grown = bool(births[(step - own_steps) % len(births)])
        for weights in (*layer.incoming, *layer.outgoing):
            parameter = network.module.get_parameter(weights.name)
            if state := optimizer_state(network, parameter):
                own = (step - weights.by_unit(network.memory[f"{weights.name}.birth"])[units]).to(parameter.dtype)
                changes = _with_own_count(weights, units, parameter, state, groups[id(parameter)], own, own_steps)
                writes += [(view, units, values) for view, values in (changes if grown else [next(changes)])]
    # A weight between two new units was looked at from both sides: written last, it is changed once.
    for view, units, values in writes:
        view[units] = values


def _with_own_count(
    weights: Weights,
    units: Units,
    parameter: Tensor,
    state: Mapping[str, Tensor],
    group: Mapping[str, Any],
    own: Tensor,
    own_steps: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The weights with a step by their own count; then, where that ends, moments that go on under the shared one."""
    shared = state["step"].to(own)
    own = own.minimum(shared)
    second = weights.by_unit(state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"])[units]
    first = weights.by_unit(state["exp_avg"])[units]
    beta1, beta2 = group["betas"]

    def direction(count: Tensor) -> Tensor:
        return first / _weight(beta1, count) / ((second / _weight(beta2, count)).sqrt() + group["eps"])

    rate = -group["lr"] if group["maximize"] else group["lr"]
    view = weights.by_unit(parameter)
    yield view, torch.where(own <= own_steps, view[units] + rate * (direction(shared) - direction(own)), view[units])
    for key, beta in (("exp_avg", beta1), ("exp_avg_sq", beta2), ("max_exp_avg_sq", beta2)):
        if key in state:
            moments = weights.by_unit(state[key])
            handed_over = moments[units] * _weight(beta, shared) / _weight(beta, own)
            yield moments, torch.where(own == own_steps, handed_over, moments[units])


def _weight(beta: float, count: Tensor) -> Tensor:
    """1 - beta^count, also where that is small."""
    return -torch.expm1(count * (math.log(beta) if beta else -math.inf))


def optimizer_state(network: Network, parameter: Tensor) -> Mapping[str, Any]:
    """Empty before the first step, and for what is not trained."""
    return {} if network.optimizer is None else network.optimizer.state.get(parameter, {})

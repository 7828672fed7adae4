"""Separate step counts in Adam for weights that were reset, as the optimizer AdamGnT of continual backpropagation has.

Adam's moments start at zero, so Adam divides them by 1 - beta^steps, with one step count for a whole parameter. For a
weight that was reset later this count is too large: with betas 0.9 and 0.999 the weight moves up to 6.5 times too far,
and too far for hundreds of steps. Therefore, during a weight's first 50 steps, each step of Adam is corrected to the
exact step that the weight's own count would give. Then its moments are rescaled once, so that from then on the
parameter's count is right for them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer

from ..network import MethodNetwork
from ..unit_weights import HiddenLayer, Weights
from .unit_resets import Units, by_member, known_at_once, optimizer_state, slots

OWN_STEPS = 50  # at most so many steps are counted separately for a new weight, as this costs time


def steps_of_its_own(optimizer: Optimizer | None) -> int:
    """Return for how many steps a new weight has its own step count; 0 for optimizers that do not count steps."""
    if type(optimizer) not in (Adam, AdamW):
        return 0
    assert optimizer is not None
    return min(OWN_STEPS, max(round(1 / (1 - group["betas"][1])) for group in optimizer.param_groups))


def count_new_steps_(
    network: MethodNetwork, layers: Sequence[HiddenLayer], step: Tensor, own_steps: int, most: Mapping[str, int]
) -> None:
    """Correct Adam's last step of new weights to their own step counts. Call this before any layer is changed.

    `most` bounds the number of new units in each layer. On a GPU that many units are processed, and old units among
    them keep their weights.
    """
    assert network.optimizer is not None
    groups = {id(parameter): group for group in network.optimizer.param_groups for parameter in group["params"]}
    writes: list[tuple[Tensor, Units, Tensor]] = []
    for layer in layers:
        birth = network.memory[f"{layer.name}.birth"]
        now = step.to(birth.device)
        if known_at_once(birth) and not 0 < int(birth.max()) >= int(now) - own_steps:
            continue  # no unit is new, as at most steps
        age = torch.where(birth > 0, now - birth, own_steps + 1)
        looked_at, _ = slots((age <= own_steps).sum(-1).view(-1)[0], most[layer.name])
        if looked_at == 0:
            continue
        units = by_member(birth.topk(looked_at).indices)
        grown = not known_at_once(age) or bool((age == own_steps).any())
        for weights in (*layer.incoming, *layer.outgoing):
            parameter = network.module.get_parameter(weights.name)
            if state := optimizer_state(network, parameter):
                own = (now - weights.by_unit(network.memory[f"{weights.name}.birth"])[units]).to(parameter.dtype)
                changes = _with_own_count(weights, units, parameter, state, groups[id(parameter)], own, own_steps)
                writes += [(view, units, values) for view, values in (changes if grown else [next(changes)])]
    # A weight between two new units was computed twice, from its old value: written afterwards, it is changed once.
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
    """Yield the weights after a step with their own count, then moments rescaled for the shared count at its end."""
    shared = state["step"].to(own)
    own = own.minimum(shared)
    second = weights.by_unit(state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"])[units]
    first = weights.by_unit(state["exp_avg"])[units]
    beta1, beta2 = group["betas"]

    def direction(count: Tensor) -> Tensor:
        return first / _weight(beta1, count) / ((second / _weight(beta2, count)).sqrt() + group["eps"])

    view = weights.by_unit(parameter)  # with maximize=True, torch negates the gradient before the moments
    corrected = view[units] + group["lr"] * (direction(shared) - direction(own))
    yield view, torch.where(own <= own_steps, corrected, view[units])
    for key, beta in (("exp_avg", beta1), ("exp_avg_sq", beta2), ("max_exp_avg_sq", beta2)):
        if key in state:
            moments = weights.by_unit(state[key])
            handed_over = moments[units] * _weight(beta, shared) / _weight(beta, own)
            yield moments, torch.where(own == own_steps, handed_over, moments[units])


def _weight(beta: float, count: Tensor) -> Tensor:
    """Return 1 - beta^count, precisely also if it is small."""
    return -torch.expm1(count * (math.log(beta) if beta else -math.inf))

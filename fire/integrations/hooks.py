"""Run methods that act at every gradient step without editing the training loop, by torch's optimizer hooks.

The hooks run before and after `optimizer.step`. A penalty is added to the gradient instead of the loss, which gives
the same gradient: d(loss + penalty) = d loss + d penalty. Operations on gradients between `backward` and `step`, such
as clipping, do not include the penalty.
"""

from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ..manager import PlasticityManager


class Attached:
    """The hooks by which a manager acts at every step, until `detach` removes them."""

    def __init__(self, manager: PlasticityManager, handles: list[RemovableHandle]) -> None:
        self._manager, self._handles = manager, handles

    def detach(self) -> None:
        """Remove all hooks from optimizers and networks; `attach` adds them again."""
        for handle in self._handles:
            handle.remove()
        if self._handles:
            self._manager.note_attached(False)
        self._handles.clear()
        self._manager.close()


def attach(manager: PlasticityManager) -> Attached:
    """Let the manager act at every step of its networks' optimizers. The caller still starts events, by `act`."""
    handles: list[RemovableHandle] = []
    every_step = manager.acts_every_step or manager.has_penalty
    for name, network in manager.networks.items() if every_step else ():
        if network.optimizer is None:
            raise ValueError(f"network {name!r} has no optimizer: methods that act at every step need one")
    if every_step and manager.networks:
        manager.note_attached(True)
    manager.watch()
    for name, network in manager.networks.items() if every_step else ():
        assert network.optimizer is not None
        if manager.has_penalty:
            handles.append(network.optimizer.register_step_pre_hook(partial(_add_penalty, manager, name)))
        if manager.acts_every_step:
            handles.append(network.optimizer.register_step_post_hook(partial(_after_step, manager, name)))
    return Attached(manager, handles)


def _add_penalty(
    manager: PlasticityManager, name: str, optimizer: Optimizer, arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    if any(callable(argument) for argument in (*arguments, *named.values())):
        raise ValueError(
            f"the optimizer of network {name!r} computes gradients in a closure: add manager.penalty({name!r}) to the "
            "loss there, and do not attach the manager"
        )
    with torch.enable_grad():
        penalty = manager.sum_penalties(name)
    if penalty is None or not penalty.requires_grad:
        return
    stepped = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    parameters = [
        parameter
        for parameter in manager.networks[name].module.parameters()
        if parameter.requires_grad and id(parameter) in stepped
    ]
    if (scale := getattr(optimizer, "grad_scale", None)) is not None:  # of a GradScaler, for fused optimizers
        penalty = penalty * scale
    gradients = torch.autograd.grad(penalty, parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)


def _after_step(
    manager: PlasticityManager, name: str, optimizer: Optimizer, arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    manager.follow_step(name)

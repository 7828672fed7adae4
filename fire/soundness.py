"""Refuse networks with which a method would silently do nothing, or the wrong thing."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .methods import Method
from .nearest import nearest
from .network import Network, tensors_in
from .spelling import spell

CLONED = "{name: value.detach().clone() for name, value in module.state_dict().items()}"


def refuse_unsound(networks: Sequence[Network]) -> None:
    """Raise ValueError, with what to give instead, if a method would change nothing, or the wrong thing."""
    owners: dict[int, tuple[str, str]] = {}
    for network in networks:
        if not isinstance(network, Network):
            raise ValueError(f"a {type(network).__name__} given as a network: give Network(name, module, initial, ...)")
        what, module = f"network {network.name!r}", network.module
        if not isinstance(module, nn.Module):
            raise ValueError(f"{what}: its module is a {type(module).__name__}, not an nn.Module")
        parameters = dict(module.named_parameters())
        if not parameters:
            raise ValueError(f"{what} has no parameters")
        if away := next((name for name, value in parameters.items() if value.is_meta), None):
            raise ValueError(f"{what}: {away!r} has no values yet, as it is on the meta device")
        for name, parameter in parameters.items():
            other, theirs = owners.setdefault(id(parameter), (network.name, name))
            if other != network.name:
                raise ValueError(
                    f"networks {other!r} and {network.name!r} share {theirs!r}, which an event would rewrite twice: "
                    "give it to one of them only"
                )
        _check_parts(network)
        _check_initial(network)
        _check_optimizer(network, parameters)
        _check_companions(network)


def notes_on_processes(methods: Iterable[Method]) -> list[str]:
    """Return a sentence for each method with which the copies of a network in several processes would drift apart."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return []
    return [
        f"{spell(one)} depends on the examples or inputs of its own process: broadcast the parameters from one "
        "process after it acts, or the copies of the network drift apart"
        for one in methods
        if one.watches_units or one.needs_loss or one.needs_inputs
    ]


def refuse_foreign_targets(networks: Sequence[Network]) -> None:
    """Raise ValueError if a target is not a separate copy with the same layers as its network."""
    for network in networks:
        target, what = network.target, f"network {network.name!r}"
        if target is None:
            continue
        if not isinstance(target, nn.Module):
            raise ValueError(f"{what}: its target is a {type(target).__name__}, not an nn.Module")
        now, theirs = tensors_in(network.module), tensors_in(target)
        if _storages(now.values()) & _storages(theirs.values()):
            raise ValueError(f"{what}: its target shares tensors with the network: give target=copy.deepcopy(module)")
        if odd := next((name for name in (*now, *theirs) if (name in now) != (name in theirs)), None):
            raise ValueError(f"{what}: only one of network and target has {odd!r}: a target must have the same layers")
        for name, value in now.items():
            if value.shape != theirs[name].shape:
                shapes = f"{tuple(theirs[name].shape)}, the network's {tuple(value.shape)}"
                raise ValueError(f"{what}: its target's {name!r} has shape {shapes}: give a copy of the network")


def _check_parts(network: Network) -> None:
    """Raise ValueError if a name in encoder or head is not the name of a module."""
    modules = [name for name, _ in network.module.named_modules() if name]
    for part, names in (("encoder", network.encoder), ("head", network.head)):
        if isinstance(names, str) or not isinstance(names, Sequence):
            right = f"({names!r},)" if isinstance(names, str) else "a tuple of names"
            raise ValueError(f"network {network.name!r}: {part}={names!r} given: give {part}={right}")
        for name in names:
            if name not in modules:
                near = f"; nearest is {nearest(str(name), modules)}" if modules else ""
                raise ValueError(f"network {network.name!r}: its {part} {name!r} is not the name of a module{near}")


def _check_initial(network: Network) -> None:
    """Raise ValueError if the initial values are not separate copies of the right shapes."""
    what = f"network {network.name!r}"
    if not isinstance(network.initial, Mapping):
        raise ValueError(f"{what}: initial is a {type(network.initial).__name__}, not a state_dict: give {CLONED}")
    now = tensors_in(network.module)
    for owner, module in (("module", network.module), ("target", network.target)):
        if not isinstance(module, nn.Module):
            continue
        own = _storages(tensors_in(module).values())
        if shared := next((name for name, value in network.initial.items() if own & _storages([value])), None):
            raise ValueError(
                f"{what}: initial[{shared!r}] is the {owner}'s own tensor and changes with it, so "
                f"that a reset would change nothing: at the start of training give initial={CLONED}"
            )
    for name, value in network.initial.items():
        if name in now and value.device != now[name].device:
            raise ValueError(
                f"{what}: initial[{name!r}] is on {value.device}, the module on {now[name].device}: move the module "
                "first, and then copy its initial values"
            )
        if name in now and value.shape != now[name].shape:
            raise ValueError(
                f"{what}: initial[{name!r}] has shape {tuple(value.shape)}, the module's "
                f"{tuple(now[name].shape)}: do the initial values belong to another network?"
            )


def _check_optimizer(network: Network, parameters: Mapping[str, Tensor]) -> None:
    groups: Any = getattr(network.optimizer, "param_groups", None)
    if network.optimizer is None or groups is None:
        return
    held = {id(parameter) for group in groups for parameter in group["params"]}
    if not any(id(parameter) in held for parameter in parameters.values()):
        raise ValueError(
            f"network {network.name!r}: its optimizer holds none of its parameters: create it by "
            f"torch.optim.{type(network.optimizer).__name__}(module.parameters(), ...)"
        )


def _check_companions(network: Network) -> None:
    for companion in network.companions:
        what = f"network {network.name!r}, companion {companion.name!r}"
        shapes = [tuple(value.shape for value in values) for values in (companion.parameters, companion.initial)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"{what}: parameters have the shapes {shapes[0]}, but initial values {shapes[1]}")
        same = set(map(id, companion.parameters)) & set(map(id, companion.initial))  # empty tensors share no storage
        if same or _storages(companion.parameters) & _storages(companion.initial):
            raise ValueError(
                f"{what}: an initial value is the parameter's own tensor and changes with it: give "
                "initial=(parameter.detach().clone(),)"
            )


def _storages(values: Iterable[object]) -> set[int]:
    """Return the addresses of the storages of all tensors that are not empty."""
    return {value.untyped_storage().data_ptr() for value in values if isinstance(value, Tensor) and value.numel()}

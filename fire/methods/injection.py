"""Plasticity injection: the head h(x) becomes h(x) + (h0'(x) - h0(x)), where h and h0 are frozen and h0' is trained.

The encoder is trained as before. Source: "Deep Reinforcement Learning with Plasticity Injection", Nikishin et al.,
NeurIPS 2023, arXiv 2305.15555. As in the experiments of FIRE (arXiv 2602.08040), h0 is the run's own initial head and
not a new random one.
"""

import copy
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..injected import Injected
from ..nearest import nearest
from ..network import (
    Network,
    exchange_,
    lies_in,
    refuse_missing_initial,
    refuse_not_renewable,
    refuse_unknown,
    renew_around_,
    restore_,
    tensors_in,
)
from .method import Method, Renewal, option


@dataclass(frozen=True, kw_only=True)
class Injection(Method):
    """Add a new trained copy to the head: h(x) <- h(x) + (h0'(x) - h0(x)), h and h0 frozen.

    The network's outputs do not change at the injection. A target is injected too, around its own old head; later
    updates of the target, copies or averages, include its frozen parts. A second injection freezes the whole injected
    head of the first.
    """

    optimizer: Renewal = option("renew", "its moments and step counts; keep keeps those of the encoder only")
    companions: Renewal = option("keep", "such as SAC's temperature; kept by default, as the policy does not change")

    def check(self, network: Network) -> None:
        """Raise ValueError if the network has no head that can be replaced."""
        if not network.head:
            raise ValueError(f"injection: network {network.name!r} names no head")
        modules = [name for name, _ in network.module.named_modules()]
        for name in network.head:
            if name not in modules:
                close = nearest(name, modules)
                raise ValueError(f"injection: network {network.name!r} has no module {name!r}; nearest is {close}")
            _refuse_shared(network, name)
        refuse_missing_initial(network)
        if network.optimizer is not None:
            refuse_unknown(network.optimizer, advice="")
        refuse_not_renewable(network, optimizer=False, companions=self.companions == "renew")

    def restructure(self, network: Network) -> None:
        """Inject the heads. This depends on names and shapes only, so it can be repeated to load a checkpoint."""
        for name in network.head:
            head = network.module.get_submodule(name)
            first = _first_values(network.initial, name, head)
            injected = _injected(head, first)
            if network.optimizer is not None:
                exchange_(network.optimizer, _learner(head).parameters(), injected.trained.parameters())
            for parameter in head.parameters():
                parameter.grad = None
            _put(network.module, name, injected)
            if network.target is not None:
                _put(network.target, name, _injected(network.target.get_submodule(name), first))
            _extend(network.initial, name, first)

    @torch.no_grad()
    def act(self, network: Network) -> None:
        """Renew optimizer and companions as the options say; `restructure` has replaced the head."""
        renew_around_(network, optimizer=self.optimizer == "renew", companions=self.companions == "renew")


def _learner(head: nn.Module) -> nn.Module:
    """Return the part of a head that is trained: all of it before the first injection."""
    return head.trained if isinstance(head, Injected) else head


def _first_values(initial: Mapping[str, Tensor], name: str, head: nn.Module) -> dict[str, Tensor]:
    """Return the head's initial values, by names relative to the head."""
    prefix = f"{name}.trained" if isinstance(head, Injected) else name
    return {key: initial[f"{prefix}.{key}"] for key in tensors_in(_learner(head))}


def _injected(head: nn.Module, first: Mapping[str, Tensor]) -> Injected:
    """Return the head with two copies of its initial self; parameters frozen before stay frozen."""
    trained = copy.deepcopy(_learner(head))
    restore_(trained, first, lambda name: True)
    return Injected(head, trained)


def _put(module: nn.Module, name: str, child: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    module.get_submodule(parent).register_module(last, child)


def _extend(initial: MutableMapping[str, Tensor], name: str, first: Mapping[str, Tensor]) -> None:
    """Add initial values under the new names; a full reset then gives h0(x) + (h0(x) - h0(x)), the initial head."""
    for key in [key for key in initial if lies_in(key, (name,))]:
        initial[f"{name}.old{key.removeprefix(name)}"] = initial.pop(key)
    for part in ("trained", "frozen"):
        for key, value in first.items():
            initial[f"{name}.{part}.{key}"] = value.clone()


def _refuse_shared(network: Network, name: str) -> None:
    """Raise ValueError if a module outside the head shares its parameters, as it would be frozen too."""
    named = network.module.named_parameters(remove_duplicate=False)
    owners = {id(parameter): key for key, parameter in named if not lies_in(key, (name,))}
    for parameter in network.module.get_submodule(name).parameters():
        if other := owners.get(id(parameter)):
            raise ValueError(f"injection: head {name!r} of network {network.name!r} shares a weight with {other!r}")

"""Plasticity injection: h(x) <- h(x) + (h0'(x) - h0(x)); h and h0 frozen, h0' learns, all on the encoder that goes on.

Source: "Deep Reinforcement Learning with Plasticity Injection", Nikishin et al., NeurIPS 2023, arXiv 2305.15555; as in
the experiments of FIRE (arXiv 2602.08040), h0 is the run's own initial head and not a new draw.
"""

import copy
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from ..injected import Injected
from ..nearest import nearest
from ..network import Network, exchange_, lies_in, refuse_missing_initial, refuse_unknown, renew_around_
from .method import Method


@dataclass(frozen=True, kw_only=True)
class Injection(Method):
    """Give the head a new copy that learns: h(x) <- h(x) + (h0'(x) - h0(x)), h and h0 frozen.

    Outputs are the same right after it. A target gets the same around its own old head; what moves it towards the
    network, a copy or an average, takes its frozen parts along. A second injection freezes the first as a whole.
    """

    optimizer: Literal["renew", "keep"] = field(
        default="renew", metadata={"help": "its moments and step counts; keep: the encoder's only"}
    )
    companions: Literal["renew", "keep"] = field(
        default="keep", metadata={"help": "as SAC's temperature; kept, since the policy stays the same"}
    )

    def check(self, network: Network) -> None:
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

    def restructure(self, network: Network) -> None:
        """Depends on names and shapes alone, so that it can be done again before a checkpoint's tensors are loaded."""
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
        renew_around_(network, optimizer=self.optimizer == "renew", companions=self.companions == "renew")


def _learner(head: nn.Module) -> nn.Module:
    """The part of a head that is trained: all of it before the first injection."""
    return head.trained if isinstance(head, Injected) else head


def _first_values(initial: Mapping[str, Tensor], name: str, head: nn.Module) -> dict[str, Tensor]:
    """The head's values on the first day, by names within it."""
    prefix = f"{name}.trained" if isinstance(head, Injected) else name
    return {key: initial[f"{prefix}.{key}"] for key in _learner(head).state_dict()}


def _injected(head: nn.Module, first: Mapping[str, Tensor]) -> Injected:
    """The head with copies of its first day; what takes gradients before takes them afterwards."""
    trained = copy.deepcopy(_learner(head))
    trained.load_state_dict(first)
    return Injected(head, trained)


def _put(module: nn.Module, name: str, child: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    module.get_submodule(parent).register_module(last, child)


def _extend(initial: MutableMapping[str, Tensor], name: str, first: Mapping[str, Tensor]) -> None:
    """Initial values under the new names: all put back, the head is h0(x) + (h0(x) - h0(x)), that of the first day."""
    for key in [key for key in initial if lies_in(key, (name,))]:
        initial[f"{name}.old{key.removeprefix(name)}"] = initial.pop(key)
    for part in ("trained", "frozen"):
        for key, value in first.items():
            initial[f"{name}.{part}.{key}"] = value.clone()


def _refuse_shared(network: Network, name: str) -> None:
    """Freezing a head would freeze what shares its parameters."""
    owners: dict[int, str] = {}
    for key, parameter in network.module.named_parameters(remove_duplicate=False):
        if not lies_in(key, (name,)):
            owners[id(parameter)] = key
    for parameter in network.module.get_submodule(name).parameters():
        if other := owners.get(id(parameter)):
            raise ValueError(f"injection: head {name!r} of network {network.name!r} shares a weight with {other!r}")

"""The base of methods that rewrite weights at an event: where they act, and what is reset together with the weights."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import nn

from ..injected import Injected
from ..network import (
    MethodNetwork,
    Network,
    aliases_in,
    lies_in,
    refuse_missing_initial,
    refuse_not_renewable,
    refuse_shared,
    renew_around_,
    restore_,
)
from ..report import left_rows
from ..statistics import modules_with_statistics, stale_rows
from .method import Method, Renewal, option

Touches = Callable[[str], bool]


@dataclass(frozen=True, kw_only=True)
class Reinitialization(Method, ABC):
    """Rewrite weights. Defaults as published for SAC: all weights, optimizer and companions reset, target a copy."""

    scope: Literal["all", "encoder", "head"] = option("all", "where it acts")
    outside: Literal["keep", "reset"] = option(
        "keep", "weights outside the scope: kept, or reset to their initial values"
    )
    optimizer: Renewal = option("renew", "its moments and step counts")
    companions: Renewal = option("renew", "such as SAC's temperature")
    target: Literal["copy", "same", "keep"] = option(
        "copy", "the target network: made a copy, changed in the same way, or kept"
    )

    @abstractmethod
    def rewrite(self, module: nn.Module, network: MethodNetwork, touches: Touches) -> None:
        """Rewrite in place the weights whose names `touches` accepts, in the network's own module or its target."""

    def altered(self, values: Mapping[str, Any]) -> Self:
        """Return the method with other values; if the scope changes, `outside` becomes "keep" unless it is given."""
        if values.get("scope", self.scope) != self.scope:
            values = {"outside": "keep", **values}
        return super().altered(values)

    def check(self, network: Network) -> None:
        """Raise ValueError if the network lacks the part, initial values, or an optimizer that can be renewed."""
        if self.scope != "all" and not self._parts(network):
            raise ValueError(f"scope={self.scope}: network {network.name!r} has no such part; choose scope=all")
        refuse_not_renewable(network, optimizer=self.optimizer == "renew", companions=self.companions == "renew")
        refuse_missing_initial(network)

    def check_reach(self, network: Network) -> None:
        """Raise ValueError if nothing would be rewritten, or a weight outside the scope that is to be kept.

        This is for methods that leave frozen weights unchanged.
        """
        scope, frozen = self.scoped(network), frozen_names(network.module)
        named = network.module.named_parameters(remove_duplicate=False)
        within = [name for name, _ in named if self.outside == "reset" or scope(name)]
        if all(name in frozen for name in within):
            why = "all are frozen (requires_grad is False)" if within else f"scope={self.scope} holds none"
            raise ValueError(f"network {network.name!r} has no weights to rewrite: {why}")
        self.refuse_shared(network, lambda parameter: parameter.requires_grad)

    def refuse_shared(self, network: Network, writes: Callable[[nn.Parameter], bool]) -> None:
        """Raise ValueError if a parameter that the method writes to is one outside the scope that is to be kept."""
        if self.scope != "all" and self.outside == "keep":
            advice = ", which would be kept; choose scope=all or outside=reset"
            refuse_shared(f"scope={self.scope}", network, self._parts(network), advice, writes)

    @torch.no_grad()
    def act(self, network: MethodNetwork) -> Mapping[str, float] | None:
        """Rewrite the network and its target, and renew what is trained with it."""
        outcome = self.change(network.module, network)
        if network.target is not None and self.target == "same":
            self.change(network.target, network)
        optimizer, companions = self.optimizer == "renew", self.companions == "renew"
        renew_around_(network, optimizer=optimizer, companions=companions, copy=self.target == "copy")
        return outcome

    def change(self, module: nn.Module, network: MethodNetwork) -> Mapping[str, float] | None:
        """Rewrite and reset the weights of the network's own module or its target; return numbers for the record."""
        self.rewrite(module, network, self.touches(network))
        if self.outside == "reset":
            frozen = frozen_names(network.module)
            restore_(module, network.initial, lambda name: name not in frozen, keeps=self.scoped(network))
        return None

    def touches(self, network: Network) -> Touches:
        """Return a test of names that the method may write to: those in its scope that are not frozen."""
        frozen, scope = frozen_names(network.module), self.scoped(network)
        return lambda name: scope(name) and name not in frozen

    def scoped(self, network: Network) -> Touches:
        """Return a test of names that are in the method's scope, as are all names of a weight that has one in it."""
        if self.scope == "all":
            return lambda name: True
        parts = self._parts(network)
        parts = (*parts, *aliases_in(network.module, parts))
        return lambda name: lies_in(name, parts)

    def resets(self, network: Network) -> Touches:
        """Return a function that says which matrices outside the scope are reset."""
        scope = self.scoped(network)
        return lambda name: self.outside == "reset" and not scope(name)

    def notes(self, network: Network) -> list[str]:
        """Return remarks on frozen parameters, and on running statistics of the old weights."""
        frozen = left_rows({"frozen (requires_grad is False)": frozen_names(network.module)})
        return [*frozen, *stale_rows(self.stale(network))]

    def stale(self, network: Network) -> list[str]:
        """Return the names of modules whose running statistics may belong to the weights from before an event."""
        resets, scope = self.resets(network), self.scoped(network)
        changed = [name for name in modules_with_statistics(network.module) if self.scope != "head" or scope(name)]
        return [name for name in changed if not resets(name)]

    def _parts(self, network: Network) -> tuple[str, ...]:
        return network.head if self.scope == "head" else network.encoder


def frozen_names(module: nn.Module) -> tuple[str, ...]:
    """Return all names of frozen parameters, without the frozen parts of injected heads."""
    heads = tuple(name for name, child in module.named_modules() if isinstance(child, Injected))
    named = module.named_parameters(remove_duplicate=False)
    return tuple(name for name, parameter in named if not parameter.requires_grad and not lies_in(name, heads))

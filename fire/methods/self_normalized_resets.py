"""Self-normalized resets: a unit is reset once it has been silent for longer than 99% of its own past silences.

Reset if P(A >= a) <= rejection: a is how long the unit has been silent, A the past times between its firings.
Source: "Self-Normalized Resets for Plasticity in Continual Learning", Farias and Jozefiak, ICLR 2025, arXiv 2410.20098.
As in the public code, a unit fires on a batch if its output is above zero for at least one example, the times are kept
as histograms, and the rejection level is 1%. The defaults of `longest`, `period` and `apply_every` are our own, in
gradient steps: the public code counts tasks and examples instead, and checks units after each batch (apply_every=1).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..devices import double
from ..network import MethodNetwork, Network
from .method import option
from .unit_resets import UnitResets, known_at_once, refuse_what_has_no_units, replace_units_, some_of


@dataclass(frozen=True, kw_only=True)
class SelfNormalizedResets(UnitResets):
    """Reset units that have been silent for longer than the (1 - rejection) percentile of their own silences."""

    rejection: float = option(0.01, "a unit is reset if at most this share of its past silences was as long")
    longest: int = option(500, "gradient steps of silence after which any unit is reset")
    period: int = option(10_000, "gradient steps between estimates of the units' limits")
    apply_every: int = option(10, "gradient steps between the resets of units that are due")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0.0 < self.rejection < 1.0, "rejection", "must lie between 0 and 1")
        for name in ("longest", "period", "apply_every"):
            self.require(getattr(self, name) >= 1, name, "must be at least 1 gradient step")

    def check(self, network: Network) -> None:
        """Raise ValueError if the network has no units to reset."""
        refuse_what_has_no_units("snr", network)

    def begin(self, network: MethodNetwork) -> None:
        """Create the memory; until a unit has a history, its limit is half of `longest`."""
        super().begin(network)
        memory = network.memory
        for layer in network.layers:
            device = network.module.get_parameter(layer.incoming[0].name).device
            silent = torch.zeros(layer.shape, dtype=torch.int64, device=device)
            memory[f"{layer.name}.silent"] = silent
            memory[f"{layer.name}.limit"] = torch.full_like(silent, max(1, self.longest // 2))
            memory[f"{layer.name}.due"] = torch.zeros_like(silent, dtype=torch.bool)
            silences = torch.zeros(*layer.shape, self.longest + 1, dtype=torch.int32, device=device)
            memory[f"{layer.name}.silences"] = silences

    @torch.no_grad()
    def after_step(self, network: MethodNetwork) -> None:
        """Update the silences of all units, and reset the units that are due."""
        memory = network.memory
        step = memory["step"].add_(1)
        for layer in network.layers:
            if layer.name not in network.activations:  # the layer did not run
                continue
            silent, limit, due, silences = (
                memory[f"{layer.name}.{key}"] for key in ("silent", "limit", "due", "silences")
            )
            fired = network.activations[layer.name].amax(-1) > 0
            _count_(silences, silent, fired)
            silent.add_(1).masked_fill_(fired | due, 0)
            rejected = silent >= limit
            _count_(silences, silent, rejected)
            silent.masked_fill_(rejected, 0)
            due.logical_or_(rejected)
            if _may_be_time(step, self.apply_every):
                now = due & (step % self.apply_every == 0).to(due.device)
                units, chosen = some_of(now)
                if chosen is not None or len(units[0]):
                    replace_units_(network, layer, units, chosen=chosen)
                    memory["replaced"] += now.sum().to(step.device)
                    due.logical_and_(~now)
            if _may_be_time(step, self.period):
                now = (step % self.period == 0).to(limit.device)
                limit.copy_(torch.where(now, self._limits(limit, silences), limit))
                silences.masked_fill_(now, 0)

    def _limits(self, limit: Tensor, silences: Tensor) -> Tensor:
        """Return the percentile if it is below the limit; otherwise the true one may be longer, so double the limit."""
        counts = double(silences[..., 1:].cumsum(-1))
        seen = counts[..., -1:]
        percentile = (counts / seen < 1 - self.rejection).sum(-1) + seen.squeeze(-1).sign().long()  # 0: never silent
        percentile = percentile.to(limit.device)
        return torch.where(percentile < limit, percentile, 2 * limit).clamp(1, self.longest)


def _may_be_time(step: Tensor, every: int) -> bool:
    """Whether the step may be a multiple of `every`; always True on a GPU, whose step count is not read."""
    return not known_at_once(step) or int(step) % every == 0


def _count_(silences: Tensor, silent: Tensor, ended: Tensor) -> None:
    """Add the silences that have ended to the histograms of their lengths."""
    silences.scatter_add_(-1, silent.unsqueeze(-1), ended.unsqueeze(-1).to(silences.dtype))

"""The sums of training metrics since the last log line."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Sums:
    """Sums of metrics by name. They stay on the device, so that adding to them does not make the host wait."""

    def __init__(self, sums: Mapping[str, Tensor] | None = None) -> None:
        self.by_name = {name: value.clone() for name, value in (sums or {}).items()}

    @torch.no_grad()
    def add(self, means: Mapping[str, Tensor], updates: int) -> None:
        """Add the means over some updates, in two operations for all metrics on a GPU."""
        if not means:
            return
        products = torch._foreach_mul(list(means.values()), updates)
        for name, product in zip(means, products, strict=True):
            if name not in self.by_name:
                self.by_name[name] = torch.zeros_like(product)
        torch._foreach_add_([self.by_name[name] for name in means], products)

    def means(self, updates: int) -> dict[str, float]:
        """Return the means over this number of updates; this waits for the device."""
        if not updates:
            return {}
        means = torch.stack(list(self.by_name.values())) / updates
        return dict(zip(self.by_name, means.tolist(), strict=True))

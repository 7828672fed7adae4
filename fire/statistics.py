"""Running means and variances, as in BatchNorm: they become stale when an event changes the weights.

They are estimated again by cumulative averages over batches, as in torch.optim.swa_utils.update_bn; Izmailov et al.,
"Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018, arXiv 1803.05407.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from .undisturbed import modes_restored


def modules_with_statistics(module: nn.Module) -> dict[str, _NormBase]:
    """Return every module that keeps running statistics, by its name."""
    return {
        name: child
        for name, child in module.named_modules()
        if isinstance(child, _NormBase) and child.track_running_stats and child.running_mean is not None
    }


@torch.no_grad()
def refresh_statistics_(module: nn.Module, batches: Iterable[Any]) -> int:
    """Estimate running statistics again from batches, for example after `fire_`; return the number of batches.

    A batch is the module's input, or a tuple or list whose first item is the input, as data loaders give. Only the
    statistics change; dropout is off meanwhile, and no random numbers are drawn.
    """
    norms = modules_with_statistics(module)
    if isinstance(batches, Tensor):
        raise ValueError("refresh_statistics_: a tensor given; allowed is a list of batches, [tensor], or a loader")
    momenta = {norm: norm.momentum for norm in norms.values()}
    before = [(buffer, buffer.clone()) for norm in norms.values() for buffer in norm.buffers()]
    count = 0
    try:
        with modes_restored(module):
            module.eval()
            for norm in norms.values():
                norm.reset_running_stats()
                norm.momentum = None  # a cumulative average: every batch has the same weight
                norm.train()
            for batch in batches:
                module(batch[0] if isinstance(batch, tuple | list) else batch)
                count += 1
        if not count:
            raise ValueError("refresh_statistics_: no batch given; the statistics are unchanged")
    except BaseException:
        for buffer, value in before:
            buffer.copy_(value)
        raise
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum
    return count

"""Running means and variances, as in BatchNorm: they become stale when an event changes the weights.

They are estimated again by cumulative averages over batches, as in torch.optim.swa_utils.update_bn; Izmailov et al.,
"Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018, arXiv 1803.05407.
"""

import warnings
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm

from .undisturbed import modes_restored

SHOWN = 4  # most names listed in a note


def modules_with_statistics(module: nn.Module) -> dict[str, _NormBase]:
    """Return every module that keeps running statistics, by its name."""
    return {
        name: child
        for name, child in module.named_modules()
        if isinstance(child, _NormBase) and child.track_running_stats and child.running_mean is not None
    }


def stale_rows(names: Iterable[str]) -> list[str]:
    """Return a note for the reader of an event that names modules whose running statistics may be stale, if any."""
    if not (stale := tuple(names)):
        return []
    shown = ", ".join(stale if len(stale) <= SHOWN else [*stale[: SHOWN - 1], f"and {len(stale) - SHOWN + 1} more"])
    return [
        f"running statistics may still belong to the old weights: {shown}; before an evaluation, train the module or "
        "call fire_rl.refresh_statistics_(module, batches)"
    ]


@torch.no_grad()
def refresh_statistics_(module: nn.Module, batches: Iterable[Any]) -> int:
    """Estimate running statistics again from batches, for example after `fire_`; return the number of batches.

    A batch is the module's input, or a tuple or list whose first item is the input, as data loaders give. Only the
    statistics change; dropout is off meanwhile, and no random numbers are drawn. Statistics of modules that no batch
    runs stay as they are, and a warning names these modules.
    """
    norms = modules_with_statistics(module)
    if isinstance(batches, Tensor):
        raise ValueError("refresh_statistics_: a tensor given; allowed is a list of batches, [tensor], or a loader")
    momenta = {norm: norm.momentum for norm in norms.values()}
    before = {norm: [(buffer, buffer.clone()) for buffer in norm.buffers()] for norm in norms.values()}
    count, seen = 0, set[_NormBase]()

    def begin(norm: _NormBase, inputs: Any) -> None:
        seen.add(norm)
        if isinstance(norm, _InstanceNorm):  # it has no cumulative average, as it does not count batches
            norm.momentum = 1.0 / (count + 1)

    try:
        with modes_restored(module), ExitStack() as hooks:
            module.eval()
            for norm in norms.values():
                norm.reset_running_stats()
                norm.momentum = None  # a cumulative average: every batch has the same weight
                norm.train()
                hooks.enter_context(norm.register_forward_pre_hook(begin))
            for batch in batches:
                module(batch[0] if isinstance(batch, tuple | list) else batch)
                count += 1
        if not count:
            raise ValueError("refresh_statistics_: no batch given; the statistics are unchanged")
    except BaseException:
        seen.clear()
        raise
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum
            for buffer, value in before[norm] if norm not in seen else ():
                buffer.copy_(value)
    if idle := [name for name, norm in norms.items() if norm not in seen]:
        warnings.warn(f"refresh_statistics_: no batch runs {', '.join(idle)}: unchanged", stacklevel=3)
    return count

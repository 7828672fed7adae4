"""Trainability as a measure that is taken during training: a short diagnosis on copies.

It is the lower of the scores of `fit` and `replace` (see diagnosis.py): 1 is like a fresh network, 0 is nothing. The
short probe has one learning rate, half of the updates and three seeds. Its fresh networks and new functions are the
same at every measurement, so that a change over time comes from the network or its data.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from .diagnosis import FORMS, Bench
from .finite import first_not_finite
from .probe import Data, MakeOptimizer, NothingToLearn, Probe, Run, plain_optimizer, plain_run
from .undisturbed import streams_kept

SHORT = Probe(updates=100, rates=(1e-3,), seeds=3, points=5)


@dataclass(frozen=True)
class Probed:
    """What is needed to probe one network: examples, and networks of the same kind as they are before training."""

    data: Data
    fresh: Callable[[int], nn.Module]  # a network with new initial values, from a seed
    run: Run = plain_run
    optimizer: MakeOptimizer = plain_optimizer

    def bench(self, probe: Probe, seed: int = 0) -> Bench:
        """Return the bench on which networks of this kind are probed."""
        return Bench(self.fresh, self.data, self.run, optimizer=self.optimizer, probe=probe, seed=seed)


def trainability(module: nn.Module, probed: Probed, probe: Probe | None = None) -> float:
    """Return how much a copy of the module learns as a share of what fresh networks learn; NaN if that is unknown.

    Without `probe` the probe is the short one. The result is unknown if the module has diverged, or if fresh networks
    learn nothing from these examples either. The module and the global random generators are not changed.
    """
    if first_not_finite(module.named_parameters()):
        return math.nan
    with streams_kept(module):
        try:
            bench = probed.bench(probe or SHORT)
            return min(bench.read(form, [module], form).best.value for form in FORMS)
        except NothingToLearn:
            return math.nan


def updates_of(networks: int, probe: Probe | None = None) -> int:
    """Return the number of gradient updates that one measurement of this many networks makes on copies."""
    probe = probe or SHORT
    return networks * len(FORMS) * 2 * probe.seeds * probe.updates * len(probe.rates)  # 2: the network and fresh ones

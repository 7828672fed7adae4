"""Presets for `parse_method`: what the vision experiments of FIRE (arXiv 2602.08040) do for each task and data set.

There, methods that act at events act at the start of every phase except the first. `redo` acts at the end of every
epoch. All methods that act during training (redo, cbp, snr and the regularizers) do so in every phase of continual and
class-incremental learning, but only in the second phase of warm starts. A new optimizer in each phase is part of the
task, also for `none`. This file holds the hyper-parameters; the caller decides when methods act.

Where the public code (isaac7778/FIRE at c37a0ac) differs from the methods' own sources, the sources are followed: units
are measured after BatchNorm and activation, the running means of `cbp` decay, outgoing weights of dormant units and
their moments do become 0 (the public code writes to copies of them), and new weights are drawn from the initial ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fire_rl.fire.methods import (
    ContinualBackprop,
    Dash,
    Fire,
    Method,
    NoMethod,
    Redo,
    Reset,
    SelfNormalizedResets,
    ShrinkPerturb,
)
from fire_rl.fire.nearest import choices
from fire_rl.fire.regularizers import L2Init, Parseval

from .networks import network_kind

TASKS = ("warm-start", "continual", "class-incremental")
LONGEST_SILENCE = 20_000 // 256  # in updates, for any batch size; published are 20,000 images in batches of 256


@dataclass(frozen=True)
class Tuned:
    """The hyper-parameters that differ between tasks and data sets."""

    dash: tuple[float, float]  # alpha, lambda
    parseval: float  # factor of ||W W' - I||^2
    l2_init: float  # factor of half the squared distance
    cbp: tuple[float, int]  # share of units reset at each update, updates until a unit is mature
    redo: float  # tau
    snr: float  # rejection, which is 1 minus the published percentile


PUBLISHED: Mapping[tuple[str, str], Tuned] = {
    ("warm-start", "cifar10"): Tuned((0.3, 0.05), 1e-3, 1e-3, (1e-4, 1_000), 0.5, 0.01),
    ("warm-start", "cifar100"): Tuned((0.1, 0.05), 1e-5, 1e-3, (1e-4, 100), 0.5, 0.01),
    ("warm-start", "tinyimagenet"): Tuned((0.1, 0.05), 1e-3, 1e-3, (1e-4, 1_000), 0.5, 0.08),
    ("continual", "cifar10"): Tuned((0.3, 0.05), 1e-3, 1e-5, (1e-5, 1_000), 0.05, 0.08),
    ("continual", "cifar100"): Tuned((0.1, 0.05), 1e-5, 1e-4, (1e-5, 1_000), 0.01, 0.04),
    ("continual", "tinyimagenet"): Tuned((0.1, 0.1), 1e-4, 1e-5, (1e-5, 1_000), 0.01, 0.01),
    ("class-incremental", "cifar100"): Tuned((0.3, 0.3), 1e-5, 1e-5, (1e-5, 1_000), 0.01, 0.08),
    ("class-incremental", "tinyimagenet"): Tuned((0.3, 0.1), 1e-3, 1e-4, (1e-4, 1_000), 0.05, 0.02),
}


def published(task: str, data: str, network: str) -> Mapping[str, Method]:
    """Return every method and regularizer, by its name, with the published hyper-parameters.

    Data sets without published values use those of CIFAR-10; in class-incremental learning, which has no published
    values for CIFAR-10, they use those of CIFAR-100. The network determines what FIRE projects.
    """
    tuned = tuned_for(task, data)
    alpha, least = tuned.dash
    rate, maturity = tuned.cbp
    return {
        "none": NoMethod(),
        "reset": Reset(scope="all", optimizer="renew"),
        "shrink-perturb": ShrinkPerturb(keep=0.2, scope="all", optimizer="renew"),
        "dash": Dash(alpha=alpha, least=least, scope="all", optimizer="renew"),
        "fire": Fire(solver="newton-schulz", include=network_kind(network).projected, scope="all", optimizer="renew"),
        "redo": Redo(tau=tuned.redo, step_count="renew"),
        "cbp": ContinualBackprop(replacement_rate=rate, maturity=maturity, optimizer="keep"),
        "snr": SelfNormalizedResets(rejection=tuned.snr, longest=LONGEST_SILENCE, period=16, apply_every=1),
        "l2-init": L2Init(strength=tuned.l2_init / 2),
        "parseval": Parseval(strength=tuned.parseval, scale=1.0, width=None, outputs="include", norms="include"),
    }


def tuned_for(task: str, data: str) -> Tuned:
    """Return the published hyper-parameters for a task and a data set."""
    if task not in TASKS:
        raise ValueError(f"task {task!r} given; allowed are {choices(task, TASKS)}")
    usual = "cifar100" if task == "class-incremental" else "cifar10"
    return PUBLISHED.get((task, data), PUBLISHED[task, usual])

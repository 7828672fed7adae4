"""What the vision experiments of FIRE (arXiv 2602.08040) do with each task and data set: presets for `parse_method`.

Methods that act at events act at the beginning of every phase but the first. `redo` acts at the end of every epoch,
and all that acts during training (redo, cbp, snr and the regularizers) does so in every phase of continual and
class-incremental learning, in warm starts in the second alone. A new optimizer at each phase is part of the task, for
`none` as well. When is the caller's business; here stands how strongly.

Where the public code (isaac7778/FIRE at c37a0ac) differs from the methods' own sources, these are followed: units are
judged behind BatchNorm and activation, the running means of `cbp` decay, outgoing weights of dormant units and their
moments really become 0 (the public code writes to copies of these), and new weights are drawn from among initial ones.
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
from fire_rl.fire.nearest import nearest
from fire_rl.fire.regularizers import L2Init, Parseval

from .networks import network_kind

TASKS = ("warm-start", "continual", "class-incremental")
LONGEST_SILENCE = 20_000 // 256  # in updates: published are 20,000 images, in batches of 256


@dataclass(frozen=True)
class Tuned:
    """The hyper-parameters that differ between tasks and data sets."""

    dash: tuple[float, float]  # alpha, lambda
    parseval: float  # times ||W W' - I||^2
    l2_init: float  # times half of the squared distance
    cbp: tuple[float, int]  # share of the units at each update, updates until a unit is mature
    redo: float  # tau
    snr: float  # share of a unit's own silences that are as long: one less the published percentile


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
    """Every method, and every regularizer, by its name, with the published hyper-parameters.

    Data sets that nothing was published for have those of CIFAR-10; in class-incremental learning, for which nothing
    was published with CIFAR-10, those of CIFAR-100. The network decides what FIRE projects.
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
    if task not in TASKS:
        raise ValueError(f"task {task!r} given; allowed are {', '.join(TASKS)}; nearest is {nearest(task, TASKS)}")
    usual = "cifar100" if task == "class-incremental" else "cifar10"
    return PUBLISHED.get((task, data), PUBLISHED[task, usual])

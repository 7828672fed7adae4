"""Triggers: an event when a measurement finds a measure beyond a threshold, as in `dormant>0.25`, `critic.active<0.5`.

A measure may be that of one layer or matrix: `critic.dormant/encoder.blocks.0.activation>0.5`.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from .matrices import take_inventory
from .nearest import choices, nearest
from .network import Network, lies_in
from .units import hidden_layers, how_to_declare

TRAINABILITY = "trainability"  # the measure that takes training of its own: see trainability.py
MEASURES: dict[str, str] = {
    "dormant": "share of units whose mean activation is at most a tenth of their layer's mean",
    "dead": "share of units whose output is zero for all examples",
    "active": "share of units that are active, averaged over examples",
    "effective_rank": "number of singular values with 99% of their sum, of the last layer's inputs (features)",
    "stable_rank": "sum of squared singular values of the features, divided by the largest",
    "feature_norm": "mean length of the features",
    "weight_norm": "length of all trained weights",
    "gradient_norm": "length of the loss's gradient",
    "effective_learning_rate": "learning rate divided by a weight's length, averaged over weights",
    "deviation": "deviation from isometry, relative to the scale, summed over weights; a stack has its worst",
    "spread": "largest singular value divided by the smallest, of the worst matrix",
    "sfe": "squared Frobenius error to the weights after the last event, or to the initial weights",
    "hessian": "largest eigenvalue of the loss's Hessian; with --measure-hessian",
    "trainability": "what a copy can still learn, 1 is like a fresh network; every --trainability-every updates",
}

PATTERN = re.compile(r"(?:(?P<network>\w+)\.)?(?P<measure>\w+(?:/[\w.]+)?)\s*(?P<sign>[<>])\s*(?P<threshold>\S+)")


@dataclass(frozen=True)
class Trigger:
    """A threshold of a measure, checked after each measurement, for one network or (None) for any of them.

    `cooldown` is the number of gradient updates without a trigger after the start of the run and after any event.
    """

    measure: str
    sign: Literal["<", ">"]
    threshold: float
    network: str | None = None
    cooldown: int = 10_000

    def met(self, measures: Mapping[str, float], updates_since: int) -> bool:
        """Whether an event is due; `measures` are named `network/measure`. NaN never makes an event due."""
        if updates_since < self.cooldown:
            return False
        for name, value in measures.items():
            network, _, measure = name.partition("/")
            crossed = value > self.threshold if self.sign == ">" else value < self.threshold
            if crossed and measure == self.measure and self.network in (None, network):
                return True
        return False

    def seen(self, measures: Mapping[str, float]) -> bool:
        """Whether the measure is among these, which are named `network/measure`."""
        names = (name.partition("/") for name in measures)
        return any(measure == self.measure and self.network in (None, network) for network, _, measure in names)

    def check(self, networks: Mapping[str, Network]) -> None:
        """Raise ValueError if there is no such network, measure, layer or matrix, or the measure is never taken."""
        if self.network is not None and self.network not in networks:
            raise ValueError(f"network {self.network!r} is unknown; known are {choices(self.network, networks)}")
        self.check_name()
        name, _, part = self.measure.partition("/")
        chosen = [network for key, network in networks.items() if self.network in (None, key)]
        reasons = [_never_taken(name, network) for network in chosen]
        if reasons and all(reasons):
            raise ValueError(f"{self} can never be met: {reasons[0]}")
        parts = [known for network in chosen for known in _parts(network)]
        changing = any(lies_in(part, network.head) for network in chosen)  # an injection adds new names in the head
        if part and name == TRAINABILITY:
            raise ValueError(f"{self}: trainability is measured for whole networks, not for {part!r}")
        if part and part not in parts and not changing:
            raise ValueError(f"{self}: no layer or weight is named {part!r}; nearest is {nearest(part, parts)}")

    def check_name(self) -> None:
        """Raise ValueError if no measure has this name."""
        name = self.measure.partition("/")[0]
        if name not in MEASURES:
            raise ValueError(f"measure {name!r} is unknown; known are {choices(name, MEASURES)}")

    def __str__(self) -> str:
        network = f"{self.network}." if self.network else ""
        return f"{network}{self.measure}{self.sign}{self.threshold}"


def require_probes(triggers: Sequence[Trigger], probes: object) -> None:
    """Raise ValueError if a trigger uses trainability, and nothing is given with which it could be measured."""
    for trigger in triggers if probes is None else ():
        if trigger.measure == TRAINABILITY:
            raise ValueError(f"{trigger} needs measure(..., probes=...): fire_rl.Probed for each network, or {{}}")


def _never_taken(measure: str, network: Network) -> str:
    """Return why a measure cannot be taken of a network; empty if it can."""
    if measure in ("dormant", "dead", "active") and not hidden_layers(network.module):
        return f"network {network.name!r} has no hidden units that are known{how_to_declare(network.module)}"
    if measure in ("effective_rank", "stable_rank", "feature_norm") and not network.head:
        return f"network {network.name!r} names no head (fire_rl.Network: head=NAMES)"
    if measure == "effective_learning_rate" and network.optimizer is None:
        return f"network {network.name!r} has no optimizer"
    return ""


def _parts(network: Network) -> list[str]:
    """Return the names of the network's parts that have measures: hidden layers, weight matrices and parameters."""
    matrices = take_inventory(network.module).matrices
    names = [layer.name for layer in hidden_layers(network.module)] + [matrix.name for matrix in matrices]
    return names + [matrix.parameter for matrix in matrices]


def parse_trigger(text: str, cooldown: int = 10_000) -> Trigger:
    """Return the trigger that `text` describes: [NETWORK.]MEASURE>NUMBER or <NUMBER."""
    found = PATTERN.fullmatch(text.strip())
    try:
        threshold = float(found["threshold"]) if found else math.nan
    except ValueError:
        threshold = math.nan
    if found is None or math.isnan(threshold):
        raise ValueError(f"{text!r} given; allowed is [NETWORK.]MEASURE>NUMBER or <NUMBER, such as dormant>0.25")
    sign = cast(Literal["<", ">"], found["sign"])
    return Trigger(found["measure"], sign, threshold, found["network"], cooldown)

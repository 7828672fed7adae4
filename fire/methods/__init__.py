"""Methods that restore a network's plasticity, one file each."""

from ..injected import Injected
from .continual_backprop import ContinualBackprop
from .dash import Dash
from .fire import Fire
from .injection import Injection
from .method import Method, NoMethod
from .redo import Redo
from .reinitialization import Reinitialization
from .reset import Reset
from .reset_head import ResetHead
from .self_normalized_resets import SelfNormalizedResets
from .shrink_perturb import ShrinkPerturb

METHODS: dict[str, type[Method]] = {
    "none": NoMethod,
    "reset": Reset,
    "shrink-perturb": ShrinkPerturb,
    "fire": Fire,
    "injection": Injection,
    "redo": Redo,
    "dash": Dash,
    "reset-head": ResetHead,
    "cbp": ContinualBackprop,
    "snr": SelfNormalizedResets,
}

__all__ = [
    "METHODS",
    "ContinualBackprop",
    "Dash",
    "Fire",
    "Injected",
    "Injection",
    "Method",
    "NoMethod",
    "Redo",
    "Reinitialization",
    "Reset",
    "ResetHead",
    "SelfNormalizedResets",
    "ShrinkPerturb",
]

"""Ways of giving a network its plasticity back, one file each."""

from .continual_backprop import ContinualBackprop
from .dash import Dash
from .fire import Fire
from .injection import Injected, Injection
from .intervention import Intervention
from .none import NoIntervention
from .redo import Redo
from .reinitialization import Reinitialization
from .reset import Reset
from .reset_head import ResetHead
from .self_normalized_resets import SelfNormalizedResets
from .shrink_perturb import ShrinkPerturb

INTERVENTIONS: dict[str, type[Intervention]] = {
    "none": NoIntervention,
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
    "INTERVENTIONS",
    "ContinualBackprop",
    "Dash",
    "Fire",
    "Injected",
    "Injection",
    "Intervention",
    "NoIntervention",
    "Redo",
    "Reinitialization",
    "Reset",
    "ResetHead",
    "SelfNormalizedResets",
    "ShrinkPerturb",
]

"""Ways of giving a network its plasticity back, one file each."""

from .fire import Fire
from .injection import Injected, Injection
from .intervention import Intervention
from .none import NoIntervention
from .reinitialization import Reinitialization
from .reset import Reset
from .shrink_perturb import ShrinkPerturb

INTERVENTIONS: dict[str, type[Intervention]] = {
    "none": NoIntervention,
    "reset": Reset,
    "shrink-perturb": ShrinkPerturb,
    "fire": Fire,
    "injection": Injection,
}

__all__ = [
    "INTERVENTIONS",
    "Fire",
    "Injected",
    "Injection",
    "Intervention",
    "NoIntervention",
    "Reinitialization",
    "Reset",
    "ShrinkPerturb",
]

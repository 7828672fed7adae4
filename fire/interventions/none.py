"""No intervention, the control of every experiment. An event changes nothing, but its record measures the networks."""

from dataclasses import dataclass
from typing import ClassVar

from .intervention import Intervention


@dataclass(frozen=True, kw_only=True)
class NoIntervention(Intervention):
    """Change nothing."""

    acts_at_events: ClassVar[bool] = False

"""The old name of `fire_rl.fire.methods`, kept for one version: see `fire_rl.fire.aliases`."""

from .aliases import INTERVENTIONS as INTERVENTIONS
from .aliases import Intervention as Intervention
from .aliases import NoIntervention as NoIntervention
from .methods import *  # noqa: F403

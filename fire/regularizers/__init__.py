"""What keeps a network plastic at every gradient step, beside any method, one file each."""

from ..interventions import Intervention

REGULARIZERS: dict[str, type[Intervention]] = {}

__all__ = ["REGULARIZERS"]

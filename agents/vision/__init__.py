"""Networks for images, and what was published for them."""

from .networks import NETWORKS, NetworkKind, make_network, network_kind
from .published import TASKS, published

__all__ = ["NETWORKS", "TASKS", "NetworkKind", "make_network", "network_kind", "published"]

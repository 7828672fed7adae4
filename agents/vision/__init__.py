"""Networks for images, their training, and their methods as published."""

from .classifier import make_classifier, network_for
from .networks import NETWORKS, NetworkKind, channels_innermost, make_network, network_kind
from .published import TASKS, published
from .settings import ClassifierSettings
from .size import bytes_in_training

__all__ = [
    "NETWORKS",
    "TASKS",
    "ClassifierSettings",
    "NetworkKind",
    "bytes_in_training",
    "channels_innermost",
    "make_classifier",
    "make_network",
    "network_for",
    "network_kind",
    "published",
]

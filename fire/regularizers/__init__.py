"""Regularizers: they act at every gradient step to keep a network plastic, besides any method. One file each."""

from ..methods import Method
from .l2_init import L2Init
from .parseval import Parseval
from .regularizer import Regularizer
from .spectral import Spectral
from .weight_decay import WeightDecay

REGULARIZERS: dict[str, type[Method]] = {
    "l2-init": L2Init,
    "parseval": Parseval,
    "spectral": Spectral,
    "weight-decay": WeightDecay,
}

__all__ = ["REGULARIZERS", "L2Init", "Parseval", "Regularizer", "Spectral", "WeightDecay"]

"""FIRE and its rivals for any torch model: projection, measures, methods, schedules and the manager that joins them."""

from .event import Event, NetworkReport
from .finite import first_not_finite
from .interventions import (
    INTERVENTIONS,
    ContinualBackprop,
    Dash,
    Fire,
    Injected,
    Injection,
    Intervention,
    NoIntervention,
    Redo,
    Reinitialization,
    Reset,
    ResetHead,
    SelfNormalizedResets,
    ShrinkPerturb,
)
from .manager import PlasticityManager
from .matrices import Inventory, Matrix, take_inventory
from .measures import deviation_from_isometry, measure, singular_values, squared_frobenius_error
from .network import Companion, Network
from .polar import SOLVERS, Solver, polar_factor
from .projection import FireReport, fire_
from .record import Record, restore_structure
from .regularizers import REGULARIZERS, L2Init, Parseval, Spectral, WeightDecay
from .report import MatrixReport
from .schedule import At, Either, Every, Never, Position, Schedule
from .spelling import describe_interventions, describe_regularizers, parse_intervention, parse_regularizer, spell
from .trigger import MEASURES, Trigger, parse_trigger
from .units import HiddenLayer, Watch, Weights, hidden_layers, new_draw

__all__ = [
    "INTERVENTIONS",
    "MEASURES",
    "REGULARIZERS",
    "SOLVERS",
    "At",
    "Companion",
    "ContinualBackprop",
    "Dash",
    "Either",
    "Event",
    "Every",
    "Fire",
    "FireReport",
    "HiddenLayer",
    "Injected",
    "Injection",
    "Intervention",
    "Inventory",
    "L2Init",
    "Matrix",
    "MatrixReport",
    "Network",
    "NetworkReport",
    "Never",
    "NoIntervention",
    "Parseval",
    "PlasticityManager",
    "Position",
    "Record",
    "Redo",
    "Reinitialization",
    "Reset",
    "ResetHead",
    "Schedule",
    "SelfNormalizedResets",
    "ShrinkPerturb",
    "Solver",
    "Spectral",
    "Trigger",
    "Watch",
    "WeightDecay",
    "Weights",
    "describe_interventions",
    "describe_regularizers",
    "deviation_from_isometry",
    "fire_",
    "first_not_finite",
    "hidden_layers",
    "measure",
    "new_draw",
    "parse_intervention",
    "parse_regularizer",
    "parse_trigger",
    "polar_factor",
    "restore_structure",
    "singular_values",
    "spell",
    "squared_frobenius_error",
    "take_inventory",
]

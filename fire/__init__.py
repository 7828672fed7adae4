"""FIRE and its rivals for any torch model: projection, measures, methods, schedules, a manager that applies them."""

from .activity import Watch
from .aliases import INTERVENTIONS, Intervention, NoIntervention, describe_interventions, parse_intervention
from .diagnosis import Diagnosis, diagnose
from .event import Event, NetworkReport
from .finite import first_not_finite
from .layers import Matrix, register_matrices
from .manager import PlasticityManager
from .matrices import Inventory, take_inventory
from .measures import deviation_from_isometry, measure, singular_values, squared_frobenius_error
from .methods import (
    METHODS,
    ContinualBackprop,
    Dash,
    Fire,
    Injected,
    Injection,
    Method,
    NoMethod,
    Redo,
    Reinitialization,
    Reset,
    ResetHead,
    SelfNormalizedResets,
    ShrinkPerturb,
)
from .network import Companion, MethodNetwork, Network
from .polar import SOLVERS, Solver, polar_factor
from .probe import Probe
from .projection import FireReport, fire_
from .record import Record, restore_structure
from .regularizers import REGULARIZERS, L2Init, Parseval, Spectral, WeightDecay
from .report import MatrixReport
from .schedule import At, AtUpdates, Either, Every, Never, Position, Schedule
from .scores import Reading, Score
from .spelling import describe_method, describe_methods, describe_regularizers, parse_method, parse_regularizer, spell
from .statistics import refresh_statistics_
from .tracing import UnitsReport, declare_units
from .trainability import Probed
from .trigger import MEASURES, Trigger, parse_trigger
from .unit_weights import HiddenLayer, Weights, new_draw
from .units import hidden_layers, units_between

__all__ = [
    "INTERVENTIONS",
    "MEASURES",
    "METHODS",
    "REGULARIZERS",
    "SOLVERS",
    "At",
    "AtUpdates",
    "Companion",
    "ContinualBackprop",
    "Dash",
    "Diagnosis",
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
    "Method",
    "MethodNetwork",
    "Network",
    "NetworkReport",
    "Never",
    "NoIntervention",
    "NoMethod",
    "Parseval",
    "PlasticityManager",
    "Position",
    "Probe",
    "Probed",
    "Reading",
    "Record",
    "Redo",
    "Reinitialization",
    "Reset",
    "ResetHead",
    "Schedule",
    "Score",
    "SelfNormalizedResets",
    "ShrinkPerturb",
    "Solver",
    "Spectral",
    "Trigger",
    "UnitsReport",
    "Watch",
    "WeightDecay",
    "Weights",
    "declare_units",
    "describe_interventions",
    "describe_method",
    "describe_methods",
    "describe_regularizers",
    "deviation_from_isometry",
    "diagnose",
    "fire_",
    "first_not_finite",
    "hidden_layers",
    "measure",
    "new_draw",
    "parse_intervention",
    "parse_method",
    "parse_regularizer",
    "parse_trigger",
    "polar_factor",
    "refresh_statistics_",
    "register_matrices",
    "restore_structure",
    "singular_values",
    "spell",
    "squared_frobenius_error",
    "take_inventory",
    "units_between",
]

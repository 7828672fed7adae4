"""The part on what methods cost that act at every step: SAC's updates with each of them, captured if on a GPU."""

from functools import partial

from fire_rl.fire import Never, PlasticityManager, parse_method, parse_regularizer
from fire_rl.fire.published import SAC as PUBLISHED

from ..timing import pace
from . import subjects
from .equality import REGULARIZERS
from .part import Figures, Rows, Setting
from .subjects import Subject

METHODS = ("cbp", "snr")


def method_rates(setting: Setting, rows: Rows) -> None:
    """Add a row for updates without a method, and one for each method."""
    subject, way = subjects.sac(setting.place, setting.quick), "captured" if setting.card else "eager"
    known: dict[str, float] = {}  # the seconds of an update by method
    for name in ("none", *METHODS, *REGULARIZERS):
        rows.add(f"{way}, with {name}", partial(method_rate, subject, setting, name, known))


def method_rate(subject: Subject, setting: Setting, name: str, known: dict[str, float]) -> Figures:
    """Return the rate of updates, and what the method adds to an update."""
    agent = subject.make(setting.place)
    agent.captured.on = True  # has no effect on a CPU
    regularizers = [parse_regularizer(name)] if name in REGULARIZERS else []
    method = parse_method("none" if regularizers else name, PUBLISHED)
    manager = PlasticityManager(agent.plastic(), method, Never(), regularizers)
    length = 0.1 if setting.quick else setting.seconds
    taken = pace(subject.call(agent, manager), setting.place, length).done / subject.updates
    known[name] = taken
    more = {"us more": 1e6 * (taken - known["none"]), "times": taken / known["none"]} if "none" in known else {}
    return {"updates/s": 1 / taken, "us until done": 1e6 * taken} | more

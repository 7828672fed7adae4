"""The parts on updates per second: launched kernel by kernel, replayed from CUDA graphs, and with compiled losses.

The share of the floor is the floor's time divided by the update's time. The floor is the time of the update's products
at the rates measured in the same precision, and of its bytes at the measured bandwidth.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_args

import torch

from fire_rl.agents import DQN, SAC
from fire_rl.agents.captured import Precision

from .. import convolutions
from ..floors import Floor, RecordProducts, Work, sac_floor
from ..timing import pace
from . import subjects
from .part import NOT_A_CARD, Figures, Rows, Setting
from .subjects import Subject

# Floors come after the rates, which say more, and compiled losses last, because compiling takes tens of seconds each.
ORDER = ("captured", "eager", "floor", "products", "compiled")


@dataclass(frozen=True)
class Known:
    """The seconds of an update, by way and precision, and the floors, as far as they have been measured."""

    seconds: dict[tuple[str, Precision], float] = field(default_factory=dict)
    floors: dict[Precision, Floor] = field(default_factory=dict)

    def shares(self, precision: Precision) -> dict[str, float]:
        """Return the share of the floor of each way that has been measured in this precision."""
        floor = self.floors[precision].seconds
        return {way: floor / taken for (way, other), taken in self.seconds.items() if other == precision}


def sac_rates(setting: Setting, rows: Rows) -> None:
    """Add rows for SAC on h1-walk."""
    rates(subjects.sac(setting.place, setting.quick), setting, rows)


def dqn_rates(setting: Setting, rows: Rows) -> None:
    """Add rows for DQN on Breakout."""
    rates(subjects.dqn(setting.place, setting.quick), setting, rows)


def rates(subject: Subject, setting: Setting, rows: Rows) -> None:
    """Add rows for all ways and precisions, the most important first."""
    known = Known()
    for what in ORDER:
        for precision in get_args(Precision):
            name = f"{what}, {precision}"
            if not setting.card and (precision != "float32" or what == "captured"):
                rows.say(name, NOT_A_CARD)
            elif what == "floor":
                rows.add(name, partial(floor_figures, subject, setting, precision, known))
            elif what == "products":
                work = known.floors[precision].work if precision in known.floors else ()
                rows.say(name, "each in each way: see results.json", [ways_of(one) for one in work])
            else:
                rows.add(name, partial(rate, subject, setting, what, precision, known))


def rate(subject: Subject, setting: Setting, way: str, precision: Precision, known: Known) -> Figures:
    """Return updates per second, and the microseconds until an update is queued and done.

    If the floor has been measured before, the share of the floor is returned too.
    """
    agent = subject.make(setting.place)
    agent.captured.on, agent.captured.precision = way != "eager", precision
    agent.compiled.on, agent.compiled.backend = way == "compiled", "eager" if setting.quick else "inductor"
    taken = pace(subject.call(agent), setting.place, 0.1 if setting.quick else setting.seconds)
    done, queued = taken.done / subject.updates, taken.queued / subject.updates
    known.seconds[way, precision] = done
    found = {"updates/s": 1 / done, "us until queued": 1e6 * queued, "us until done": 1e6 * done}
    return found | ({"of the floor": known.shares(precision)[way]} if precision in known.floors else {})


def floor_figures(subject: Subject, setting: Setting, precision: Precision, known: Known) -> Figures:
    """Return the figures of an update's floor, and the share of the floor of each way that has been measured."""
    floor = floor_of(subject.make(setting.place), subject, precision)
    for _ in range(1 if setting.card else 3):  # on a card each timing is already the best of several
        floor.measure(precision)
    known.floors[precision] = floor
    return {
        "us of products": 1e6 * floor.arithmetic(),
        "us as laid out": 1e6 * floor.as_used(),
        "TFLOP/s": floor.flops / floor.arithmetic() / 1e12,
        "us of bytes": 1e6 * floor.traffic,
        "GB/s": floor.bandwidth / 1e9,
        "updates/s": 1 / floor.seconds,
        **{f"{way}'s share": share for way, share in known.shares(precision).items()},
    }


def floor_of(agent: SAC | DQN, subject: Subject, precision: Precision) -> Floor:
    """Return the floor of an update, from the products that one update runs."""
    batch = subject.replay.sample(1, subject.batch_size, torch.Generator().manual_seed(0))
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    if isinstance(agent, SAC):
        with RecordProducts() as record:
            agent.update(batch)
        return sac_floor(agent, record, dtype)
    with convolutions.RecordProducts() as products:
        agent.update(batch)
    return convolutions.dqn_floor(agent, products, 2 * batch.observations.nbytes, dtype)


def ways_of(work: Work) -> dict[str, Any]:
    """Return the microseconds of a product in each way, the best way, and the way in which the update computes it."""
    us = {way: round(1e6 * value, 3) for way, value in work.seconds.items()}
    return {
        "product": work.name,
        "times": work.count,
        "us": us,
        "best": min(us, key=lambda way: us[way]),
        "used": work.used,
    }

"""The parts on updates per second: launched kernel by kernel, replayed from CUDA graphs, and with compiled losses.

The share of the floor is the floor's time divided by the update's time. The floor is the time of the update's products
at the rates measured in the same precision, and of its bytes at the measured bandwidth.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, get_args

import torch

from fire_rl.agents import DQN, SAC
from fire_rl.agents.captured import Precision

from .. import dqn_update
from ..floors import Floor, RecordProducts, sac_floor
from ..timing import pace
from . import subjects
from .part import NOT_A_CARD, Figures, Rows, Setting
from .subjects import Subject


def sac_rates(setting: Setting, rows: Rows) -> None:
    """Add rows for SAC on h1-walk."""
    rates(subjects.sac(setting.place, setting.quick), setting, rows)


def dqn_rates(setting: Setting, rows: Rows) -> None:
    """Add rows for DQN on Breakout."""
    rates(subjects.dqn(setting.place, setting.quick), setting, rows)


def rates(subject: Subject, setting: Setting, rows: Rows) -> None:
    """Add rows for all ways and precisions; compiled ones last, because compiling takes tens of seconds for each."""
    floors: dict[Precision, float] = {}
    precisions: list[Precision] = [name for name in get_args(Precision) if setting.card or name == "float32"]
    for precision in precisions:
        rows.add(f"floor, {precision}", partial(floor_figures, subject, setting, precision, floors))
    for way in ("eager", "captured", "compiled"):
        for precision in get_args(Precision):
            name = f"{way}, {precision}"
            if precision in precisions and (way != "captured" or setting.card):
                rows.add(name, partial(rate, subject, setting, way, precision, floors))
            else:
                rows.say(name, NOT_A_CARD)


def floor_figures(subject: Subject, setting: Setting, precision: Precision, floors: dict[Precision, float]) -> Figures:
    """Return the figures of an update's floor, and store its seconds in `floors`."""
    floor = floor_of(subject.make(setting.place), subject, precision)
    for _ in range(3):
        floor.measure(precision)
    floors[precision] = floor.seconds
    return {
        "us of products": 1e6 * floor.arithmetic(),
        "TFLOP/s": floor.flops / floor.arithmetic() / 1e12,
        "us of bytes": 1e6 * floor.traffic,
        "GB/s": floor.bandwidth / 1e9,
        "updates/s": 1 / floor.seconds,
    }


def floor_of(agent: SAC | DQN, subject: Subject, precision: Precision) -> Floor:
    """Return the floor of an update, from the products that one update runs."""
    batch = subject.replay.sample(1, subject.batch_size, torch.Generator().manual_seed(0))
    dtype = torch.bfloat16 if str(precision) == "bfloat16" else torch.float32
    if isinstance(agent, SAC):
        with RecordProducts() as record:
            agent.update(batch)
        return sac_floor(agent, record.shapes, dtype)
    with dqn_update.RecordProducts() as convolutions:
        agent.update(batch)
    return dqn_update.dqn_floor(agent, convolutions.products, 2 * batch.observations.nbytes, dtype)


def rate(
    subject: Subject, setting: Setting, way: str, precision: Precision, floors: Mapping[Precision, float]
) -> Figures:
    """Return updates per second, the share of the floor, and the microseconds until an update is queued and done."""
    agent = subject.make(setting.place)
    agent.captured.on, agent.captured.precision = way != "eager", precision
    agent.compiled.on, agent.compiled.backend = way == "compiled", "eager" if setting.quick else "inductor"
    taken = pace(subject.call(agent), setting.place, 0.1 if setting.quick else setting.seconds)
    done, queued = taken.done / subject.updates, taken.queued / subject.updates
    found: dict[str, Any] = {"updates/s": 1 / done}
    if precision in floors:
        found["of the floor"] = floors[precision] / done
    return found | {"us until queued": 1e6 * queued, "us until done": 1e6 * done}

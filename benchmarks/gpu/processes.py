"""The part that runs SAC's updates in several processes on one card at once, and adds up their rates."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.synchronize import Barrier

from fire_rl.agents.captured import Precision

from ..timing import WARM, pace, seconds
from . import subjects
from .child import prepare
from .part import Figures, Rows, Setting

COUNTS = (1, 2, 4)
PATIENCE = 60.0  # seconds in which all processes must be ready

_together: Barrier | None = None  # in a worker: the barrier at which all begin at once


def together(setting: Setting, rows: Rows) -> None:
    """Add a row for each number of processes, and on a GPU the smallest and the largest also in tf32."""
    cases: list[tuple[int, Precision]] = [(count, "float32") for count in COUNTS[: 2 if setting.quick else None]]
    cases += [(count, "tf32") for count in (COUNTS[0], COUNTS[-1])] if setting.card else []
    for count, precision in cases:
        name = f"{count} process{'es' * (count > 1)}, {precision}"
        rows.add(name, partial(rates, count, setting, precision))


def rates(count: int, setting: Setting, precision: Precision) -> Figures:
    """Return the updates per second of all processes together, of the slowest and of the fastest."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=begin, initargs=(context.Barrier(count),)) as pool:
        found = list(pool.map(rate, [setting.to_json()] * count, [precision] * count))
    return {"updates/s in all": sum(found), "slowest": min(found), "fastest": max(found)}


def begin(barrier: Barrier) -> None:
    """Store the barrier in a worker process."""
    global _together
    _together = barrier


def rate(text: str, precision: Precision) -> float:
    """Return a worker's updates per second while all other workers do updates, too."""
    setting = Setting.from_json(text)
    prepare(setting)
    subject = subjects.sac(setting.place, setting.quick)
    agent = subject.make(setting.place)
    agent.captured.on, agent.captured.precision = True, precision
    call = subject.call(agent)
    for _ in range(WARM):
        seconds(call, setting.place)
    assert _together is not None
    _together.wait(PATIENCE)
    return subject.updates / pace(call, setting.place, 0.2 if setting.quick else 2 * setting.seconds).done

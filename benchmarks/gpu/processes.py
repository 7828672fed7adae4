"""Several processes on one card at once, each with SAC's updates, and how many they make in all."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.synchronize import Barrier

import torch

from fire_rl.agents.captured import Precision
from fire_rl.training.memory import keep_large_blocks

from ..timing import WARM, pace, seconds
from . import subjects
from .part import Figures, Rows, Setting

COUNTS = (1, 2, 4)
PATIENCE = 60.0  # seconds for all processes to get ready

_together: Barrier | None = None  # of a worker: all begin at once


def together(setting: Setting, rows: Rows) -> None:
    """Processes by their number, and by precision where there is a card."""
    precisions: tuple[Precision, ...] = ("float32", "tf32") if setting.card else ("float32",)
    for precision in precisions:
        for count in COUNTS[: 2 if setting.quick else None]:
            name = f"{count} process{'es' * (count > 1)}, {precision}"
            rows.add(name, partial(rates, count, setting, precision))


def rates(count: int, setting: Setting, precision: Precision) -> Figures:
    """Updates per second of all, and of the slowest and the fastest."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=begin, initargs=(context.Barrier(count),)) as pool:
        found = list(pool.map(rate, [setting.to_json()] * count, [precision] * count))
    return {"updates/s in all": sum(found), "slowest": min(found), "fastest": max(found)}


def begin(barrier: Barrier) -> None:
    """In a worker."""
    global _together
    _together = barrier


def rate(text: str, precision: Precision) -> float:
    """In a worker: updates per second while all others make theirs, too."""
    setting = Setting.from_json(text)
    keep_large_blocks()
    torch.set_num_threads(setting.threads)
    subject = subjects.sac(setting.place, setting.quick)
    agent = subject.make(setting.place)
    agent.captured.on, agent.captured.precision = True, precision
    call = subject.call(agent)
    for _ in range(WARM):
        seconds(call, setting.place)
    assert _together is not None
    _together.wait(PATIENCE)
    return subject.updates / pace(call, setting.place, 0.2 if setting.quick else 2 * setting.seconds).done

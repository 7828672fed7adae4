"""The part on decisions: everything that a run does for one, except for the environment's step."""

import itertools
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fire_rl.agents.captured import Precision
from fire_rl.fire import Never, NoMethod, PlasticityManager
from fire_rl.replay import FrameReplay

from ..timing import WARM, Call, pace
from . import subjects
from .conduct import ROOT
from .part import NOT_A_CARD, Figures, Rows, Setting
from .subjects import Subject

WATCHED = 3  # decisions in which waits are counted


class Decider:
    """An agent with its replay. Each step is what a run does, but with made-up observations."""

    def __init__(self, subject: Subject, precision: Precision) -> None:
        self.subject, self.agent = subject, subject.make(subject.device)
        self.agent.captured.on, self.agent.captured.precision = True, precision
        self.manager = PlasticityManager(self.agent.plastic(), NoMethod(), Never())
        self.members = 4 if isinstance(subject.replay, FrameReplay) else 1  # environments
        self.generator = torch.Generator().manual_seed(0)
        self.observations = self._observations()
        self.current = next(self.observations)
        self.actions = self.agent.random_actions(self.members)
        self.sums: dict[str, Tensor] = {}  # of metrics

    def _observations(self) -> Iterator[np.ndarray]:
        """Yield several observations of all environments again and again, so that each is copied to the device."""
        held = self.subject.replay.sample(1, 8 * self.members, self.generator).observations[0].cpu()
        return itertools.cycle(held.view(8, self.members, *held.shape[1:]).numpy())

    def act(self) -> None:
        """Add an observation to the statistics, and choose actions for it."""
        self.current = next(self.observations)
        self.agent.observe(self.current)
        self.actions = self.agent.act(self.current, explore=True)

    def update(self) -> None:
        """Do the updates of a decision, and add up their metrics."""
        subject = self.subject
        drawn = subject.replay.draw(subject.updates, subject.batch_size, self.generator)
        for name, value in self.agent.update(drawn, self.manager).items():
            self.sums[name] = self.sums.get(name, 0) + value * subject.updates

    def add(self) -> None:
        """Add a transition of each environment to the replay."""
        rewards, ended = np.ones(self.members, np.float32), np.zeros(self.members, bool)
        self.subject.replay.add(self.current, self.actions, rewards, self.current, ended, ended)

    def decide(self) -> None:
        """Do all of it, in the order of a run."""
        self.act()
        self.update()
        self.add()


def decisions(setting: Setting, rows: Rows) -> None:
    """Add rows for the time of a decision and of its steps, and for what waits in it."""
    for make in (subjects.sac, subjects.dqn):
        subject = make(setting.place, setting.quick)
        for precision in ("float32", "tf32"):
            name = f"{subject.name}, {precision}"
            if setting.card or precision == "float32":
                rows.add(name, partial(times, subject, setting, precision))
            else:
                rows.say(name, NOT_A_CARD)
        rows.on_a_card(setting, f"{subject.name}, what waits in a decision", partial(waiting, subject))


def times(subject: Subject, setting: Setting, precision: Precision) -> Figures:
    """Return the microseconds of a decision, and those of its steps when each is done again and again alone."""
    decider = Decider(subject, precision)
    length = 0.1 if setting.quick else setting.seconds
    whole = pace(decider.decide, setting.place, length).done
    steps = {"act": decider.act, "update": decider.update, "add": decider.add}
    alone = {f"us of {name}": 1e6 * pace(call, setting.place, length / 5).done for name, call in steps.items()}
    return {"decisions/s": decider.members / whole, "us": 1e6 * whole, **alone}


def waiting(subject: Subject) -> Figures:
    """Return in words where a decision waits for the device; expected is only the copy of the actions to the host."""
    decider = Decider(subject, "float32")
    for _ in range(WARM):
        decider.decide()
    places = places_of_waits(decider.decide)
    return {"": "; ".join(f"{count / WATCHED:g} x {place}" for place, count in places.items()) or "nothing seen"}


def places_of_waits(call: Call) -> Counter[str]:
    """Make a call several times, and return how often each place in this project waits for the device.

    Torch sees most waits, not all: it does not see those for events.
    """
    found: Counter[str] = Counter()

    def note(message: Warning | str, *_: object, **__: object) -> None:
        if "called a synchronizing" in str(message):
            found[innermost_place()] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode("warn")
        try:
            for _ in range(WATCHED):
                call()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return found


def innermost_place() -> str:
    """Return the innermost place in this project, outside this file, that is running now."""
    for frame in reversed(traceback.extract_stack()):
        path = Path(frame.filename)
        if path.is_relative_to(ROOT) and "site-packages" not in path.parts and path != Path(__file__):
            return f"{path.relative_to(ROOT)}:{frame.lineno} {frame.name}"
    return "elsewhere"

"""The settings of a run: frozen dataclasses from which the command line and the config file are made.

Each field carries facts about its setting, such as whether a resumed run may change it, or whether runs that are
compared may differ in it. `names_with` finds the settings for which a fact holds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from fire_rl.agents.limits import check_limits
from fire_rl.agents.limits import flag as flag
from fire_rl.fire import At, Either, Every, Never, Schedule, Trigger, parse_trigger
from fire_rl.fire.trigger import TRAINABILITY

from .tracking.names import KINDS, check_project, check_trackers, check_word

MOST_THREADS = 1_024
PROBE_EVERY = 10_000  # updates between two measurements of trainability
LATE = 0.25  # if learning begins later than this share of a run, the midpoint is that of the learning part

Fact = Literal[
    "resumable",  # may be changed when a run is resumed
    "machine",  # belongs to the machine: a change may alter the last bits of a result, and is reported
    "record",  # concerns only what is recorded: it changes no result
    "trunk",  # a branch keeps its trunk's value
    "later",  # takes effect where the second phase of the data begins: a branch up to there may have its own value
    "schedule",  # says when events happen: a branch does not take its trunk's value
    "timing",  # says when events happen, or how long triggers wait
    "method",  # is what a sweep compares: the runs of a sweep differ in it
    "own",  # each run of a sweep has its own value
]


def setting(default: Any, *facts: Fact) -> Any:
    """Return a dataclass field with facts about the setting."""
    return field(default=default, metadata={"facts": frozenset(facts)})


def names_with(kind: Any, *facts: Fact) -> tuple[str, ...]:
    """Return the names of the settings for which at least one of these facts holds."""
    return tuple(each.name for each in fields(kind) if each.metadata.get("facts", frozenset()) & set(facts))


@dataclass(frozen=True)
class DriverSettings:
    """The settings that the driver reads in any run, whatever the run learns from; steps are counted in `progress`."""

    progress: ClassVar[str] = "updates"  # the unit of steps, by its name in lines of metrics
    env = ""  # the name of the environment or the data set
    video = False  # whether evaluations are filmed, if there is something to see
    keep_replay = True  # whether everything that is needed to continue a finished run is kept

    reinit: str = setting("none", "method", "own")
    """Plasticity method, with options as METHOD:field=value,...; listed above."""
    reinit_every: int | None = setting(None, "schedule", "timing", "method", "own")
    """Gradient updates between two events. Without any schedule, redo acts every 1000 updates, all other methods once,
    at half the run (if learning begins after a quarter of the run, at half of the rest)."""
    reinit_from: int = setting(0, "timing", "method", "own")
    """Gradient update from which --reinit-every counts; in a branch, by default, the one at the branch point."""
    reinit_at: tuple[int, ...] = setting((), "schedule", "timing", "method", "own")
    """Environment steps at which an event happens."""
    reinit_when: tuple[str, ...] = setting((), "schedule", "timing", "method", "own")
    """An event when a measurement finds a measure beyond a threshold: "dormant>0.25", "critic.active<0.5"; measures
    listed above."""
    reinit_cooldown: int = setting(10_000, "timing", "method")
    """Gradient updates for which --reinit-when waits, at the start of the run and after any event."""
    regularize: tuple[str, ...] = setting((), "method")
    """Regularizers, which act at every gradient step, with options as NAME:field=value,...; listed above."""
    measure_every: int = 1_000
    """Gradient updates between two lines of plasticity measures; 0: none."""
    trainability_every: int | None = None
    """Gradient updates between two measurements of trainability, at least --measure-every; unset: 10000 if a trigger of
    --reinit-when uses it, otherwise none. One takes as long as hundreds of updates; the run says how long."""
    measure_hessian: bool = setting(False, "record")
    """Also measure the Hessian's largest eigenvalue, which takes as long as tens of updates, or even a hundred."""
    steps: int = setting(1_000_000, "resumable")
    """Length of the run in environment steps (an H1 step is 20 ms, an Atari step --frame-skip frames)."""
    seed: int = setting(0, "trunk", "method", "own")
    """Seed of all random generators; on a CPU, the same seed gives the same result bit by bit."""
    threads: int = setting(0, "resumable", "machine")
    """CPU threads of the learner (they affect a result's last bits); 0: one for a small network, else every core."""
    device: str = setting("auto", "resumable", "machine", "own")
    """Device of the learner: auto (a GPU if there is one), cpu, cuda or cuda:N."""
    eval_every: int = 20_000
    """Environment steps between evaluations. There are more before and after an event, unless another event came less
    than this before."""
    log_every: int = setting(1_000, "record", "own")
    """Environment steps between two lines of training metrics."""
    checkpoint_every: int = setting(50_000, "record", "own")
    """Environment steps between checkpoints. The last two are kept; the last one is at the end of the run."""
    checkpoint_at: tuple[int, ...] = setting((), "record", "own")
    """Environment steps whose checkpoints are always kept, so that runs can branch from them."""
    track: tuple[str, ...] = setting((), "resumable", "record", "own")
    """Trackers that also record the run: one or several of wandb, mlflow and module:Class. TensorBoard's events are
    always written. The trackers' own environment variables say where they record and as whom: WANDB_MODE=offline,
    WANDB_ENTITY, MLFLOW_TRACKING_URI, ..."""
    track_project: str | None = setting(None, "resumable", "record", "own")
    """Project in W&B, experiment in MLflow; unset: WANDB_PROJECT, MLFLOW_EXPERIMENT_NAME, or else fire-rl."""
    track_group: str | None = setting(None, "resumable", "record", "own")
    """Group of the run in the tracker; compare.py uses the name of its folder."""
    track_tags: tuple[str, ...] = setting((), "resumable", "record", "own")
    """Tags of the run in the tracker."""

    def check(self) -> None:
        """Raise ValueError in one line if a value is not allowed; methods are checked by the config."""
        check_limits(self)
        check_trackers(self.track)
        check_project(self.track, self.track_project or "")
        for name in ("track_project", "track_group", "track_tags"):
            given = getattr(self, name)
            for word in given if isinstance(given, tuple) else (given,):
                if word is not None:
                    check_word(flag(name), word)
        for name in ("steps", "eval_every", "log_every", "checkpoint_every"):
            self._require_above_0(name)
        for name in ("seed", "threads", "measure_every", "reinit_cooldown", "reinit_from"):
            self._require_0_or_above(name)
        if self.threads > MOST_THREADS:
            raise ValueError(f"--threads {self.threads} given; allowed is {MOST_THREADS:,} or fewer")
        if self.reinit_every is not None and self.reinit_every <= 0:
            raise ValueError(f"--reinit-every {self.reinit_every} given; allowed is a number of updates above 0")
        for name in ("reinit_at", "checkpoint_at"):
            if any(step <= 0 for step in getattr(self, name)):
                raise ValueError(f"{flag(name)} {min(getattr(self, name))} given; allowed are {self.unit} above 0")
        self._check_measures()

    def check_together(self) -> None:
        """Raise ValueError if two settings do not fit together.

        A branch or a resumed run may be given only one of the two: it is checked when it has the earlier run's others.
        """
        if not self.measure_hessian and any(trigger.measure == "hessian" for trigger in self.triggers()):
            raise ValueError("--reinit-when needs the Hessian, which is measured only with --measure-hessian True")
        if self.probe_every is not None and self.probe_every < max(1, self.measure_every):
            least = f"--measure-every {self.measure_every} or above"
            raise ValueError(f"--trainability-every {self.probe_every} given; allowed is {least}")

    def _require_above_0(self, name: str) -> None:
        if not 0 < getattr(self, name) < math.inf:
            raise ValueError(f"{flag(name)} {getattr(self, name)} given; allowed is a number above 0")

    def _require_0_or_above(self, name: str) -> None:
        if getattr(self, name) < 0:
            raise ValueError(f"{flag(name)} {getattr(self, name)} given; allowed is 0 or above")

    @property
    def looks_at_measures(self) -> Mapping[str, object]:
        """The settings that need measures, with their values."""
        names = ("reinit_when", "measure_hessian", "trainability_every")
        return {name: "" for name in names if getattr(self, name)}

    def _check_measures(self) -> None:
        """Raise ValueError if a setting needs measures that are not taken."""
        if not self.measure_every:
            for name, value in self.looks_at_measures.items():
                raise ValueError(f"{flag(name)}{value} needs measures; --measure-every 0 given, allowed is above 0")

    @property
    def probe_every(self) -> int | None:
        """Gradient updates between two measurements of trainability; None if it is not measured."""
        used = any(trigger.measure == TRAINABILITY for trigger in self.triggers())
        usual = max(PROBE_EVERY, self.measure_every) if used else None
        return usual if self.trainability_every is None else self.trainability_every

    def probes_due(self, before: int, now: int) -> bool:
        """Whether trainability is due at update `now`, if the measurement before was at update `before`."""
        every = self.probe_every
        return every is not None and now // every != before // every

    @property
    def unit(self) -> str:
        """The unit of steps in words."""
        return self.progress.replace("_", " ")

    @property
    def scheduled(self) -> tuple[str, ...]:
        """The names of the given settings that schedule events; empty if the default schedule is used."""
        return tuple(name for name in names_with(self, "schedule") if getattr(self, name))

    @property
    def method(self) -> str:
        """The method and the regularizers as they are given, for names and titles."""
        return "+".join((self.reinit, *self.regularize))

    def reached(self, step: int) -> int:
        """Return the first step, after a whole number of the work's units, that is not before `step`."""
        return step

    @property
    def longest(self) -> int | None:
        """The largest length of a run in steps; None: no limit."""
        return None

    @property
    def learns_from(self) -> int:
        """The step at which learning begins."""
        return 0

    @property
    def phase_starts(self) -> tuple[int, ...]:
        """The steps at which the phases of data after the first begin; empty if there are no phases."""
        return ()

    @property
    def epoch_lengths(self) -> tuple[int, ...]:
        """The number of steps in an epoch of each phase; empty if it is not known."""
        return ()

    @property
    def last_phase(self) -> int:
        """The step at which the last phase begins that the run reaches; 0 without phases."""
        return max((start for start in self.phase_starts if start < self.steps), default=0)

    @property
    def tested_apart(self) -> bool:
        """Whether `by_phase` of an evaluation is measured on test examples, and not on training examples."""
        return False

    @property
    def midpoint(self) -> int:
        """The step at half of the run, or of the part with learning if that begins late, as in publications."""
        begins = self.learns_from if self.learns_from < self.steps else 0  # 0: nothing is learned; a warning says so
        return max(1, (self.steps + begins if begins > LATE * self.steps else self.steps) // 2)

    @property
    def usual_events(self) -> tuple[int, ...]:
        """The steps of events if no schedule is given: the beginnings of phases, or the midpoint without phases."""
        return self.phase_starts or (self.midpoint,)

    @property
    def usual_beginning(self) -> int:
        """The update from which a method's usual period counts if no schedule is given."""
        return self.reinit_from

    def usual_period(self, updates: int | None) -> int | None:
        """Return the period of a method with repeated events; `updates` is its period in reinforcement learning."""
        return updates

    def updates_between(self, start: int, stop: int) -> float:
        """Return the largest possible number of gradient updates between two steps."""
        return stop - start

    def updates_in(self, steps: int) -> float:
        """Return the largest possible number of gradient updates in this many steps of learning."""
        return steps

    def schedule(self) -> Schedule:
        """Return the schedule of events by --reinit-every and --reinit-at."""
        parts: list[Schedule] = []
        if self.reinit_every is not None:
            parts.append(self.schedule_every(self.reinit_every))
        if self.reinit_at:
            parts.append(self.schedule_at())
        return Either(tuple(parts)) if len(parts) > 1 else parts[0] if parts else Never()

    def schedule_every(self, updates: int) -> Schedule:
        """Return the schedule of --reinit-every."""
        return Every(updates, self.reinit_from)

    def schedule_at(self) -> Schedule:
        """Return the schedule of --reinit-at: between two units of work, so that none is cut in two."""
        return At(self.reinit_at)

    def triggers(self) -> tuple[Trigger, ...]:
        """Return the triggers of --reinit-when."""
        return tuple(parse_trigger(text, self.reinit_cooldown) for text in self.reinit_when)

    def warnings(self) -> list[str]:
        """Return warnings about settings that are allowed but probably not intended."""
        found, boundaries = [], self.phase_starts
        idle = {"project": self.track_project, "group": self.track_group, "tags": {*self.track_tags} - {*KINDS}}
        if not self.track and (named := [name for name, value in idle.items() if value]):
            found.append(f"--track-{named[0]} has no effect without --track")
        for step in (step for step in self.reinit_at if step not in boundaries):
            if step >= self.steps:
                found.append(f"the event at step {step:,} will never happen: the run ends at {self.steps:,}")
            elif step > 0.9 * self.steps:
                found.append(f"the event at step {step:,} falls in the last tenth of the run: little time to recover")
            if step < self.steps and step <= self.learns_from:
                found.append(
                    f"the event at step {step:,} falls before the first update: learning begins at step "
                    f"{self.learns_from:,}"
                )
        beyond = [step for step in self.checkpoint_at if step > self.steps]
        found += [f"no checkpoint at step {step:,}: the run ends at {self.steps:,}" for step in beyond]
        total = int(self.updates_between(0, self.steps))
        for name in ("reinit_every", *(("reinit_cooldown",) if self.reinit_when else ())):
            updates = getattr(self, name)
            begins = self.reinit_from if name == "reinit_every" else 0
            if updates is not None and begins + updates >= total:  # the run's last update is followed by none
                counted = f", counted from update {begins:,}," if begins else ""
                found.append(f"{flag(name)} {updates:,}{counted} causes no event: the run has {total:,} updates")
        return found

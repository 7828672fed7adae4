"""The settings of a run: frozen dataclasses that are the command line and the config file.

What else is to be known of a setting stands on its field, as facts: whether a resumed run may change it, whether runs
that are compared may differ in it. They are asked with `names_with`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from fire_rl.agents.limits import check_limits
from fire_rl.agents.limits import flag as flag
from fire_rl.fire import At, AtUpdates, Either, Every, Never, Schedule, Trigger, parse_trigger
from fire_rl.replay import AdaptiveRatio, ReplayRatio
from fire_rl.replay.adaptive_ratio import HIGH, LOW, UPDATES_PER_CHECK

from .tracking.names import KINDS, check_project, check_trackers, check_word

MOST_THREADS = 1_024
LATE = 0.25  # share of a run without learning from which on its middle is not that of what is learned
LEAST_RATIO = 1e-6
MOST_UPDATES = 1_000_000  # per decision

Fact = Literal[
    "resumable",  # may be changed when a run is resumed
    "machine",  # of the machine: a change shows in the last bits of a result, and is said
    "record",  # of what is written down: changes no result
    "trunk",  # a branch keeps its trunk's
    "schedule",  # when events happen: begins anew in a branch
    "timing",  # the same, and how long triggers wait
    "method",  # what is compared: runs of one comparison differ in it
    "own",  # each run of a comparison has its own
]


def setting(default: Any, *facts: Fact) -> Any:
    """A field with facts about it."""
    return field(default=default, metadata={"facts": frozenset(facts)})


def names_with(kind: Any, *facts: Fact) -> tuple[str, ...]:
    """The settings of a dataclass of which one of these facts holds."""
    return tuple(each.name for each in fields(kind) if each.metadata.get("facts", frozenset()) & set(facts))


@dataclass(frozen=True)
class Subject:
    """What is learned from."""

    env: str = setting("h1-walk", "trunk", "own")
    """Environment, by name; listed above."""


@dataclass(frozen=True)
class DriverSettings:
    """What the driver reads of any run, whatever it learns from; steps are counted in `progress`."""

    progress: ClassVar[str] = "updates"  # what steps are, as lines of metrics name it
    env = ""  # what is learned from, by name
    video = False  # whether evaluations are filmed, where there is something to see
    keep_replay = True  # whether all that a finished run could go on from is kept

    reinit: str = setting("none", "method", "own")
    """Plasticity method, with options as METHOD:field=value,...; listed above."""
    reinit_every: int | None = setting(None, "schedule", "timing", "method", "own")
    """Gradient updates between two events; with no other schedule either: redo 1000, the rest once, at half the run
    (where learning begins after a quarter of it, at half of what is left then)."""
    reinit_from: int = setting(0, "timing", "method", "own")
    """Gradient updates from which --reinit-every counts; of a branch, unless given, those at its branch point."""
    reinit_at: tuple[int, ...] = setting((), "schedule", "timing", "method", "own")
    """Environment steps at which an event happens."""
    reinit_when: tuple[str, ...] = setting((), "schedule", "timing", "method", "own")
    """An event whenever a measure crosses a threshold: "dormant>0.25", "critic.active<0.5"; measures listed above."""
    reinit_cooldown: int = setting(10_000, "timing", "method")
    """Gradient updates from the start, and from any event, in which --reinit-when waits."""
    regularize: tuple[str, ...] = setting((), "method")
    """Regularizers, which act at every gradient step, with options as NAME:field=value,...; listed above."""
    measure_every: int = 1_000
    """Gradient updates between two lines of plasticity measures; 0: none."""
    measure_hessian: bool = setting(False, "record")
    """Also the Hessian's largest eigenvalue, which takes as long as tens of updates, or a hundred."""
    steps: int = setting(1_000_000, "resumable")
    """Length of the run in environment steps (an H1 step is 20 ms, an Atari step --frame-skip frames)."""
    seed: int = setting(0, "trunk", "method", "own")
    """Seed of every random stream; one seed is one result, bit by bit on a CPU."""
    threads: int = setting(0, "machine")
    """CPU threads of the learner (part of the result's last bits); 0: one for a small network, else every core."""
    device: str = setting("auto", "machine", "own")
    """Learner's device: auto (a GPU where there is one), cpu, cuda or cuda:N."""
    eval_every: int = 20_000
    """Environment steps between evaluations; also before and after an event, unless one came less than this before."""
    log_every: int = setting(1_000, "record", "own")
    """Environment steps between two lines of training metrics."""
    checkpoint_every: int = setting(50_000, "record", "own")
    """Environment steps between checkpoints; the last two are kept, and one at the end."""
    checkpoint_at: tuple[int, ...] = setting((), "record", "own")
    """Environment steps whose checkpoints are kept for good, to branch from."""
    track: tuple[str, ...] = setting((), "resumable", "record", "own")
    """Where else the run is recorded, one or several of wandb, mlflow and module:Class; none: nowhere. TensorBoard's
    events are always written. docs/tracking.md lists the environment variables that count."""
    track_project: str | None = setting(None, "resumable", "record", "own")
    """W&B's project, MLflow's experiment; unset: WANDB_PROJECT, MLFLOW_EXPERIMENT_NAME, fire-rl."""
    track_group: str | None = setting(None, "resumable", "record", "own")
    """Group of runs there; compare.py gives its runs that of their folder's name."""
    track_tags: tuple[str, ...] = setting((), "resumable", "record", "own")
    """Tags of the run there."""

    def check(self) -> None:
        """Raise ValueError, in one line, where a value makes no sense; methods are the config's to check."""
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

    def _require_above_0(self, name: str) -> None:
        if not 0 < getattr(self, name) < math.inf:
            raise ValueError(f"{flag(name)} {getattr(self, name)} given; allowed is a number above 0")

    def _require_0_or_above(self, name: str) -> None:
        if getattr(self, name) < 0:
            raise ValueError(f"{flag(name)} {getattr(self, name)} given; allowed is 0 or above")

    @property
    def looks_at_measures(self) -> Mapping[str, object]:
        """Settings, with their values, that need measures to be taken."""
        return {name: "" for name in ("reinit_when", "measure_hessian") if getattr(self, name)}

    def _check_measures(self) -> None:
        """What looks at measures has some to look at."""
        if not self.measure_every:
            for name, value in self.looks_at_measures.items():
                raise ValueError(f"{flag(name)}{value} looks at measures; --measure-every 0 given, allowed is above 0")
        if not self.measure_hessian and any(trigger.measure == "hessian" for trigger in self.triggers()):
            raise ValueError("--reinit-when looks at the Hessian, which is measured with --measure-hessian True")

    @property
    def unit(self) -> str:
        """What steps are, in words."""
        return self.progress.replace("_", " ")

    @property
    def scheduled(self) -> tuple[str, ...]:
        """The settings by which events have a schedule; none where the default one is meant."""
        return tuple(name for name in names_with(self, "schedule") if getattr(self, name))

    @property
    def method(self) -> str:
        """The method and the regularizers as they are spelled, for names and titles."""
        return "+".join((self.reinit, *self.regularize))

    def reached(self, step: int) -> int:
        """The step, a whole number of the work's units, at which `step` is first reached."""
        return step

    @property
    def longest(self) -> int | None:
        """The most steps that a run may have; None: any number."""
        return None

    @property
    def learns_from(self) -> int:
        """The step at which learning begins."""
        return 0

    @property
    def phase_starts(self) -> tuple[int, ...]:
        """The steps at which phases of data but the first begin; none where what is learned from has no phases."""
        return ()

    @property
    def epoch_lengths(self) -> tuple[int, ...]:
        """Steps of an epoch of each phase; none where that is not known."""
        return ()

    @property
    def last_phase(self) -> int:
        """The step at which the last phase that the run comes to begins; 0 without phases."""
        return max((start for start in self.phase_starts if start < self.steps), default=0)

    @property
    def tested_apart(self) -> bool:
        """Whether `by_phase` of an evaluation is on examples kept for testing, and not on those a phase trains on."""
        return False

    @property
    def midpoint(self) -> int:
        """Half of the run, where published events are; half of what is learned, if learning begins much later."""
        begins = self.learns_from if self.learns_from < self.steps else 0  # nothing is learned, which is said
        return max(1, (self.steps + begins if begins > LATE * self.steps else self.steps) // 2)

    @property
    def usual_events(self) -> tuple[int, ...]:
        """The steps of events where no schedule is given: where phases begin or, without phases, the midpoint."""
        return self.phase_starts or (self.midpoint,)

    @property
    def usual_beginning(self) -> int:
        """The update from which such a period counts where nothing is given."""
        return self.reinit_from

    def usual_period(self, updates: int | None) -> int | None:
        """That of a method which has events again and again, so many updates apart in reinforcement learning."""
        return updates

    def updates_between(self, start: int, stop: int) -> float:
        """Gradient updates from one step to another, the most that there may be."""
        return stop - start

    def updates_in(self, steps: int) -> float:
        """Gradient updates of so many steps of learning, the most that there may be."""
        return steps

    def schedule(self) -> Schedule:
        """When events happen."""
        parts: list[Schedule] = []
        if self.reinit_every is not None:
            parts.append(self.schedule_every(self.reinit_every))
        if self.reinit_at:
            parts.append(self.schedule_at())
        return Either(tuple(parts)) if len(parts) > 1 else parts[0] if parts else Never()

    def schedule_every(self, updates: int) -> Schedule:
        """That of --reinit-every."""
        return Every(updates, self.reinit_from)

    def schedule_at(self) -> Schedule:
        """That of --reinit-at."""
        return AtUpdates(self.reinit_at) if self.progress == "updates" else At(self.reinit_at)

    def triggers(self) -> tuple[Trigger, ...]:
        """When events happen because a measure says so."""
        return tuple(parse_trigger(text, self.reinit_cooldown) for text in self.reinit_when)

    def warnings(self) -> list[str]:
        """What is allowed and probably not meant."""
        found, boundaries = [], self.phase_starts
        idle = {"project": self.track_project, "group": self.track_group, "tags": {*self.track_tags} - {*KINDS}}
        if not self.track and (named := [name for name, value in idle.items() if value]):
            found.append(f"--track-{named[0]} does nothing without --track")
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
            if updates is not None and begins + updates > total:
                counted = f", counted from update {begins:,}," if begins else ""
                found.append(f"{flag(name)} {updates:,}{counted} brings no event: {total:,} updates in all")
        return found


@dataclass(frozen=True)
class RunSettings(DriverSettings, Subject):
    """What is run, for how long, and what is kept of it: a run of reinforcement learning."""

    progress: ClassVar[str] = "environment_steps"

    num_envs: int = setting(1, "trunk")
    """Environments stepped together; a decision is one action of one of them."""
    action_repeat: int = setting(2, "trunk")
    """Environment steps each action is held for; a decision counts as that many."""
    replay_ratio: float | Literal["adaptive"] = 2.0
    """Gradient updates per decision, such as 0.25, kept exactly; adaptive: 0.5, then 2 once critic units settle."""
    replay_capacity: int = setting(1_000_000, "trunk")
    """Transitions (decisions) the replay holds before it forgets the oldest."""
    capture: Literal["auto", "off"] = setting("auto", "resumable", "record")
    """On a GPU, record a block of updates as a CUDA graph and play it; off: start every kernel from the host.
    Same results; with a method of one's own that acts at every step, only where its class says capturable = True."""
    precision: Literal["float32", "tf32", "bfloat16"] = setting("float32", "machine")
    """Of products and convolutions in updates: tf32, on a GPU alone, keeps 10 bits of what they multiply and is faster;
    bfloat16 keeps 7 and rounds their results too, also on a CPU, where only some are faster with it. Weights,
    optimizers, acting, projections and measures stay in float32 or better whatever this says."""
    compile: Literal["off", "losses"] = setting("off", "machine")
    """losses: compile the losses with torch.compile: faster on a GPU, slower on the CPU that it was measured on. Takes
    a minute at the start, and a C++ compiler (on a GPU Triton and a C compiler); results differ in the last bits.
    Not with cbp and snr, which look at units in every update, nor with injection."""
    learning_starts: int = setting(5_000, "trunk")
    """Decisions with random actions before learning starts; they owe no updates."""
    eval_episodes: int = 10
    """Episodes of each evaluation, the same starts every time; no exploration but DQN's --evaluation-exploration."""
    eval_steps: int | None = None
    """Length of each evaluation in environment steps instead, --num-envs together; the episodes that end count."""
    keep_replay: bool = setting(True, "resumable", "record", "own")
    """Keep replay and older checkpoints once the run has finished; False frees their space: policy, metrics and records
    stay, but the run cannot be continued or branched from."""
    video: bool = setting(False, "resumable", "record", "own")
    """Film each evaluation's first episode: RUN/videos/step-N.mp4; up to a minute each without a graphics card."""

    def check(self) -> None:
        super().check()
        ratio = () if self.replay_ratio == "adaptive" else ("replay_ratio",)
        for name in ("num_envs", "action_repeat", "replay_capacity", "eval_episodes", *ratio):
            self._require_above_0(name)
        self._require_0_or_above("learning_starts")
        if not isinstance(self.replay_ratio, str) and self.replay_ratio > MOST_UPDATES:
            raise ValueError(f"--replay-ratio {self.replay_ratio} given; allowed is at most {MOST_UPDATES:,}")
        if not isinstance(self.replay_ratio, str) and self.replay_ratio < LEAST_RATIO:
            raise ValueError(f"--replay-ratio {self.replay_ratio} given; allowed is at least {LEAST_RATIO:f}")
        if self.action_repeat > self.steps:
            raise ValueError(f"--action-repeat {self.action_repeat} given; allowed is at most --steps {self.steps}")
        if self.eval_steps is not None and self.eval_steps <= 0:
            raise ValueError(f"--eval-steps {self.eval_steps} given; allowed is a number of environment steps above 0")

    @property
    def looks_at_measures(self) -> Mapping[str, object]:
        adaptive = {"replay_ratio": " adaptive"} if self.replay_ratio == "adaptive" else {}
        return adaptive | dict(super().looks_at_measures)

    def reached(self, step: int) -> int:
        """The environment step, a whole number of decisions of all environments, at which `step` is first reached."""
        stride = self.num_envs * self.action_repeat
        return -(-step // stride) * stride

    @property
    def learns_from(self) -> int:
        return -(-self.learning_starts // self.num_envs) * self.num_envs * self.action_repeat

    def updates_between(self, start: int, stop: int) -> float:
        learning = [max(0, step // self.action_repeat - self.learning_starts) for step in (start, stop)]
        return self.ratios[1] * (learning[1] - learning[0])

    def updates_in(self, steps: int) -> float:
        return self.ratios[1] * steps / self.action_repeat

    @property
    def ratios(self) -> tuple[float, float]:
        """The lowest and the highest replay ratio that the run may have."""
        ratio = self.replay_ratio
        return (LOW, HIGH) if isinstance(ratio, str) else (ratio, ratio)

    @property
    def evaluated_at_once(self) -> int:
        """Environments of an evaluation."""
        return self.eval_episodes if self.eval_steps is None else self.num_envs

    def make_ratio(self) -> ReplayRatio | AdaptiveRatio:
        if not isinstance(self.replay_ratio, str):
            return ReplayRatio(self.replay_ratio)
        checked = max(1, round(UPDATES_PER_CHECK / self.measure_every))
        return AdaptiveRatio(check_every=checked, window=checked)

    def warnings(self) -> list[str]:
        found = super().warnings()
        if self.steps // self.action_repeat <= self.learning_starts:
            found.append(
                f"nothing will be learned: --learning-starts {self.learning_starts:,} decisions is the whole run"
            )
        return found

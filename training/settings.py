"""The settings every run has, whatever its agent: one frozen dataclass that is the command line and the config file."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from agents.limits import check_limits
from agents.limits import flag as flag
from fire import At, Either, Every, Never, Schedule, Trigger, parse_intervention, parse_trigger
from replay import AdaptiveRatio, ReplayRatio
from replay.adaptive_ratio import HIGH, LOW, UPDATES_PER_CHECK

MOST_THREADS = 1_024
LEAST_RATIO = 1e-6
MOST_UPDATES = 1_000_000  # per decision
SCHEDULES = ("reinit_every", "reinit_at", "reinit_when")


@dataclass(frozen=True)
class RunSettings:
    """What is run, for how long, and what is kept of it."""

    env: str = "h1-walk"
    """Environment, by name; listed above."""
    reinit: str = "none"
    """Plasticity method, with options as METHOD:field=value,...; listed above."""
    reinit_every: int | None = None
    """Gradient updates between two events; with no other schedule either: redo 1000, the rest once, at half the run."""
    reinit_at: tuple[int, ...] = ()
    """Environment steps at which an event happens."""
    reinit_when: tuple[str, ...] = ()
    """An event whenever a measure crosses a threshold: "dormant>0.25", "critic.active<0.5"; measures listed above."""
    reinit_cooldown: int = 10_000
    """Gradient updates from the start, and from any event, in which --reinit-when waits."""
    regularize: tuple[str, ...] = ()
    """Regularizers, which act at every gradient step, with options as NAME:field=value,...; listed above."""
    measure_every: int = 1_000
    """Gradient updates between two lines of plasticity measures; 0: none."""
    measure_hessian: bool = False
    """Also the Hessian's largest eigenvalue, which takes as long as tens of updates, or a hundred."""
    steps: int = 1_000_000
    """Length of the run in environment steps (an H1 step is 20 ms, an Atari step --frame-skip frames)."""
    num_envs: int = 1
    """Environments stepped together; a decision is one action of one of them."""
    action_repeat: int = 2
    """Environment steps each action is held for; a decision counts as that many."""
    replay_ratio: float | Literal["adaptive"] = 2.0
    """Gradient updates per decision, such as 0.25, kept exactly; adaptive: 0.5, then 2 once critic units settle."""
    replay_capacity: int = 1_000_000
    """Transitions (decisions) the replay holds before it forgets the oldest."""
    learning_starts: int = 5_000
    """Decisions with random actions before learning starts; they owe no updates."""
    seed: int = 0
    """Seed of every random stream; one seed is one result, bit by bit on a CPU."""
    threads: int = 0
    """CPU threads of the learner (part of the result's last bits); 0: one for a small network, else every core."""
    device: str = "auto"
    """Learner's device: auto (a GPU where there is one), cpu, cuda or cuda:N."""
    eval_every: int = 20_000
    """Environment steps between evaluations; also before and after an event, unless one came less than this before."""
    eval_episodes: int = 10
    """Episodes of each evaluation, the same starts every time; no exploration but DQN's --evaluation-exploration."""
    eval_steps: int | None = None
    """Length of each evaluation in environment steps instead, --num-envs together; the episodes that end count."""
    log_every: int = 1_000
    """Environment steps between two lines of training metrics."""
    checkpoint_every: int = 50_000
    """Environment steps between checkpoints; the last two are kept, and one at the end."""
    checkpoint_at: tuple[int, ...] = ()
    """Environment steps whose checkpoints are kept for good, to branch from."""
    keep_replay: bool = True
    """Keep replay and older checkpoints once the run has finished; False frees their space: policy, metrics and records
    stay, but the run cannot be continued or branched from."""
    video: bool = False
    """Film each evaluation's first episode: RUN/videos/step-N.mp4; up to a minute each without a graphics card."""

    def check(self) -> None:
        """Raise ValueError, in one line, where a value makes no sense."""
        check_limits(self)
        self._check_amounts()
        self._check_steps()
        self._check_schedule()
        self._check_measures()

    def _check_amounts(self) -> None:
        """Of what there must be some, and of what there may be none."""
        positive = ("steps", "num_envs", "action_repeat", "replay_capacity", "eval_every", "eval_episodes")
        ratio = () if self.replay_ratio == "adaptive" else ("replay_ratio",)
        for name in (*positive, "log_every", "checkpoint_every", *ratio):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{flag(name)} {getattr(self, name)} given; allowed is a number above 0")
        for name in ("learning_starts", "seed", "threads", "measure_every", "reinit_cooldown"):
            if getattr(self, name) < 0:
                raise ValueError(f"{flag(name)} {getattr(self, name)} given; allowed is 0 or above")
        if not isinstance(self.replay_ratio, str) and self.replay_ratio > MOST_UPDATES:
            raise ValueError(f"--replay-ratio {self.replay_ratio} given; allowed is at most {MOST_UPDATES:,}")
        if not isinstance(self.replay_ratio, str) and self.replay_ratio < LEAST_RATIO:
            raise ValueError(f"--replay-ratio {self.replay_ratio} given; allowed is at least {LEAST_RATIO:f}")
        if self.threads > MOST_THREADS:
            raise ValueError(f"--threads {self.threads} given; allowed is {MOST_THREADS:,} or fewer")

    def _check_steps(self) -> None:
        """Where in the run something happens, and for how long."""
        if self.action_repeat > self.steps:
            raise ValueError(f"--action-repeat {self.action_repeat} given; allowed is at most --steps {self.steps}")
        if self.eval_steps is not None and self.eval_steps <= 0:
            raise ValueError(f"--eval-steps {self.eval_steps} given; allowed is a number of environment steps above 0")
        if self.reinit_every is not None and self.reinit_every <= 0:
            raise ValueError(f"--reinit-every {self.reinit_every} given; allowed is a number of updates above 0")
        for name in ("reinit_at", "checkpoint_at"):
            if any(step <= 0 for step in getattr(self, name)):
                raise ValueError(
                    f"{flag(name)} {min(getattr(self, name))} given; allowed are environment steps above 0"
                )

    def _check_schedule(self) -> None:
        """A schedule has a method that acts at events."""
        scheduled = [name for name in SCHEDULES if getattr(self, name)]
        if scheduled and self.reinit == "none":
            raise ValueError(f"{flag(scheduled[0])} needs a method: give --reinit fire, for example")
        if scheduled and not self.has_events:
            raise ValueError(f"{flag(scheduled[0])} given; {self.reinit} acts after every update and takes no schedule")

    def _check_measures(self) -> None:
        """What looks at measures has some to look at."""
        if not self.measure_every:
            looking = ["replay_ratio"] if self.replay_ratio == "adaptive" else []
            looking += [name for name in ("reinit_when", "measure_hessian") if getattr(self, name)]
            if looking:
                value = " adaptive" if looking[0] == "replay_ratio" else ""
                raise ValueError(
                    f"{flag(looking[0])}{value} looks at measures; --measure-every 0 given, allowed is above 0"
                )
        if not self.measure_hessian and any(trigger.measure == "hessian" for trigger in self.triggers()):
            raise ValueError("--reinit-when looks at the Hessian, which is measured with --measure-hessian True")

    @property
    def has_events(self) -> bool:
        """Whether the method acts at events: none does not, nor does one that acts after every update alone."""
        return parse_intervention(self.reinit).acts_at_events

    @property
    def method(self) -> str:
        """The method and the regularizers, for names and titles."""
        return "+".join((self.reinit, *self.regularize))

    def resolved(self) -> "RunSettings":
        """The same settings with the default schedule spelled out, so that a longer --steps moves no event."""
        if not self.has_events or any(getattr(self, name) for name in SCHEDULES):
            return self
        if period := parse_intervention(self.reinit).usual_period:
            return replace(self, reinit_every=period)
        return replace(self, reinit_at=(max(1, self.steps // 2),))

    def reached(self, step: int) -> int:
        """The environment step, a whole number of decisions of all environments, at which `step` is first reached."""
        stride = self.num_envs * self.action_repeat
        return -(-step // stride) * stride

    def schedule(self) -> Schedule:
        """When events happen."""
        parts: list[Schedule] = []
        if self.reinit_every is not None:
            parts.append(Every(updates=self.reinit_every))
        if self.reinit_at:
            parts.append(At(environment_steps=self.reinit_at))
        return Either(tuple(parts)) if len(parts) > 1 else parts[0] if parts else Never()

    @property
    def ratios(self) -> tuple[float, float]:
        """The lowest and the highest replay ratio that the run may have."""
        ratio = self.replay_ratio
        return (LOW, HIGH) if isinstance(ratio, str) else (ratio, ratio)

    def make_ratio(self) -> ReplayRatio | AdaptiveRatio:
        if not isinstance(self.replay_ratio, str):
            return ReplayRatio(self.replay_ratio)
        checked = max(1, round(UPDATES_PER_CHECK / self.measure_every))
        return AdaptiveRatio(check_every=checked, window=checked)

    def triggers(self) -> tuple[Trigger, ...]:
        """When events happen because a measure says so."""
        return tuple(parse_trigger(text, self.reinit_cooldown) for text in self.reinit_when)

    def warnings(self) -> list[str]:
        """What is allowed and probably not meant."""
        found = []
        for step in self.reinit_at:
            if step >= self.steps:
                found.append(f"the event at step {step:,} will never happen: the run ends at {self.steps:,}")
            elif step > 0.9 * self.steps:
                found.append(f"the event at step {step:,} falls in the last tenth of the run: little time to recover")
        beyond = [step for step in self.checkpoint_at if step > self.steps]
        found += [f"no checkpoint at step {step:,}: the run ends at {self.steps:,}" for step in beyond]
        total = int(self.ratios[1] * max(0, self.steps // self.action_repeat - self.learning_starts))
        for name in ("reinit_every", *(("reinit_cooldown",) if self.reinit_when else ())):
            updates = getattr(self, name)
            if updates is not None and updates > total:
                found.append(f"{flag(name)} {updates:,} brings no event: {total:,} updates in all")
        if self.steps // self.action_repeat <= self.learning_starts:
            found.append(
                f"nothing will be learned: --learning-starts {self.learning_starts:,} decisions is the whole run"
            )
        return found

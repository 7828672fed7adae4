"""The settings of a run of reinforcement learning, besides those of the agent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from fire_rl.replay import AdaptiveRatio, ReplayRatio
from fire_rl.replay.adaptive_ratio import HIGH, LOW, UPDATES_PER_CHECK

from .settings import DriverSettings, setting

LEAST_RATIO = 1e-6
MOST_UPDATES = 1_000_000  # the largest number of updates per decision


@dataclass(frozen=True)
class Subject:
    """The environment that a run learns from."""

    env: str = setting("h1-walk", "trunk", "own")
    """Name of the environment; names are listed above."""


@dataclass(frozen=True)
class RunSettings(DriverSettings, Subject):
    """The settings of a run of reinforcement learning: the environment, the length, and what is kept."""

    progress: ClassVar[str] = "environment_steps"

    num_envs: int = setting(1, "trunk")
    """Environments stepped together; a decision is one action in one of them."""
    action_repeat: int = setting(2, "trunk")
    """Environment steps for which each action is held; a decision counts as that many."""
    replay_ratio: float | Literal["adaptive"] = 2.0
    """Gradient updates per decision, such as 0.25, kept exactly. adaptive: 0.5, then 2 once the share of active units
    in the critic is stable."""
    replay_capacity: int = setting(1_000_000, "trunk")
    """Transitions (decisions) that the replay holds; older ones are overwritten."""
    capture: Literal["auto", "off"] = setting("auto", "resumable", "record")
    """On a GPU, capture a block of updates as a CUDA graph and launch it as a whole; off: launch every kernel from the
    host. The results are the same. A method of your own that acts at every step is captured only if its class sets
    capturable = True."""
    precision: Literal["float32", "tf32", "bfloat16"] = setting("float32", "machine")
    """Precision of matrix products and convolutions in updates. tf32, on a GPU only, uses 10 bits of the factors'
    mantissas and is faster. bfloat16 uses 7 bits and rounds the results too; on a CPU only some processors are faster
    with it. Weights, optimizers, acting, projections and measures always use float32 or better."""
    compile: Literal["off", "losses"] = setting("off", "machine")
    """losses: compile the losses with torch.compile. This is faster on a GPU, and slower on the CPU on which it was
    measured. It takes a minute at the start and needs a C++ compiler (on a GPU Triton and a C compiler). Results differ
    in the last bits. It cannot be used with cbp and snr, which look at units in every update, nor with injection."""
    learning_starts: int = setting(5_000, "trunk")
    """Decisions with random actions before learning starts; no updates are owed for them."""
    eval_episodes: int = 10
    """Episodes in each evaluation, with the same seeds every time, and without exploration except DQN's
    --evaluation-exploration."""
    eval_steps: int | None = None
    """Instead of --eval-episodes: length of each evaluation in environment steps of all --num-envs together; the
    episodes that end within it count."""
    keep_replay: bool = setting(True, "resumable", "record", "own")
    """Keep replay and older checkpoints after the run has finished. False frees their space: policy, metrics and
    records stay, but the run cannot be continued or branched from."""
    video: bool = setting(False, "resumable", "record", "own")
    """Film each evaluation's first episode as RUN/videos/step-N.mp4; this takes up to a minute each without a graphics
    card."""

    def check(self) -> None:
        """Raise ValueError in one line if a value is not allowed."""
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
        """The settings that need measures, with their values."""
        adaptive = {"replay_ratio": " adaptive"} if self.replay_ratio == "adaptive" else {}
        return adaptive | dict(super().looks_at_measures)

    def reached(self, step: int) -> int:
        """Return the first environment step, after a whole decision of all environments, that is not before `step`."""
        stride = self.num_envs * self.action_repeat
        return -(-step // stride) * stride

    @property
    def learns_from(self) -> int:
        """The step at which learning begins."""
        return -(-self.learning_starts // self.num_envs) * self.num_envs * self.action_repeat

    def updates_between(self, start: int, stop: int) -> float:
        """Return the largest possible number of gradient updates between two steps."""
        learning = [max(0, step // self.action_repeat - self.learning_starts) for step in (start, stop)]
        return self.ratios[1] * (learning[1] - learning[0])

    def updates_in(self, steps: int) -> float:
        """Return the largest possible number of gradient updates in this many steps of learning."""
        return self.ratios[1] * steps / self.action_repeat

    @property
    def ratios(self) -> tuple[float, float]:
        """The lowest and the highest replay ratio of the run."""
        ratio = self.replay_ratio
        return (LOW, HIGH) if isinstance(ratio, str) else (ratio, ratio)

    @property
    def evaluated_at_once(self) -> int:
        """The number of environments in an evaluation."""
        return self.eval_episodes if self.eval_steps is None else self.num_envs

    def make_ratio(self) -> ReplayRatio | AdaptiveRatio:
        """Return the replay ratio at the beginning of a run."""
        if not isinstance(self.replay_ratio, str):
            return ReplayRatio(self.replay_ratio)
        checked = max(1, round(UPDATES_PER_CHECK / self.measure_every))
        return AdaptiveRatio(check_every=checked, window=checked)

    def warnings(self) -> list[str]:
        """Return warnings about settings that are allowed but probably not intended."""
        found = super().warnings()
        if self.steps // self.action_repeat <= self.learning_starts:
            found.append(
                f"nothing will be learned: --learning-starts {self.learning_starts:,} decisions is the whole run"
            )
        return found

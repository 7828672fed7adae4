"""The trunks whose checkpoints are measured: sweeps of compare.py without a method, with checkpoints at ten ages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fire_rl.commands.compare import make_grid
from fire_rl.commands.compare_options import read_options
from fire_rl.experiments.sweep.grid import Grid, Job, asked_for
from fire_rl.experiments.sweep.plan import plan

GroupName = Literal["dqn", "sac", "vision"]
# Shares of the learning part of a run at which checkpoints are kept: more of them early, where networks change fast.
AGES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0)
IMAGES = 5_000  # of the quick preset of vision


@dataclass(frozen=True)
class Trunks:
    """Which trunks are trained. The defaults give 45 runs and 450 checkpoints."""

    groups: tuple[GroupName, ...] = ("dqn", "sac", "vision")
    """The groups of trunks: DQN on games, SAC on H1 tasks, warm starts of image classifiers."""
    games: tuple[str, ...] = ("MinAtar/SpaceInvaders-v1", "MinAtar/Breakout-v1", "MinAtar/Asterix-v1")
    """Games of DQN, quick preset."""
    game_ratios: tuple[float, ...] = (1, 4, 16)
    """Replay ratios of DQN."""
    game_seeds: int = 3
    """Seeds of each game and ratio."""
    tasks: tuple[str, ...] = ("h1-walk", "h1-stand")
    """Tasks of SAC, quick preset."""
    task_ratios: tuple[float, ...] = (1, 4)
    """Replay ratios of SAC."""
    task_seeds: int = 3
    """Seeds of each task and ratio."""
    image_seeds: int = 6
    """Seeds of the warm starts, quick preset."""
    length: float = 1.0
    """Length of the trunks as a share of the usual one: 8,000 steps of games, 6,000 of tasks, 960 updates on images."""


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint to measure: its run, its step, and facts about the run."""

    run: Path
    step: int
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, int]:
        """What identifies its record in the results."""
        return f"{self.about['group']}/{self.run.name}", self.step


def words_of(group: GroupName, trunks: Trunks, folder: Path, jobs: int) -> list[str]:
    """Return the words of the compare.py command that trains a group of trunks."""
    words = _words(group, trunks, folder, jobs)
    steps = ages_of(make_grid(*read_options(words)))
    return [*words, "--checkpoint-at", *map(str, steps)]


def _words(group: GroupName, trunks: Trunks, folder: Path, jobs: int) -> list[str]:
    seeds = {"dqn": trunks.game_seeds, "sac": trunks.task_seeds, "vision": trunks.image_seeds}[group]
    words = ["--agent", group, "--preset", "quick", "--reinit", "none", "--seeds", f"0-{seeds - 1}"]
    words += ["--dir", str(folder / group), "--jobs", str(jobs), "--threads", "1", "--device", "cpu"]
    if group == "vision":
        return words if trunks.length == 1 else [*words, "--images", str(round(trunks.length * IMAGES))]
    names, ratios = (trunks.games, trunks.game_ratios) if group == "dqn" else (trunks.tasks, trunks.task_ratios)
    steps, starts = (8_000, 1_000) if group == "dqn" else (6_000, 500)
    length = max(100, round(trunks.length * steps))
    words += ["--env", *names, "--replay-ratio", *(f"{ratio:g}" for ratio in ratios), "--steps", str(length)]
    words += ["--learning-starts", str(max(10, round(trunks.length * starts))), "--eval-every", str(length)]
    return [*words, "--eval-episodes", "3"]


def ages_of(grid: Grid) -> tuple[int, ...]:
    """Return the steps of the checkpoints that are kept; they are the same for all runs of a group."""
    run = asked_for(grid.points[0], grid.envs[0]).resolved().run
    begins = run.learns_from
    return tuple(sorted({run.reached(begins + max(1, round(age * (run.steps - begins)))) for age in AGES}))


def checkpoints_of(group: GroupName, words: Sequence[str]) -> list[Checkpoint]:
    """Return the checkpoints of a group that are to be measured."""
    grid = make_grid(*read_options(list(words)))
    steps = ages_of(grid)
    # With several ratios, the place of a job names its own instead of the first one; with one ratio it names none.
    ratio = {"replay_ratio": words[words.index("--replay-ratio") + 1]} if "--replay-ratio" in words else {}
    return [
        Checkpoint(job.folder, step, _about(group, job, ratio) | {"run": f"{group}/{job.name}"})
        for job in plan(grid)
        for step in steps
    ]


def _about(group: GroupName, job: Job, place: Mapping[str, str]) -> dict[str, Any]:
    return {"group": group, "agent": job.agent, "task": job.env, "place": {**place, **job.place}, "seed": job.seed}

"""How long a run waits for a checkpoint, part by part, and how much time a writing thread could save at most.

    python -m benchmarks.checkpoint [--agents sac minatar-quick] [--threads 1]

Each agent has its published or quick size, and as many new transitions as there are between two checkpoints. A thread
could write the learner's and the other files from copies of the tensors, and delete old files. It could not do the
checks or write the replay's new segments, because the run goes on writing to the ring from which they are read. So a
thread saves at most the seconds of files and deletion, less those of the copy. This is printed as a share of the time
of the updates between two checkpoints, on this machine and on a GPU with the rate that docs/gpu.md gives.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro

from fire_rl.fire.finite import first_not_finite
from fire_rl.replay import FrameReplay
from fire_rl.training.checkpoint import Checkpoint, Values, write_checkpoint
from fire_rl.training.durable import DurableStore
from fire_rl.training.files import METRICS
from fire_rl.training.learners import LEARNERS, build
from fire_rl.training.memory import keep_large_blocks
from fire_rl.training.progress import Progress
from fire_rl.training.pruning import prune
from fire_rl.training.reinforcement import Reinforcement

from .timing import CLOCKS, seconds

Name = Literal["sac", "sac-quick", "minatar-quick"]
RUNS = {"sac": ("sac", "paper"), "sac-quick": ("sac", "quick"), "minatar-quick": ("dqn", "quick")}
PARTS = ("all", "finite?", "segments", "files", "deletion", "copy")
GPU = {"sac": 708.0}  # updates per second of the whole loop on an H200, docs/gpu.md


@dataclass(frozen=True)
class Options:
    """Which agents are timed, and where the files are written."""

    agents: tuple[Name, ...] = ("sac", "minatar-quick")
    """The published SAC on h1-walk, its quick preset, DQN's quick preset on MinAtar."""
    threads: int = 1
    """CPU threads of the learner."""
    rounds: int = 5
    """Checkpoints of each agent; the median is printed."""
    clock: Literal["processor", "wall"] = "wall"
    """Wall time, or the process's own processor time, which leaves out the time of waiting for the disk and others."""
    device: str = "cpu"
    """cpu or cuda."""
    folder: Path = Path(tempfile.gettempdir())
    """A folder on the disk to which checkpoints are written."""


class Subject:
    """The work of a run, ready to be saved in its own folder."""

    def __init__(self, name: Name, options: Options, folder: Path) -> None:
        learner, preset = RUNS[name]
        config = LEARNERS[learner].presets[preset].config.altered(device=options.device, threads=options.threads)
        work = build(config.resolved())
        assert isinstance(work, Reinforcement)
        self.work, self.folder, self.random = work, folder, np.random.default_rng(0)
        self.every, self.batch_size = config.run.checkpoint_every, config.agent.batch_size  # type: ignore[attr-defined]
        self.updates = round(config.run.updates_in(self.every))
        self.work.observations, _ = work.environment.reset()
        self.generator = torch.Generator().manual_seed(0)

    def add_transitions(self) -> None:
        """Add the transitions of all steps between two checkpoints to the replay."""
        work, steps = self.work, self.every // self.work.settings.action_repeat
        envs, shape = work.environment.num_envs, work.environment.single_observation_space.shape or ()
        if isinstance(work.replay, FrameReplay):
            shown = self.random.integers(2, size=(8, envs, *shape)).astype(work.environment.observation_space.dtype)
            for number in range(steps // envs):
                one, other = shown[number % 8], shown[(number + 1) % 8]
                work.replay.add(
                    one, np.ones(envs, int), np.ones(envs), other, np.zeros(envs, bool), np.zeros(envs, bool)
                )
        else:
            actions = np.ones((steps, *(work.environment.single_action_space.shape or ())))
            one, other = self.random.normal(size=(2, steps, *shape))
            none = np.zeros(steps, bool)
            work.replay.add(one, actions, np.ones(steps), other, none, none)
        work.steps += self.every

    def update(self) -> None:
        """Make two gradient updates."""
        self.work.agent.update(self.work.replay.sample(2, self.batch_size, self.generator).to(self.work.device))

    def finite(self) -> None:
        """Check that all weights are finite numbers, as before each checkpoint."""
        assert first_not_finite(self.work.learner().items()) is None

    def segments(self) -> None:
        """Write the replay's new segment files."""
        self.work.segments = tuple(self.work.replay.save(DurableStore(self.folder / "replay"), self.work.segments))

    def checkpoint(self) -> Checkpoint:
        """Return a checkpoint of this moment."""
        state = self.work.state(self.folder)
        values = Values(Progress(), dict(state.values), {}, {METRICS: 0})
        return Checkpoint(self.work.learner(), state.tensors, values, state.segments)


def parts(subject: Subject, timed: Callable[[Callable[[], Any]], float]) -> dict[str, float]:
    """Time one checkpoint as the driver writes it, part by part, and a copy of the tensors, which the driver lacks."""
    work = subject.work
    found = {"finite?": timed(subject.finite), "segments": timed(subject.segments)}
    checkpoint = subject.checkpoint()
    found["files"] = timed(partial(write_checkpoint, subject.folder, work.steps, checkpoint))
    found["deletion"] = timed(partial(prune, subject.folder, ()))
    copy = timed(lambda: [tensor.to("cpu", copy=True) for tensor in checkpoint.learner.values()])
    return {"all": sum(found.values()), **found, "copy": copy}


def run(name: Name, options: Options) -> None:
    """Print the medians of all parts of a checkpoint for one agent."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        subject, rounds, updates = Subject(name, options, Path(folder)), list[dict[str, float]](), list[float]()
        timed = partial(seconds, device=subject.work.device, clock=CLOCKS[options.clock])
        for _ in range(options.rounds + 1):
            subject.add_transitions()
            rounds.append(parts(subject, timed))
            updates += [timed(subject.update) / 2 for _ in range(3)]
        size = sum(tensor.nbytes for tensor in subject.work.learner().values()) / 1e6
    medians = {part: float(np.median([found[part] for found in rounds[1:]])) for part in PARTS}
    rates = {"here": 1 / min(updates[3:])} | ({"on the GPU": GPU[name]} if name in GPU else {})
    print(f"{name:14s} {size:6.1f}" + "".join(f"{1e3 * medians[part]:10.0f}" for part in PARTS))
    saved = medians["files"] + medians["deletion"] - medians["copy"]
    for where, rate in rates.items():
        between = subject.updates / rate
        shares = (
            f"a checkpoint {100 * medians['all'] / between:.3f}%, a thread saves at most {100 * saved / between:.3f}%"
        )
        print(f"{'':14s} {where}, {rate:,.1f} updates/s, {subject.updates:,} updates in {between:,.0f} s: {shares}")


def main(options: Options) -> None:
    """Measure all agents."""
    keep_large_blocks()
    torch.set_num_threads(options.threads)
    print(f"Checkpoints, {options.threads} threads, {options.device}, {options.clock} time; medians in milliseconds")
    print(f"{'agent':14s} {'MB':>6s}" + "".join(f"{part:>10s}" for part in PARTS))
    for name in options.agents:
        run(name, options)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))

"""Measures environment steps per second of the H1 tasks: ours, the physics alone, and the original environment.

`python -m benchmarks.env_step [--task walk] [--seconds 8]` shows one task with several numbers of threads, `--task all`
a line for each task. "Physics alone" is MuJoCo's rollout of the same model, called once per step of all environments.
It and our environment go through the same states and controls, those of a random policy. All are timed in turns, one
block each.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from mujoco.rollout import Rollout
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from fire_rl import envs
from fire_rl.envs.humanoid import TASKS, HumanoidVectorEnv
from fire_rl.envs.humanoid.scene import PHYSICS_STEPS
from fire_rl.envs.original import make_original, original_available

SETTINGS = ((1, 1), (8, 1), (8, 2))  # environments, threads
BLOCK = 240  # environment steps

Array = NDArray[Any]


class PhysicsAlone:
    """MuJoCo's native rollout, without anything else."""

    def __init__(self, model: mujoco.MjModel, num_envs: int, threads: int) -> None:
        self.models = [model] * num_envs
        self.datas = [mujoco.MjData(model) for _ in range(threads)]
        self.rollout = Rollout(nthread=threads if threads > 1 else 0)
        self.readings = np.zeros((num_envs, PHYSICS_STEPS, model.nsensordata))
        self.warm_start = np.zeros((num_envs, model.nv))

    def seconds(self, states: Array, controls: Array) -> float:
        """Return the seconds of one environment step from each of `states` (step, environment, nstate)."""
        held = np.repeat(controls[:, :, None].astype(np.float64), PHYSICS_STEPS, axis=2)
        trajectories = np.zeros((states.shape[1], PHYSICS_STEPS, states.shape[2]))
        begin = time.perf_counter()
        for state, control in zip(states, held, strict=True):
            self.rollout.rollout(
                self.models, self.datas, state, control, nstep=PHYSICS_STEPS, initial_warmstart=self.warm_start,
                state=trajectories, sensordata=self.readings, skip_checks=True,
            )  # fmt: skip
        return time.perf_counter() - begin


class Ours:
    """A vector of environments under a random policy, timed in blocks."""

    def __init__(self, task: str, num_envs: int, threads: int) -> None:
        vector = envs.make_vec(f"h1-{task}", num_envs, seed=0, threads=threads)
        assert isinstance(vector, HumanoidVectorEnv)
        self.vector, self.num_envs = vector, num_envs
        self.model = vector.simulation.physics.model
        self.alone = PhysicsAlone(self.model, num_envs, threads)
        self.generator = np.random.default_rng(0)
        vector.reset()

    def block(self) -> tuple[float, float]:
        """Return the seconds of a block, and of the physics alone from the same states with the same controls."""
        low, high = self.model.actuator_ctrlrange.T.astype(np.float32)
        shape = (BLOCK // self.num_envs, self.num_envs, len(low))
        actions = self.generator.uniform(-1, 1, shape).astype(np.float32)
        before, states = self.vector.get_state(), []
        for action in actions:
            state = self.vector.get_state()
            states.append(np.concatenate((state["time"][:, None], state["qpos"], state["qvel"]), axis=1))
            self.vector.step(action)
        self.vector.set_state(**before)
        begin = time.perf_counter()
        for action in actions:
            self.vector.step(action)
        ours = time.perf_counter() - begin
        return ours, self.alone.seconds(np.array(states), (actions + 1) / 2 * (high - low) + low)


class Original:
    """One original environment under a random policy, which is reset when an episode ends."""

    def __init__(self, task: str) -> None:
        self.env = make_original(task)
        self.generator = np.random.default_rng(0)
        self.env.reset(seed=0)

    def block(self) -> float:
        """Return the seconds of a block."""
        actions = self.generator.uniform(-1, 1, (BLOCK, self.env.model.nu)).astype(np.float32)
        begin = time.perf_counter()
        for action in actions:
            if self.env.step(action)[2]:
                self.env.reset()
        return time.perf_counter() - begin


def measure(task: str, settings: Sequence[tuple[int, int]], seconds: float) -> tuple[Array, Array]:
    """Return the seconds per block of ours and the physics alone (round, setting, 2), and of the original (round,).

    In each round every one does a block, so that other load on the machine affects all of them. The original's values
    are NaN if it is not installed.
    """
    ours = [Ours(task, num_envs, threads) for num_envs, threads in settings]
    original = Original(task) if original_available() else None
    times: list[list[tuple[float, float]]] = []
    original_times: list[float] = []
    end = time.perf_counter() + seconds * (len(settings) + 1)
    while time.perf_counter() < end or len(times) < 3:
        times.append([one.block() for one in ours])
        original_times.append(original.block() if original else float("nan"))
    for one in ours:
        one.vector.close()
    return np.array(times), np.array(original_times)


def loading(task: str) -> tuple[float, float]:
    """Return the seconds of making an environment: the first one in a process, without imports, and the next one."""
    program = (
        "import time; from fire_rl import envs; begin = time.perf_counter();"
        "envs.make('h1-{0}'); middle = time.perf_counter();"
        "envs.make('h1-{0}'); print(middle - begin, time.perf_counter() - middle)"
    )
    command = [sys.executable, "-c", program.format(task)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    first, second = done.stdout.split()
    return float(first), float(second)


def resetting(task: str) -> float:
    """Return the seconds of a reset of one environment among eight."""
    vector = envs.make_vec(f"h1-{task}", 8, seed=0)
    assert isinstance(vector, HumanoidVectorEnv)
    vector.reset()
    begin = time.perf_counter()
    for count in range(400):
        vector.simulation.reset(count % 8)
    return (time.perf_counter() - begin) / 400


def rate(seconds: Array) -> float:
    """Return the environment steps per second of the median block."""
    return float(BLOCK / np.median(seconds))


def show_one(task: str, seconds: float) -> None:
    """Print a line for each number of environments and threads."""
    print(f"h1-{task}, MuJoCo {mujoco.__version__}, environment steps per second (medians of blocks in turn)")
    print("| environments | threads | environment | physics alone | ratio |\n|---|---|---|---|---|")
    times, original = measure(task, SETTINGS, seconds)
    for (num_envs, threads), ours, physics in zip(SETTINGS, times[..., 0].T, times[..., 1].T, strict=True):
        ratio = np.median(physics / ours)
        print(f"| {num_envs} | {threads} | {rate(ours):,.0f} | {rate(physics):,.0f} | {ratio:.2f} |")
    if original_available():
        print(f"| the original | 1 | {rate(original):,.0f} | | |")
    else:
        print("to compare with the original environment, install the package humanoid_bench")
    first, second = loading(task)
    print(f"loading: {first:.2f} s, the next one {second:.2f} s; a reset: {1e6 * resetting(task):.0f} microseconds")


def show_all(seconds: float) -> None:
    """Print a line for each task, as a table for the documentation."""
    print(
        f"MuJoCo {mujoco.__version__}, environment steps per second (medians of blocks in turn), share of physics alone"
    )
    settings = [f"{num_envs} on {threads}" for num_envs, threads in SETTINGS]
    columns = ["task", *settings, *(f"of physics, {one}" for one in settings), "the original",
               *(f"ratio, {one}" for one in settings), "loading"]  # fmt: skip
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    ratios = []
    for task in TASKS:
        times, original = measure(task, SETTINGS, seconds)
        ours, physics = times[..., 0].T, times[..., 1].T
        ratios.append(np.median(original / ours, axis=1))
        cells = [f"{rate(one):,.0f}" for one in ours]
        cells += [f"{share:.2f}" for share in np.median(physics / ours, axis=1)]
        cells += [f"{rate(original):,.0f}", *(f"{ratio:.2f}" for ratio in ratios[-1]), f"{loading(task)[0]:.2f} s"]
        print(f"| {task} | {' | '.join(cells)} |", flush=True)
    medians = ", ".join(f"{value:.2f}" for value in np.median(ratios, axis=0))
    print(f"ratio to the original, medians over tasks: {medians} ({', '.join(settings)})")


def main() -> None:
    """Print one task, or all."""
    parser = argparse.ArgumentParser(description="Environment steps per second of an H1 task.")
    parser.add_argument(
        "--task",
        default="walk",
        type=lambda name: name.removeprefix("h1-"),
        choices=[*TASKS, "all"],
        help="an H1 task, or all",
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each rate is measured")
    options = parser.parse_args()
    if options.task == "all":
        show_all(options.seconds)
    else:
        show_one(options.task, options.seconds)


if __name__ == "__main__":
    main()

"""Environment steps per second of the H1 tasks: ours, the physics alone in the same run, and the original's.

`python -m benchmarks.env_step [--task walk] [--seconds 8]` shows one task on several threads, `--task all` a line for
each. Physics alone is MuJoCo's rollout of the same model, called once per step of all environments. Both go through the
same states and controls, a random policy's, in turn, in blocks.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from mujoco.rollout import Rollout
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

import envs
from envs.humanoid import TASKS, HumanoidVectorEnv
from envs.humanoid.scene import PHYSICS_STEPS
from envs.original import make_original, original_available

SETTINGS = ((1, 1), (8, 1), (8, 2))  # environments, threads
BLOCK = 480  # environment steps

Array = NDArray[Any]


class PhysicsAlone:
    """MuJoCo's native rollout with nothing around it."""

    def __init__(self, model: mujoco.MjModel, num_envs: int, threads: int) -> None:
        self.models = [model] * num_envs
        self.datas = [mujoco.MjData(model) for _ in range(threads)]
        self.rollout = Rollout(nthread=threads if threads > 1 else 0)
        self.readings = np.zeros((num_envs, PHYSICS_STEPS, model.nsensordata))
        self.warm_start = np.zeros((num_envs, model.nv))

    def seconds(self, states: Array, controls: Array) -> float:
        """One environment step from each of `states` (step, environment, nstate), holding its controls."""
        held = np.repeat(controls[:, :, None].astype(np.float64), PHYSICS_STEPS, axis=2)
        trajectories = np.zeros((states.shape[1], PHYSICS_STEPS, states.shape[2]))
        begin = time.perf_counter()
        for state, control in zip(states, held, strict=True):
            self.rollout.rollout(
                self.models, self.datas, state, control, nstep=PHYSICS_STEPS, initial_warmstart=self.warm_start,
                state=trajectories, sensordata=self.readings, skip_checks=True,
            )  # fmt: skip
        return time.perf_counter() - begin


def measure(task: str, num_envs: int, threads: int, seconds: float) -> tuple[float, float, float]:
    """Rates of the environment and of physics alone, and the median of their ratios, block by block."""
    vector = envs.make_vec(f"h1-{task}", num_envs, seed=0, threads=threads)
    assert isinstance(vector, HumanoidVectorEnv)
    model = vector.world.physics.model
    low, high = model.actuator_ctrlrange.T.astype(np.float32)
    alone = PhysicsAlone(model, num_envs, threads)
    vector.reset()
    generator = np.random.default_rng(0)
    ours: list[float] = []
    physics: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(ours) < 3:
        actions = generator.uniform(-1, 1, (BLOCK // num_envs, num_envs, len(low))).astype(np.float32)
        before = vector.get_state()
        states = []
        for action in actions:
            state = vector.get_state()
            states.append(np.concatenate((state["time"][:, None], state["qpos"], state["qvel"]), axis=1))
            vector.step(action)
        vector.set_state(**before)
        begin = time.perf_counter()
        for action in actions:
            vector.step(action)
        ours.append(time.perf_counter() - begin)
        controls = (actions + 1) / 2 * (high - low) + low
        physics.append(alone.seconds(np.array(states), controls))
    vector.close()
    ratio = float(np.median(np.array(physics) / np.array(ours)))
    return BLOCK / float(np.median(ours)), BLOCK / float(np.median(physics)), ratio


def measure_original(task: str, seconds: float) -> float:
    """The original's rate, one environment under a random policy, beginning anew where an episode ends."""
    env = make_original(task)
    generator = np.random.default_rng(0)
    env.reset(seed=0)
    rates: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rates) < 3:
        actions = generator.uniform(-1, 1, (BLOCK, env.model.nu)).astype(np.float32)
        begin = time.perf_counter()
        for action in actions:
            if env.step(action)[2]:
                env.reset()
        rates.append(BLOCK / (time.perf_counter() - begin))
    return float(np.median(rates))


def loading(task: str) -> tuple[float, float]:
    """Seconds to make an environment: the first of a process, imports not counted, and the next one."""
    program = (
        "import time, envs; begin = time.perf_counter(); envs.make('h1-{0}'); middle = time.perf_counter();"
        "envs.make('h1-{0}'); print(middle - begin, time.perf_counter() - middle)"
    )
    done = subprocess.run([sys.executable, "-c", program.format(task)], capture_output=True, text=True, check=True)
    first, second = done.stdout.split()
    return float(first), float(second)


def resetting(task: str) -> float:
    """Seconds to begin an episode of one environment among eight."""
    vector = envs.make_vec(f"h1-{task}", 8, seed=0)
    assert isinstance(vector, HumanoidVectorEnv)
    vector.reset()
    begin = time.perf_counter()
    for count in range(400):
        vector.world.reset(count % 8)
    return (time.perf_counter() - begin) / 400


def show_one(task: str, seconds: float) -> None:
    """A line per number of environments and threads."""
    print(f"h1-{task}, MuJoCo {mujoco.__version__}, environment steps per second (medians)")
    print(f"{'environments':>12} {'threads':>8} {'environment':>12} {'physics alone':>14} {'ratio':>6}")
    for num_envs, threads in SETTINGS:
        rate, physics, ratio = measure(task, num_envs, threads, seconds)
        print(f"{num_envs:>12} {threads:>8} {rate:>12.0f} {physics:>14.0f} {ratio:>6.2f}", flush=True)
    if original_available():
        print(f"{'original':>12} {1:>8} {measure_original(task, seconds):>12.0f}")
    else:
        print("the original's rate is printed where the package humanoid_bench is importable")
    first, second = loading(task)
    print(f"loading: {first:.2f} s, the next one {second:.2f} s; a reset: {1e6 * resetting(task):.0f} microseconds")


def show_all(seconds: float) -> None:
    """A line per task, as a table for the documentation."""
    print(f"MuJoCo {mujoco.__version__}, environment steps per second (medians), share of physics alone, loading time")
    print(
        "| task | 1 environment | of physics | 8 environments, 2 threads | of physics | original | ratios | loading |"
    )
    print("|---|---|---|---|---|---|---|---|")
    ratios = []
    for task in TASKS:
        one, _, one_share = measure(task, 1, 1, seconds)
        original = measure_original(task, seconds) if original_available() else float("nan")
        many, _, many_share = measure(task, 8, 2, seconds)
        ratios.append((one / original, many / original))
        print(
            f"| {task} | {one:,.0f} | {one_share:.2f} | {many:,.0f} | {many_share:.2f} | {original:,.0f} "
            f"| {ratios[-1][0]:.2f}, {ratios[-1][1]:.2f} | {loading(task)[0]:.2f} s |",
            flush=True,
        )
    medians = np.median(np.array(ratios), axis=0)
    print(f"ratio to the original, median: {medians[0]:.2f} with one environment, {medians[1]:.2f} with eight")


def main() -> None:
    """Prints one task, or all."""
    parser = argparse.ArgumentParser(description="Environment steps per second of an H1 task.")
    parser.add_argument("--task", default="walk", choices=[*TASKS, "all"], help="an H1 task without its h1-")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each rate is measured")
    options = parser.parse_args()
    if options.task == "all":
        show_all(options.seconds)
    else:
        show_one(options.task, options.seconds)


if __name__ == "__main__":
    main()

"""Measures agent steps per second of four Atari games: ours, ale-py's own C++ vector, and Stable-Baselines3's wrappers.

`python -m benchmarks.atari_env [--game Breakout] [--seconds 10]`. All of them play the same random actions, repeat each
for four frames and return stacks of four 84 x 84 pictures; they are timed in turns, one block each. ale-py's vector is
the floor: it cannot be resumed, and at a time limit it does not return the true final observation.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
from ale_py.vector_env import AtariVectorEnv

sys.path.insert(0, str(Path(__file__).parents[1]))

from fire_rl import envs
from fire_rl.envs.atari_names import rom_of

NUM_ENVS = 4
BLOCK = 200  # decisions of each of the four environments
INSTALL = "pip install --no-deps stable-baselines3 opencv-python-headless"

Step = Callable[[np.ndarray], Any]


def ours(game: str, threads: int) -> Step:
    """Return the step function of the vector that runs use."""
    vector = envs.make_vec(game, NUM_ENVS, seed=0, threads=threads)
    vector.reset()
    return vector.step


def bare(game: str, threads: int) -> Step:
    """Return the step function of ale-py's own vector, with its own stacks and autoreset and the same preprocessing."""
    vector = AtariVectorEnv(
        rom_of(game), NUM_ENVS, num_threads=threads, repeat_action_probability=0.25, noop_max=0, use_fire_reset=False,
        reward_clipping=False, autoreset_mode="SameStep",
    )  # fmt: skip
    vector.reset(seed=0)
    return vector.step


def stable_baselines(game: str, processes: bool) -> Step:
    """Return the step function of Stable-Baselines3's wrappers without the features that ours lack.

    The environments run one after the other, or each in its own process.
    """
    theirs = importlib.import_module("stable_baselines3.common.vec_env")
    functions = [functools.partial(one_of_stable_baselines, game) for _ in range(NUM_ENVS)]
    made = theirs.SubprocVecEnv(functions) if processes else theirs.DummyVecEnv(functions)
    vector = theirs.VecTransposeImage(theirs.VecFrameStack(made, n_stack=4))
    vector.seed(0)
    vector.reset()
    return vector.step


def one_of_stable_baselines(game: str) -> gym.Env[Any, Any]:
    """Return one environment with Stable-Baselines3's wrappers."""
    wrappers = importlib.import_module("stable_baselines3.common.atari_wrappers")
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    gym.register_envs(ale_py)
    env = gym.make(f"ALE/{game}-v5", frameskip=1, repeat_action_probability=0.25)
    return wrappers.AtariWrapper(env, noop_max=0, frame_skip=4, terminal_on_life_loss=False, clip_reward=False)


def seconds_of_block(step: Step, actions: np.ndarray) -> float:
    """Return the seconds of a block of decisions, including resets at the ends of episodes."""
    begin = time.perf_counter()
    for action in actions:
        step(action)
    return time.perf_counter() - begin


def main() -> None:
    """Print a line for each vector."""
    parser = argparse.ArgumentParser(description="Agent steps per second of four Atari games.")
    parser.add_argument("--game", default="Breakout", choices=envs.atari_names.games(), metavar="GAME")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each rate is measured")
    options = parser.parse_args()
    game = options.game
    steps = {f"ours, {n} thread{'s' * (n > 1)}": ours(game, n) for n in (1, 2)}
    steps |= {f"ale-py's bare vector, {n} thread{'s' * (n > 1)}": bare(game, n) for n in (1, 2)}
    peer = find_spec("stable_baselines3") is not None and find_spec("cv2") is not None
    if peer:
        steps["Stable-Baselines3, in process"] = stable_baselines(game, processes=False)
        steps["Stable-Baselines3, a process each"] = stable_baselines(game, processes=True)
    generator, count = np.random.default_rng(0), envs.make(game).action_space.n  # type: ignore[attr-defined]
    times: list[list[float]] = []
    end = time.perf_counter() + options.seconds * len(steps)
    while time.perf_counter() < end or len(times) < 3:
        actions = generator.integers(0, count, (BLOCK, NUM_ENVS))
        times.append([seconds_of_block(step, actions) for step in steps.values()])
    table = np.array(times)
    print(
        f"{game}, {NUM_ENVS} environments, ale-py {ale_py.__version__}, {len(table)} blocks each, in turn; agent steps"
    )
    print("| | steps/s | time / time of ours with 2 threads |\n|---|---|---|")
    for column, name in enumerate(steps):
        ratio = np.median(table[:, column] / table[:, 1])
        print(f"| {name} | {NUM_ENVS * BLOCK / np.median(table[:, column]):,.0f} | {ratio:.2f} |")
    if not peer:
        print(f"to compare with Stable-Baselines3: {INSTALL}")


if __name__ == "__main__":
    main()

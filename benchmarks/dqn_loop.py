"""Times whole training loops on Breakout: ours and Stable-Baselines3's, with four environments.

Both do one update per transition, and each has its own preprocessing and replay. Both choose a random action in one of
ten decisions, so that both use their network in the others. The speed of ours is measured between two log lines,
without checkpoints and evaluations.
"""

import importlib
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import torch

from fire_rl.agents import DQNSettings
from fire_rl.training.agent_run import AgentRun
from fire_rl.training.driver import Driver
from fire_rl.training.learners import DQNRun, build
from fire_rl.training.lines import read_lines
from fire_rl.training.reinforcement_settings import RunSettings

from .dqn_peers import INSTALL, StableBaselines, make_stable_baselines

WARM_UP = 400  # decisions without learning
NUM_ENVS = 4


def our_config(steps: int, threads: int) -> AgentRun:
    """Return the settings of our run."""
    run = RunSettings(
        env="Breakout",
        steps=WARM_UP + steps,
        num_envs=NUM_ENVS,
        action_repeat=1,
        replay_ratio=1.0,
        learning_starts=WARM_UP,
        threads=threads,
        device="cpu",
        eval_every=10**9,
        eval_steps=NUM_ENVS,
        log_every=WARM_UP,
        checkpoint_every=10**9,
    )
    config: AgentRun = DQNRun(run, DQNSettings(initial_exploration=0.1, final_exploration=0.1))
    return config.resolved()


def our_rate(steps: int, threads: int) -> float:
    """Return the environment steps per second of our loop while it learns."""
    config = our_config(steps, threads)
    with tempfile.TemporaryDirectory() as folder:
        Driver(Path(folder), config, build(config)).train()
        lines = [line for line in read_lines(Path(folder) / "metrics.jsonl") if line["kind"] == "train"]
    return median(line["steps_per_second"] for line in lines[1:])  # the first line is the warm-up


def stable_baselines_model() -> Any:
    """Return Stable-Baselines3's DQN with its Atari wrappers and stacks of four frames, in one process by default."""
    gym.register_envs(importlib.import_module("ale_py"))
    environment = importlib.import_module("stable_baselines3.common.env_util").make_atari_env(
        "BreakoutNoFrameskip-v4", n_envs=NUM_ENVS, seed=0
    )
    stacked = importlib.import_module("stable_baselines3.common.vec_env").VecFrameStack(environment, 4)
    model = make_stable_baselines(
        stacked,
        10_000,
        32,
        torch.device("cpu"),
        learning_starts=WARM_UP,
        exploration_initial_eps=0.1,
        exploration_final_eps=0.1,
    )
    model.learn(2 * WARM_UP)
    return model


def time_loops(threads: int, steps: int, rounds: int) -> None:
    """Time both loops in alternating rounds, and print environment steps and updates per second."""
    model = stable_baselines_model() if StableBaselines.installed() else None
    rates: dict[str, list[float]] = {"ours": [], "Stable-Baselines3": []}
    for _ in range(rounds):
        rates["ours"].append(our_rate(steps, threads))
        if model is not None:
            start = time.perf_counter()
            model.learn(steps, reset_num_timesteps=False)
            rates["Stable-Baselines3"].append(steps / (time.perf_counter() - start))
    print(f"whole loop on Breakout, {NUM_ENVS} environments, an update per environment step, {threads} threads")
    for name, found in rates.items():
        if found:
            print(f"{name:20s} {median(found):6.1f} steps/s and updates/s  ({min(found):.1f} to {max(found):.1f})")
    if model is None:
        print(INSTALL)

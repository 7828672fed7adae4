"""Checks what the README claims about the quick preset: its returns, and the equality of killed and resumed runs.

    python -m benchmarks.quick_preset [--seeds 0 1 2] [--kills 5]

The seeds are compared with a random policy, and a run that is killed five times and resumed with an uninterrupted one.
The runs stay in runs/quick-preset-<time>/. The exit code is 1 if a claim does not hold.
"""

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import tyro

from benchmarks.differences import differences
from fire_rl import envs
from fire_rl.training.evaluate import evaluate
from fire_rl.training.folder import is_run
from fire_rl.training.lines import final_score, read_lines

FOLDER = Path("runs") / f"quick-preset-{datetime.now():%Y%m%d-%H%M%S}"
# Two threads, as for the figures in the README, because the last bits of a result depend on the number of threads.
FLAGS = ["--env", "h1-walk", "--reinit", "fire", "--preset", "quick", "--threads", "2"]
COMMAND = [sys.executable, "train_sac.py", *FLAGS]


@dataclass(frozen=True)
class Options:
    """Which parts to run."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the uninterrupted runs."""
    kills: int = 5
    """How often a second run of the first seed is killed (SIGKILL, after random times); 0: no such run."""
    random_episodes: int = 400
    """Episodes of the random policy."""


def random_returns(episodes: int) -> np.ndarray:
    """Return the returns of uniformly random actions, each repeated for two steps as in training."""
    environment = envs.make_vec("h1-walk", 16, seed=0, action_repeat=2)
    generator = np.random.default_rng(0)

    def act(observations: np.ndarray) -> np.ndarray:
        return generator.uniform(-1, 1, (len(observations), 19)).astype(np.float32)

    returns, _ = evaluate(act, environment, envs.spawn_seeds(0, episodes // 16 * 16))
    return returns


def killed_run(folder: Path, seed: int, kills: int, duration: float) -> int:
    """Do a run that is killed at random times and resumed each time; return the number of kills."""
    generator, struck = np.random.default_rng(seed), 0
    command = [*COMMAND, "--seed", str(seed), "--run-dir", str(folder)]
    while True:
        limit = generator.uniform(0.5, 1.5) * duration / (kills + 1) if struck < kills else None
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if process.wait(limit) != 0:
                raise RuntimeError(f"{' '.join(command)} failed")
            return struck
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            struck += 1
            if is_run(folder):
                command = [sys.executable, "train_sac.py", "--resume", str(folder)]


def main(options: Options) -> int:
    """Check all claims, and return the exit code."""
    chance = random_returns(options.random_episodes)
    bar = float(np.quantile(chance, 0.95))
    print(f"random policy, {len(chance)} episodes: mean {chance.mean():.2f}, 95th percentile {bar:.2f}", flush=True)
    finals, duration = [], 0.0
    for seed in options.seeds:
        folder = FOLDER / f"seed{seed}"
        start = time.perf_counter()
        subprocess.run([*COMMAND, "--seed", str(seed), "--run-dir", str(folder)], check=True, stdout=subprocess.DEVNULL)
        duration = time.perf_counter() - start
        evaluations = [line for line in read_lines(folder / "metrics.jsonl") if line["kind"] == "evaluation"]
        final = final_score((line["environment_steps"], line["return"], line["occasion"]) for line in evaluations)
        assert final is not None
        finals.append(final[0])
        dips = [line["return"] for line in evaluations if "event" in line["occasion"]]
        text = " -> ".join(f"{dip:.1f}" for dip in dips)
        print(f"seed {seed}: final return {finals[-1]:.1f}, event {text}, {duration / 60:.1f} minutes", flush=True)
    ratio = float(np.mean(finals)) / float(chance.mean())
    print(f"mean final return {np.mean(finals):.1f}, {ratio:.1f} times the random policy's")
    holds = ratio >= 3 and min(finals) > bar
    if options.kills:
        whole, killed = FOLDER / f"seed{options.seeds[0]}", FOLDER / "killed"
        struck = killed_run(killed, options.seeds[0], options.kills, duration)
        found = differences(whole, killed)
        print(f"killed {struck} times and resumed: {len(found)} differences", *found[:5], sep="\n  ")
        holds = holds and not found
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Options, description=__doc__)))

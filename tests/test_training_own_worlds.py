"""Environments that users wrote without a run in mind: what a run stores and counts is right all the same."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from fire_rl.commands.train import train_dqn
from tests.fixtures.calling import quietly
from tests.fixtures.phased_runs import lines as lines_of

TINY = [
    *("--steps", "60", "--num-envs", "2", "--learning-starts", "20", "--hidden-width", "8", "--batch-size", "8"),
    *("--eval-every", "60", "--eval-episodes", "1", "--log-every", "20", "--threads", "1", "--device", "cpu"),
]


class Steps(gym.Env[Any, Any]):
    """Counts its steps up to five, and says in its info whether the game is over, in its own words."""

    observation_space = spaces.Box(0, 5, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {"game_over": False}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        return np.full(1, self.count, np.float32), 1.0, self.count == 5, False, {"game_over": self.count == 5}


gym.register("Steps-v0", f"{__name__}:Steps")


def test_episodes_are_counted_whatever_an_environments_info_calls_game_over(tmp_path: Path):
    quietly(train_dqn, *TINY, "--env", f"{__name__}:Steps-v0", "--run-dir", str(tmp_path / "run"))
    episodes = lines_of(tmp_path / "run", "episode")
    assert [(line["return"], line["length"], line["ending"]) for line in episodes] == [(5.0, 5, "terminated")] * 12

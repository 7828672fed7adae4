"""Environments that users wrote without a run in mind: what a run stores and counts is right all the same."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from fire_rl import envs
from fire_rl.commands.train import train_dqn
from tests.fixtures.calling import quietly
from tests.fixtures.phased_runs import lines as lines_of

TINY = [
    *("--steps", "60", "--num-envs", "2", "--learning-starts", "20", "--hidden-width", "8", "--batch-size", "8"),
    *("--eval-every", "60", "--eval-episodes", "1", "--log-every", "20", "--threads", "1", "--device", "cpu"),
]


class Steps(gym.Env[Any, Any]):
    """Counts its steps up to five in the one array that it has, and says in its info whether its game is over."""

    observation_space = spaces.Box(0, 5, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        self.count = np.zeros(1, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count[:] = 0
        return self.count, {"game_over": False}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        over = bool(self.count[0] == 5)
        return self.count, 1.0, over, False, {"game_over": over}


gym.register("Steps-v0", f"{__name__}:Steps")
gym.register("ThreeSteps-v0", f"{__name__}:Steps", max_episode_steps=3)


def test_episodes_are_counted_whatever_an_environments_info_calls_game_over(tmp_path: Path):
    quietly(train_dqn, *TINY, "--env", f"{__name__}:Steps-v0", "--run-dir", str(tmp_path / "run"))
    episodes = lines_of(tmp_path / "run", "episode")
    assert [(line["return"], line["length"], line["ending"]) for line in episodes] == [(5.0, 5, "terminated")] * 12


@pytest.mark.parametrize("action_repeat", [1, 2])
@pytest.mark.parametrize(("name", "last"), [("Steps-v0", 5), ("ThreeSteps-v0", 3)])
def test_the_last_observation_of_an_episode_is_kept_if_an_environment_reuses_its_array(name, last, action_repeat):
    vector = envs.make_vec(f"{__name__}:{name}", 2, seed=0, action_repeat=action_repeat)
    vector.reset()
    seen = []
    counted = [*range(action_repeat, last, action_repeat), last]
    for _ in counted:
        observations, _, _, _, infos = vector.step(np.zeros(2, np.int64))
        seen.append(envs.next_observations(observations, infos)[:, 0].tolist())
    assert seen == [[count, count] for count in counted]
    assert observations.tolist() == [[0], [0]], "the next episode has begun"

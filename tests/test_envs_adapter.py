"""The original HumanoidBench by name, on a stand-in package with its interface and quirks: names, types, pictures."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

from fire_rl import envs
from fire_rl.envs.original import drawing, package
from tests.fixtures.adapter_promises import STAND_IN, TASKS, actions, episode, make, make_vec, same


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    monkeypatch.syspath_prepend(STAND_IN)


def test_it_passes_gymnasiums_checks():
    for task in TASKS:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings(
                "ignore", message=".*observation space m.*imum value is"
            )  # positions have no bounds
            check_env(make(f"h1-{task}"), skip_render_check=True)


def test_numbers_have_pythons_own_types():
    env = make("h1-walk", seed=0)
    observation, info = env.reset()
    assert info == {}
    _, reward, terminated, truncated, info = env.step(env.action_space.sample())
    assert observation.dtype == env.observation_space.dtype == np.float64
    assert env.action_space == gym.spaces.Box(-1, 1, (1,), np.float32)
    assert [type(value) for value in (reward, terminated, truncated)] == [float, bool, bool]
    assert {type(value) for value in info.values()} == {float}
    assert info["stage"] == 1
    observation[:] = 7
    assert env.data.qpos[0] != 7


def test_making_one_prints_nothing_and_leaves_no_files(capfd):
    package._import.cache_clear()
    registered = dict(gym.registry)
    episode(make("h1-maze", seed=0), 0)
    assert not [name for name in sys.modules if name.split(".")[0] in ("humanoid_bench", "jax")]
    assert dict(gym.registry) == registered
    assert "h1-maze-v0" not in registered
    assert capfd.readouterr() == ("", "")


def test_it_has_the_settings_of_its_registration():
    env = make("h1-walk", seed=0)
    assert env.reset()[0][0] == pytest.approx(0.1, abs=0.011), "its keyframe"
    ends = [env.step(np.full(1, -0.9))[2:4] for _ in range(12)]
    assert ends == [(False, False)] * 11 + [(False, True)], "its time limit"
    assert (env.spec.max_episode_steps, env.spec.reward_threshold) == (12, 700)


def test_it_can_be_made_again_from_its_spec():
    spec = make("h1-walk", action_repeat=2).spec
    assert EnvSpec.from_json(spec.to_json()) == spec
    again: Any = gym.make(spec)
    assert again.unwrapped.action_repeat == 2
    assert again.unwrapped.spec.kwargs["name"] == "humanoid_bench:h1-walk-v0"


def test_robots_keep_their_own_heights():
    before = make("h1-walk", seed=0)
    standing = [episode(env, 0)[1][1] for env in (make("g1-walk", seed=0), before, make("h1-walk", seed=0))]
    assert standing[0] == 1, "1.28 m are enough for a G1"
    assert standing[1] == standing[2] < 1, "not for an H1"


def test_an_action_is_held_and_its_rewards_are_summed():
    repeated, plain = make("h1-maze", seed=2, action_repeat=3), make("h1-maze", seed=2)
    repeated.reset()
    plain.reset()
    for action in actions(plain, 20) / 4 - 0.7:  # slowly back, away from the end of the rail
        steps = [plain.step(action) for _ in range(3)]
        observation, reward, _, truncated, info = repeated.step(action)
        assert reward == sum(step[1] for step in steps)
        assert same((observation, info), (steps[-1][0], steps[-1][4]))
    assert not truncated
    limited = make("h1-walk", seed=0, action_repeat=5)
    limited.reset()
    assert [limited.step(np.full(1, -0.9))[3] for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize("wrong", [np.zeros(2), np.array([np.nan])])
def test_a_wrong_action_is_refused(wrong):
    env, vector = make("h1-walk", seed=0), make_vec("h1-walk", 2, seed=0)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros(1))
    with pytest.raises(gym.error.ResetNeeded):
        vector.step(np.zeros((2, 1)))
    env.reset()
    vector.reset()
    with pytest.raises(ValueError, match=r"shape \(2,\)|NaN"):
        env.step(wrong)
    with pytest.raises(ValueError, match=r"shape \(2, 2\)|NaN"):
        vector.step(np.stack([wrong, wrong]))


def test_pictures_show_the_tasks_camera_and_its_goal(monkeypatch):
    seen: list[Any] = []

    class Painter:
        def __init__(self, model, camera):
            seen.append(camera)

        def draw(self, data, markers):
            seen.append([marker.position for marker in markers])
            return np.zeros((2, 2, 3), dtype=np.uint8)

        def close(self):
            seen.append("closed")

    monkeypatch.setattr(drawing, "Renderer", Painter)
    env = make("h1-reach", seed=0, render_mode="rgb_array")
    goals = []
    for _ in range(2):
        env.reset()
        assert env.render().shape == (2, 2, 3)
        goals.append([tuple(env.original.task.goal)])
    env.close()
    assert seen == ["cam_default", *goals, "closed"]
    seen.clear()
    make("h1-maze", render_mode="rgb_array").render()
    assert seen == [0, []], "its scene has no cam_maze"
    assert make("h1-maze").render() is None
    with pytest.raises(ValueError, match="'human'"):
        make("h1-maze", render_mode="human")


@pytest.mark.parametrize("build", [envs.make, lambda name: envs.make_vec(name, 2)])
@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        ("h1-wlak-v0", "nearest names are humanoid_bench:h1-walk-v0"),
        ("h1-walk-v3", "nearest names are humanoid_bench:h1-walk-v0"),
        ("h1-kitchen-v0", r"no kitchen for h1 \(h1_pos_kitchen.xml is not among its scenes\); it has this task for g1"),
        ("g1-truck-v0", "fails in the original itself, in its first step .*free_base"),
    ],
)
def test_a_wrong_name_is_refused_in_one_line(build, wrong, answer):
    with pytest.raises(ValueError, match=answer) as error:
        build(f"humanoid_bench:{wrong}")
    assert "\n" not in str(error.value)


def test_without_the_package_one_line_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr(package, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"humanoid_bench:h1-walk-v0 .* pip install --no-deps .*--editable") as error:
        make("h1-walk")
    assert "\n" not in str(error.value)
    monkeypatch.undo()
    (tmp_path / "humanoid_bench").mkdir()
    (tmp_path / "humanoid_bench" / "__init__.py").write_text("import a_module_that_is_missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"'a_module_that_is_missing'.* pip install --no-deps"):
        make("h1-walk")
    assert "humanoid_bench" not in sys.modules


@pytest.mark.parametrize("content", ["", "raise AttributeError('no np.float_')"])
def test_another_package_of_that_name_is_reported_with_the_install_command(tmp_path, content):
    (tmp_path / "humanoid_bench").mkdir()
    (tmp_path / "humanoid_bench" / "__init__.py").write_text(content)
    program = "from fire_rl import envs; envs.make('humanoid_bench:h1-walk-v0')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[1]}"},
        capture_output=True,
        text=True,
    )
    assert done.stderr.splitlines()[-1].startswith(
        "ValueError: humanoid_bench:h1-walk-v0: humanoid_bench cannot be imported"
    )
    assert "pip install --no-deps" in done.stderr.splitlines()[-1]

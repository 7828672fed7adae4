"""The DeepMind Control suite by name: the same numbers as dm_control itself, refusals, rendering."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from fire_rl import envs
from fire_rl.envs import suite
from tests.fixtures.dm_control import actions, advance, equal, make

ROOT = Path(__file__).parents[1]
make_vec: Any = envs.make_vec
BENCHMARK = suite.benchmark_names()


if not BENCHMARK:
    pytest.skip("dm_control is not installed", allow_module_level=True)


def theirs(name, seed):
    """dm_control's own environment."""
    from dm_control import suite as original

    domain, _, task = name.removeprefix("dmc:").partition("-")
    return original.load(domain, task, task_kwargs={"random": seed})


def flat(timestep):
    return np.concatenate([np.ravel(part) for part in timestep.observation.values()])


@pytest.mark.parametrize("name", BENCHMARK)
def test_every_task_of_the_benchmark_equals_the_original_number_by_number(name):
    env, original = make(name, seed=7), theirs(name, 7)
    for _ in range(2):
        observation, info = env.reset()
        assert np.array_equal(observation, flat(original.reset()))
        assert (observation.dtype, info) == (np.float64, {})
        assert observation.shape == env.observation_space.shape
        for action in actions(env, 12):
            timestep = original.step(action)
            observation, reward, terminated, truncated, _ = env.step(action)
            assert np.array_equal(observation, flat(timestep))
            assert reward == timestep.reward
            assert (terminated, truncated) == (False, False)
    spec = original.action_spec()
    assert np.array_equal(env.action_space.low, spec.minimum.astype(np.float32))
    assert np.array_equal(env.action_space.high, spec.maximum.astype(np.float32))
    assert (env.spec.id, env.spec.max_episode_steps, env.spec.reward_threshold) == (name, 1000, None)


def test_the_benchmark_has_the_tasks_of_the_suite():
    from dm_control import suite as original

    assert [f"dmc:{domain}-{task}" for domain, task in original.BENCHMARKING] == BENCHMARK
    assert set(BENCHMARK) <= set(envs.names())


def test_only_the_time_limit_truncates():
    env, original = make("dmc:pendulum-swingup", seed=0), theirs("dmc:pendulum-swingup", 0)
    env.reset()
    original.reset()
    for step, action in enumerate(actions(env, 1000), 1):
        _, reward, terminated, truncated, _ = env.step(action)
        timestep = original.step(action)
        assert (reward, terminated, truncated) == (timestep.reward, False, step == 1000)
        assert truncated == timestep.last()
    with pytest.raises(gym.error.ResetNeeded):
        env.step(action)


def test_a_task_that_is_done_terminates():
    env = make("dmc:lqr-lqr_2_1", seed=0)
    env.reset()
    assert env.spec.max_episode_steps is None
    assert not env.step(np.zeros(1))[2]
    env.physics.data.qpos[:] = env.physics.data.qvel[:] = 0
    env.physics.forward()
    assert env.step(np.zeros(1))[2:4] == (True, False)


@pytest.mark.parametrize("name", ["dmc:humanoid-walk", "dmc:reacher-hard"])
def test_gymnasiums_checker_passes(name):
    check_env(make(name), skip_render_check=True)


def test_seeds_reproduce_episodes():
    first, second = make("dmc:reacher-easy", seed=5), make("dmc:reacher-easy", seed=6)
    episodes = [[env.reset(seed=seed)[0], *advance(env, actions(env, 5)), env.reset()[0]]
                for env, seed in ((first, 11), (second, 11), (first, 12), (second, 11 + 2**40))]  # fmt: skip
    assert equal(episodes[0], episodes[1])
    assert not np.array_equal(episodes[0][0], episodes[2][0])
    assert not np.array_equal(episodes[0][0], episodes[3][0]), "seeds have 63 bits, all of which count"
    assert np.array_equal(make("dmc:reacher-easy", seed=11).reset()[0], episodes[0][0])


def test_a_vectors_members_are_single_environments_with_spread_seeds_and_are_reset_in_the_same_step():
    vector = make_vec("dmc:reacher-hard", 3, seed=4, action_repeat=2)
    singles = [make("dmc:reacher-hard", seed=seed, action_repeat=2) for seed in envs.spawn_seeds(4, 3)]
    observations = [vector.reset()[0]]
    assert np.array_equal(observations[0], [env.reset()[0] for env in singles])
    for one in (vector.unwrapped.envs[1], singles[1]):
        one.unwrapped.environment._step_count = 1000 - 5
    for step, chosen in enumerate(np.random.default_rng(0).uniform(-1, 1, (6, 3, 2)).astype(np.float32)):
        found, rewards, terminated, truncated, infos = vector.step(chosen)
        wanted = [env.step(action) for env, action in zip(singles, chosen, strict=True)]
        assert np.array_equal(envs.next_observations(found, infos), [one[0] for one in wanted])
        assert np.array_equal(rewards, [one[1] for one in wanted])
        assert (terminated.any(), truncated.tolist()) == (False, [False, step == 2, False])
        if step == 2:
            assert np.array_equal(found[1], singles[1].reset()[0])
    assert vector.spec.max_episode_steps == 1000


def test_a_vectors_reset_spreads_one_seed_and_takes_a_list():
    vector = make_vec("dmc:walker-walk", 2)
    spread, given = vector.reset(seed=3)[0], vector.reset(seed=envs.spawn_seeds(3, 2))[0]
    assert np.array_equal(spread, given)
    assert not np.array_equal(spread[0], spread[1])


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("dmc:humanoid-wlak", "dmc:humanoid-walk"),
        ("dmc:cartpole_swingup", "dmc:cartpole-swingup"),
        ("dmc:cheetah", "dmc:cheetah-run"),
        ("dmc:", "dmc:"),
        ("humanoid-walk", "dmc:humanoid-walk"),
    ],
)
@pytest.mark.parametrize("call", [make, lambda name: make_vec(name, 2)])
def test_a_wrong_name_is_refused_in_one_line_with_the_nearest(call, wrong, nearest):
    with pytest.raises(ValueError, match=wrong) as error:
        call(wrong)
    assert nearest in str(error.value).partition("nearest")[2]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("action", [np.zeros(5), np.full(6, np.nan), np.float32(0)])
def test_wrong_actions_are_refused(action):
    env = make("dmc:walker-walk", seed=0)
    env.reset()
    with pytest.raises(ValueError, match=r"\(6,\) is needed|NaN"):
        env.step(action)


def test_a_step_before_the_first_reset_is_refused():
    with pytest.raises(gym.error.ResetNeeded):
        make("dmc:walker-walk").step(np.zeros(6))


def test_an_environment_can_be_made_again_from_its_spec():
    env = make("dmc:walker-walk", seed=3)
    again: Any = gym.make(env.spec)
    assert np.array_equal(again.reset()[0], env.reset()[0])


def in_a_new_process(program, **variables):
    """Return its standard output and standard error. dm_control cannot be imported twice in a process."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nfrom fire_rl import envs\n{program}"],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done.stdout + done.stderr


def test_the_package_is_imported_only_when_a_task_is_made_and_without_output():
    program = "envs.names(); assert 'dm_control' not in sys.modules; envs.make('dmc:cheetah-run')"
    assert in_a_new_process(program) == ""


@pytest.mark.parametrize("missing", ["dm_control", "lxml"])
def test_a_missing_package_is_reported_with_what_to_install(missing):
    program = f"""
sys.modules[{missing!r}] = None
try:
    envs.make_vec("dmc:walker-walk", 2)
except ValueError as error:
    print(error)
"""
    (line,) = in_a_new_process(program).splitlines()
    assert f"'{missing}', which is missing" in line
    assert "make setup" in line
    assert "pip install -e '.[dmc]'" in line


def test_training_does_not_need_a_graphics_library():
    program = "print(envs.make('dmc:walker-walk').reset()[0].shape)"
    assert "(24,)" in in_a_new_process(f"import os; os.environ['MUJOCO_GL'] = 'no_such_library'\n{program}")


@pytest.mark.usefixtures("graphics")
@pytest.mark.parametrize("name", ["dmc:humanoid-walk", "dmc:quadruped-escape"])
def test_pictures_show_the_tasks_first_camera(name):
    env = make(name, seed=0, render_mode="rgb_array", action_repeat=2)
    assert env.metadata["render_fps"] == pytest.approx(0.5 / env.unwrapped.environment.control_timestep())
    env.reset()
    first = env.render()
    assert (first.shape, first.dtype) == ((360, 480, 3), np.uint8)
    assert first.std() > 5
    env.reset()
    second = env.render()
    assert not np.array_equal(first, second)
    other = make(name, seed=1, render_mode="rgb_array")
    other.reset()
    other.render()
    other.set_state(**env.unwrapped.get_state())
    assert np.abs(other.render() - second.astype(float)).mean() < 1, "terrain and targets of the second episode"
    env.close()
    other.close()


def test_an_unknown_render_mode_is_refused():
    with pytest.raises(ValueError, match="human"):
        make("dmc:walker-walk", render_mode="human")

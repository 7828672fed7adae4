"""The single H1 environment: Gymnasium's own checks, the interface of `MujocoEnv`, repeats, limits, pictures."""

import warnings
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from fire_rl import envs
from fire_rl.envs.humanoid import EPISODE_STEPS, TASKS

make: Any = envs.make
make_vec: Any = envs.make_vec

STILL = np.zeros(19, dtype=np.float32)


@pytest.mark.parametrize("task", TASKS)
def test_passes_gymnasiums_check(task):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning)
        warnings.filterwarnings("ignore", message=".*infinity.*")  # positions and velocities have no bounds
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version.*")
        check_env(make(f"h1-{task}"), skip_render_check=True)


def test_gymnasium_makes_it_by_its_registered_name():
    registered, ours = gym.make("fire_rl/h1-walk-v0"), make("h1-walk")
    assert np.array_equal(registered.reset(seed=3)[0], ours.reset(seed=3)[0])
    assert registered.step(STILL)[1] == ours.step(STILL)[1]
    vector: Any = gym.make_vec("fire_rl/h1-walk-v0", num_envs=2)
    assert np.array_equal(vector.reset(seed=[3, 4])[0][0], ours.reset(seed=3)[0])


def test_starts_near_the_keyframe_at_rest():
    env = make("h1-walk", seed=0)
    starts = np.array([env.reset()[0] for _ in range(50)])
    noise = starts[:, :26] - env.model.key_qpos[0]
    assert np.abs(noise).max() <= 0.01
    assert noise.std() == pytest.approx(0.02 / np.sqrt(12), rel=0.1)
    assert not starts[:, 26:].any()
    assert starts[0, 2] == pytest.approx(0.98, abs=0.01)


def test_model_and_data_show_the_robot():
    env = make("h1-walk", seed=0)
    observation, _ = env.reset()
    for _ in range(3):
        assert np.array_equal(observation, np.concatenate((env.data.qpos, env.data.qvel)))
        assert env.model.nu == 19
        observation, *_ = env.step(env.action_space.sample())
    assert env.data.time == pytest.approx(0.06)
    assert env.data.site("head").xpos[2] > 1


def test_set_state_places_the_robot_as_in_mujoco_env():
    env = make("h1-walk", seed=0)
    env.reset()
    qpos, qvel = env.data.qpos.copy(), env.data.qvel.copy()
    qpos[2] += 0.5
    qvel[0] = 1
    env.set_state(qpos, qvel)
    assert np.array_equal(env.data.qpos, qpos)
    assert env.data.body("pelvis").xpos[2] == qpos[2], "derived quantities follow"
    observation, *_ = env.step(STILL)
    assert observation[0] == pytest.approx(qpos[0] + 0.02, abs=0.005)


def test_values_written_into_data_take_effect():
    first, second = make("h1-walk", seed=0), make("h1-walk", seed=0)
    first.reset()
    second.reset()
    qpos = first.data.qpos.copy()
    qpos[2] += 0.5
    first.data.qpos[:] = qpos
    second.set_state(qpos, second.data.qvel)
    assert np.array_equal(first.step(STILL)[0], second.step(STILL)[0])


def test_environments_do_not_share_their_models():
    first, second = make("h1-walk"), make("h1-walk")
    first.model.opt.gravity[2] = 0
    assert second.model.opt.gravity[2] == pytest.approx(-9.81)


def test_a_step_is_mujocos_ten_physics_steps_from_a_zero_warm_start():
    env = make("h1-walk", seed=0)
    env.reset()
    for action in np.random.default_rng(0).uniform(-1, 1, (20, 19)).astype(np.float32):
        data = mujoco.MjData(env.model)
        data.qpos[:], data.qvel[:], data.time = env.data.qpos, env.data.qvel, env.data.time
        low, high = env.model.actuator_ctrlrange.T.astype(np.float32)
        data.ctrl[:] = (action + 1) / 2 * (high - low) + low
        mujoco.mj_step(env.model, data, nstep=10)
        observation, *_ = env.step(action)
        assert np.array_equal(observation, np.concatenate((data.qpos, data.qvel)))


@pytest.mark.parametrize("repeat", [2, 3])
def test_action_repeat_sums_rewards_and_stops_when_the_episode_is_over(repeat):
    once, repeated = make("h1-walk", seed=0), make("h1-walk", seed=0, action_repeat=repeat)
    once.reset()
    repeated.reset()
    lengths = []
    for action in np.random.default_rng(0).uniform(-1, 1, (200, 19)).astype(np.float32):
        total, steps, over = 0.0, 0, False
        while steps < repeat and not over:
            observation, reward, terminated, truncated, info = once.step(action)
            total, steps, over = total + reward, steps + 1, terminated or truncated
        result = repeated.step(action)
        assert np.array_equal(result[0], observation)
        assert result[1:] == (pytest.approx(total, rel=1e-15), terminated, truncated, info)
        if over:
            lengths.append(steps)
            assert np.array_equal(once.reset()[0], repeated.reset()[0])
    assert len(lengths) >= 3
    assert min(lengths) < repeat, "no episode ended inside a repeat: choose another seed"


@pytest.mark.parametrize("action_repeat", [1, 3])
def test_an_episode_is_cut_after_1000_environment_steps_inside_a_repeat_too(action_repeat):
    single = make("h1-crawl", seed=0, action_repeat=action_repeat)
    vector = make_vec("h1-crawl", 2, seed=0, action_repeat=action_repeat)
    single.reset()
    vector.reset()
    state = single.get_state()
    single.set_state(**{**state, "elapsed_steps": np.array(EPISODE_STEPS - 2)})
    before = vector.get_state()
    vector.set_state(**{**before, "elapsed_steps": np.array([EPISODE_STEPS - 2, 0])})
    truncations = [single.step(STILL)[3]] if action_repeat == 3 else [single.step(STILL)[3] for _ in range(2)]
    assert truncations[-1]
    assert sum(truncations) == 1
    assert single.data.time == pytest.approx(0.04), "two steps were left, however long the repeat"
    for _ in truncations:
        _, _, terminated, truncated, infos = vector.step(np.zeros((2, 19)))
    assert truncated.tolist() == [True, False]
    assert not terminated.any()
    assert infos["_final_obs"].tolist() == [True, False]


def test_info_names_the_parts_of_the_reward():
    env = make("h1-walk", seed=0)
    env.reset()
    _, reward, _, _, info = env.step(STILL)
    assert info["small_control"] * info["standing"] * info["upright"] * info["move"] == pytest.approx(reward)
    assert all(type(value) is float and 0 <= value <= 1 for value in info.values())
    vector = make_vec("h1-walk", 2, seed=0)
    vector.reset()
    infos = vector.step(np.zeros((2, 19)))[-1]
    assert infos.keys() == {*info, *("_" + name for name in info)}
    assert infos["_move"].all()
    assert infos["move"].shape == (2,)


def test_final_info_holds_the_parts_of_the_last_step():
    single, vector = make("h1-walk"), make_vec("h1-walk", 2)
    single.reset(seed=1)
    vector.reset(seed=[1, 2])
    for actions in np.random.default_rng(0).uniform(-1, 1, (300, 2, 19)).astype(np.float32):
        info = single.step(actions[0])[-1]
        infos = vector.step(actions)[-1]
        if "final_info" in infos and infos["_final_info"][0]:
            break
    assert {name: infos["final_info"][name][0] for name in info} == info
    assert all(infos["final_info"]["_" + name][0] and not infos["_" + name][0] for name in info)


@pytest.mark.parametrize("bad", [np.full(19, np.nan), np.full(19, np.inf)])
def test_an_action_that_is_not_a_number_is_refused(bad):
    env = make("h1-walk", seed=0)
    env.reset()
    with pytest.raises(ValueError, match="NaN or infinity"):
        env.step(bad)


def test_actions_of_the_wrong_shape_are_refused():
    single, vector = make("h1-walk", seed=0), make_vec("h1-walk", 2, seed=0)
    single.reset()
    vector.reset()
    with pytest.raises(ValueError, match=r"\(18,\).*\(19,\)"):
        single.step(np.zeros(18))
    with pytest.raises(ValueError, match=r"\(19,\).*\(2, 19\)"):
        vector.step(np.zeros(19))


def test_actions_beyond_the_range_act_like_its_ends():
    first, second = make("h1-walk", seed=0), make("h1-walk", seed=0)
    first.reset()
    second.reset()
    # up to the rounding of the ends of the motors' ranges to float32
    assert first.step(np.full(19, 5.0))[0] == pytest.approx(second.step(np.ones(19))[0], abs=1e-5)


@pytest.mark.parametrize("env", [make("h1-walk"), make_vec("h1-walk", 2)])
def test_stepping_before_the_first_reset_is_refused(env):
    with pytest.raises(gym.error.ResetNeeded):
        env.step(env.action_space.sample())


def test_without_a_render_mode_nothing_is_drawn():
    env = make("h1-walk")
    env.reset()
    assert env.render() is None

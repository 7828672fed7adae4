"""Gymnasium's MuJoCo environments by id: which there are, and that a vector's saved state continues exactly."""

import io
import sys
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv
from gymnasium.utils.env_checker import check_env

from fire_rl import envs
from fire_rl.envs import generic
from fire_rl.envs.saved import SavableEnv
from fire_rl.envs.seeding import generator_from_words, generator_words

make: Any = envs.make
make_vec: Any = envs.make_vec

TASKS = [
    "Ant-v5",
    "HalfCheetah-v5",
    "Hopper-v5",
    "Humanoid-v5",
    "HumanoidStandup-v5",
    "InvertedDoublePendulum-v5",
    "InvertedPendulum-v5",
    "Pusher-v5",
    "Reacher-v5",
    "Swimmer-v5",
    "Walker2d-v5",
]


def actions(vector, count, seed=0):
    space = vector.action_space
    return np.random.default_rng(seed).uniform(space.low, space.high, (count, *space.shape)).astype(np.float32)


def advance(vector, chosen):
    results = []
    for action in chosen:
        observations, rewards, terminated, truncated, infos = vector.step(action)
        results += [observations, rewards, terminated, truncated, envs.next_observations(observations, infos)]
    return results


def equal(ours, others):
    return len(ours) == len(others) and all(np.array_equal(a, b) for a, b in zip(ours, others, strict=True))


def test_the_list_is_gymnasiums():
    offered = [
        name for name, spec in gym.registry.items() if str(spec.entry_point).startswith("gymnasium.envs.mujoco.")
    ]
    assert {name for name in offered if name.endswith("-v5")} == set(TASKS)
    assert set(TASKS) <= set(envs.names())


@pytest.mark.parametrize("name", [*TASKS, "Pendulum-v1"])
def test_a_restored_vector_continues_bit_by_bit_across_the_ends_of_episodes(name):
    vector, other = make_vec(name, 2, seed=0), make_vec(name, 2, seed=99)
    vector.reset()
    for lead in (0, 5):  # at its beginning, and in the middle
        advance(vector, actions(vector, lead))
        vector.unwrapped.envs[0].env._elapsed_steps = vector.spec.max_episode_steps - 8
        state = vector.get_state()
        expected = advance(vector, actions(vector, 25, seed=1))
        assert np.any(expected[2::5]) or np.any(expected[3::5]), "an episode ended"
        other.set_state(**state)  # never reset before: the state is enough
        assert equal(advance(other, actions(vector, 25, seed=1)), expected)
        vector.set_state(**state)  # going back in the same vector
        assert equal(advance(vector, actions(vector, 25, seed=1)), expected)


@pytest.mark.parametrize("name", ["HalfCheetah-v5", "Reacher-v4"])
def test_saving_and_restoring_changes_nothing(name):
    vector, undisturbed = (make_vec(name, 2, seed=0, action_repeat=2) for _ in range(2))
    assert np.array_equal(vector.reset()[0], undisturbed.reset()[0])
    for action in actions(vector, 30):
        vector.set_state(**vector.get_state())
        assert equal(advance(vector, [action]), advance(undisturbed, [action]))


def test_a_vector_equals_gymnasiums_own_environments_in_double_precision():
    vector: Any = make_vec("HalfCheetah-v5", 2, seed=1)
    singles: list[Any] = [gym.make("HalfCheetah-v5") for _ in range(2)]
    observations, _ = vector.reset()
    assert observations.dtype == vector.observation_space.dtype == np.float64
    seeds = envs.spawn_seeds(1, 2)
    assert np.array_equal(observations, [one.reset(seed=seed)[0] for one, seed in zip(singles, seeds, strict=True)])
    for action in actions(vector, 20):
        observations, rewards, _, _, _ = vector.step(action)
        wanted = [one.step(part) for one, part in zip(singles, action, strict=True)]
        assert np.array_equal(observations, [one[0] for one in wanted])
        assert np.array_equal(rewards, [one[1] for one in wanted])


def test_gymnasiums_checker_passes():
    check_env(make("HalfCheetah-v5").unwrapped, skip_render_check=True)


def test_states_are_plain_arrays_with_a_row_per_environment_and_wrong_ones_are_refused():
    vector = make_vec("HalfCheetah-v5", 3, seed=0)
    with pytest.raises(gym.error.ResetNeeded):
        vector.get_state()
    vector.reset()
    state = vector.get_state()
    copies = {name: value.copy() for name, value in state.items()}
    advance(vector, actions(vector, 3))
    assert all(len(value) == 3 and np.array_equal(value, copies[name]) for name, value in state.items())
    assert {str(value.dtype) for value in state.values()} == {"float64", "int64", "uint64"}
    now = vector.get_state()
    for name in state:
        with pytest.raises(ValueError, match=name):
            vector.set_state(**(state | {name: np.zeros((7, 7))}))
    with pytest.raises(ValueError, match="physics is missing"):
        vector.set_state(limit_steps=state["limit_steps"])
    assert all(np.array_equal(value, now[name]) for name, value in vector.get_state().items()), "nothing was changed"


class Walk(SavableEnv):
    """A random walk that declares its own state."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    place = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform()
        return np.array([self.place]), {}

    def step(self, action):
        self.place += float(action[0]) + self.np_random.normal()
        return np.array([self.place]), self.place, False, False, {}

    def get_state(self):
        return {"place": np.array(self.place), "generator": generator_words(self.np_random)}

    def set_state(self, **state):
        self.place = float(state["place"])
        self.np_random = generator_from_words(state["generator"])


def test_a_users_own_environment_can_be_saved_too_with_its_time_limit(monkeypatch):
    spec = gym.envs.registration.EnvSpec("Walk-v0", entry_point=f"{__name__}:Walk", max_episode_steps=9)
    monkeypatch.setitem(gym.registry, "Walk-v0", spec)
    vector, other = make_vec("Walk-v0", 2, seed=0), make_vec("Walk-v0", 2, seed=1)
    vector.reset()
    advance(vector, actions(vector, 13))
    other.set_state(**vector.get_state())
    expected = advance(vector, actions(vector, 20))
    assert np.array_equal([bool(truncated.any()) for truncated in expected[3::5]], np.arange(20) % 9 == 4)
    assert equal(advance(other, actions(vector, 20)), expected)


class AnotherCheetah(HalfCheetahEnv):
    """A user's own task, which may have more state than Gymnasium's."""


class Memory(gym.Wrapper[Any, Any, Any, Any]):
    """A wrapper that may have any state."""


@pytest.mark.parametrize(
    ("entry_point", "wrappers"),
    [(AnotherCheetah, ()), (HalfCheetahEnv, (gym.envs.registration.WrapperSpec("Memory", f"{__name__}:Memory", {}),))],
)
def test_environments_that_may_have_unknown_state_cannot_be_saved(entry_point, wrappers, monkeypatch):
    spec = gym.envs.registration.EnvSpec("Another-v0", entry_point=entry_point, additional_wrappers=wrappers)
    monkeypatch.setitem(gym.registry, "Another-v0", spec)
    vector = make_vec("Another-v0", 2, seed=0)
    vector.reset()
    assert not hasattr(vector, "get_state")
    assert hasattr(make_vec("HalfCheetah-v5", 2), "get_state")


def test_a_warning_of_mujoco_about_a_model_is_printed_once(monkeypatch, capsys):
    handlers: list[Any] = [None]
    monkeypatch.setattr(generic, "_said", set())
    monkeypatch.setattr(mujoco, "set_mju_user_warning", handlers.append)
    before = mujoco.get_mju_user_warning()
    for _ in range(3):
        generic._built("Any-v0", lambda: handlers[-1]("a mass is zero"))
    assert capsys.readouterr().err == "warning: MuJoCo: a mass is zero\n"
    assert handlers[-1] is before, "and everything is as before"


def test_a_closed_error_stream_does_no_harm(monkeypatch):
    with io.StringIO() as closed:
        monkeypatch.setattr(sys, "stderr", closed)
    monkeypatch.setattr(generic, "_said", set())
    assert make_vec("HalfCheetah-v5", 1).num_envs == 1  # MuJoCo 4.0 warns of this model


@pytest.mark.usefixtures("graphics")
def test_pictures_are_gymnasiums_own():
    env = make("HalfCheetah-v5", seed=0, action_repeat=2, render_mode="rgb_array")
    env.reset()
    picture = env.render()
    assert (picture.shape, picture.dtype) == ((480, 480, 3), np.uint8)
    assert picture.std() > 5
    assert env.metadata["render_fps"] == gym.make("HalfCheetah-v5").metadata["render_fps"] / 2
    env.close()

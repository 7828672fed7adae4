"""Promises of every vector environment: spaces, seeds, same-step autoreset, true final observations, metadata."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from fire_rl import envs
from fire_rl.envs import registry

make: Any = envs.make
make_vec: Any = envs.make_vec

NAMES = [
    "h1-walk",
    "h1-stand",
    "h1-run",
    "h1-balance_simple",
    "h1-crawl",
    "h1-reach",
    "h1-maze",
    "h1-sit_hard",
    "fire_rl/h1-stand-v0",
    "CartPole-v1",
    "Pendulum-v1",
    "envs:fire_rl/h1-run-v0",
]
# Episodes of these end within 300 random steps.
SHORT = ["h1-walk", "h1-maze", "h1-sit_hard", "h1-balance_simple", "CartPole-v1", "Pendulum-v1"]


def random_steps(vector, count, seed=0):
    """Return the results of steps with a fixed sequence of actions."""
    vector.action_space.seed(seed)
    for _ in range(count):
        yield vector.step(vector.action_space.sample())


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def test_spaces_are_those_of_one_environment_batched(name):
    vector, single = make_vec(name, 3, seed=0), make(name)
    assert vector.num_envs == 3
    assert vector.single_observation_space == single.observation_space
    assert vector.single_action_space == single.action_space
    observations, infos = vector.reset()
    assert observations.shape == (3, *single.observation_space.shape) == vector.observation_space.shape
    assert observations.dtype == single.observation_space.dtype
    assert vector.observation_space.contains(observations)
    assert isinstance(infos, dict)
    for observations, rewards, terminated, truncated, _ in random_steps(vector, 5):
        assert vector.observation_space.contains(observations)
        assert rewards.shape == terminated.shape == truncated.shape == (3,)
        assert rewards.dtype == np.float64
        assert terminated.dtype == truncated.dtype == np.bool_
    vector.close()


def test_metadata_has_the_autoreset_mode_and_episode_length(name):
    vector, single = make_vec(name, 2), make(name)
    assert vector.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert vector.spec.max_episode_steps == single.spec.max_episode_steps
    assert vector.spec.max_episode_steps == {"CartPole-v1": 500, "Pendulum-v1": 200}.get(name, 1000)
    vector.close()
    vector.close()  # closing a second time does no harm


def test_equal_seeds_give_equal_runs_and_others_do_not(name):
    runs = []
    for seed in (7, 7, 8):
        vector = make_vec(name, 2, seed=seed)
        runs.append([vector.reset()[0], *(step[0] for step in random_steps(vector, 20))])
    assert same(runs[0], runs[1])
    assert not np.array_equal(runs[0][0], runs[2][0])
    assert not np.array_equal(runs[0][0][0], runs[0][0][1]), "the two environments must not start alike"


def test_seed_of_reset_means_what_seed_of_make_does(name):
    made, reset = make_vec(name, 2, seed=7), make_vec(name, 2)
    assert np.array_equal(made.reset()[0], reset.reset(seed=np.int64(7))[0])
    assert np.array_equal(made.reset()[0], reset.reset()[0]), "the second episode continues the same generator"


def test_neighbouring_seeds_have_no_environment_in_common(name):
    first, second = make_vec(name, 3, seed=0).reset()[0], make_vec(name, 3, seed=1).reset()[0]
    assert not any(np.array_equal(a, b) for a in first for b in second)


def test_each_environment_can_have_its_own_seed(name):
    seeds = [11, 5]
    observations, _ = make_vec(name, 2).reset(seed=seeds)
    for observation, seed in zip(observations, seeds, strict=True):
        assert np.array_equal(observation, make(name).reset(seed=seed)[0])
        assert np.array_equal(observation, make(name, seed=seed).reset()[0])


def test_wrong_number_of_seeds_is_refused(name):
    with pytest.raises(ValueError, match="3 seeds are given; 2 are needed, one for each environment"):
        make_vec(name, 2).reset(seed=[1, 2, 3])


@pytest.mark.parametrize("wrong", [-1, 1.5, [0, -1], [0.5, None]])
def test_a_seed_that_is_no_whole_number_from_0_on_is_refused(name, wrong):
    with pytest.raises(ValueError, match=r"seed is (-1|1\.5|0\.5); allowed are None and whole numbers from 0 on"):
        make_vec(name, 2).reset(seed=wrong)


def test_a_reset_can_be_for_some_environments_only(name):
    vector, other = make_vec(name, 3, seed=0), make_vec(name, 3, seed=0)
    for one in (vector, other):
        one.reset()
        for _ in random_steps(one, 3):
            pass
    before = next(random_steps(other, 1))[0]
    assert same(next(random_steps(vector, 1))[0], before)
    observations, _ = vector.reset(seed=[5, 6, 7], options={"reset_mask": np.array([False, True, False])})
    assert same(observations[[0, 2]], before[[0, 2]])
    assert np.array_equal(observations[1], make(name).reset(seed=6)[0])
    for here, there in zip(random_steps(vector, 5), random_steps(other, 5), strict=True):
        assert same(here[0][[0, 2]], there[0][[0, 2]])


@pytest.mark.parametrize("mask", [[True], [False, False], [1, 0]])
def test_a_wrong_mask_of_a_reset_is_refused(mask):
    vector = make_vec("h1-walk", 2, seed=0)
    before = vector.reset()[0]
    with pytest.raises(ValueError, match=r"reset_mask has shape \(\d,\) and type .*; allowed are 2 truth values"):
        vector.reset(options={"reset_mask": np.array(mask)})
    assert np.array_equal(vector.simulation.observations(), before)
    with pytest.raises(gym.error.ResetNeeded):
        make_vec("h1-walk", 2).reset(options={"reset_mask": np.array([True, False])})


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("action_repeat", [1, 2])
def test_every_member_equals_a_single_environment_with_its_seed_bit_by_bit(name, action_repeat):
    vector = make_vec(name, 3, seed=3, action_repeat=action_repeat)
    seeds = envs.spawn_seeds(3, 3)
    singles = [make(name, seed=seed, action_repeat=action_repeat) for seed in seeds]
    observations, _ = vector.reset()
    assert same(observations, [single.reset()[0] for single in singles])
    vector.action_space.seed(0)
    episodes = 0
    for _ in range(220 // action_repeat):
        actions = vector.action_space.sample()
        observations, rewards, terminated, truncated, infos = vector.step(actions)
        following = envs.next_observations(observations, infos)
        for row, single in enumerate(singles):
            observation, reward, ended, cut, _ = single.step(actions[row])
            assert np.array_equal(observation, following[row])
            assert (reward, ended, cut) == (rewards[row], terminated[row], truncated[row])
            if ended or cut:
                episodes += 1
                assert np.array_equal(observations[row], single.reset()[0])
    assert episodes >= 3


@pytest.mark.parametrize("name", SHORT)
def test_an_episode_ends_and_the_next_begins_in_the_same_step(name):
    vector = make_vec(name, 2, seed=0)
    vector.reset()
    ends = 0
    for observations, _, terminated, truncated, infos in random_steps(vector, 250):
        over = terminated | truncated
        assert ("final_obs" in infos) == over.any()
        following = envs.next_observations(observations, infos)
        assert np.array_equal(following[~over], observations[~over])
        if over.any():
            ends += 1
            assert np.array_equal(infos["_final_obs"], over)
            assert np.array_equal(infos["_final_info"], over)
            for row in np.flatnonzero(over):
                assert np.array_equal(following[row], infos["final_obs"][row])
                assert not np.array_equal(following[row], observations[row])
    assert ends >= 1


def test_native_environments_use_no_more_threads_than_there_are_usable_cores(monkeypatch):
    for cores, expected in ((1, 1), (2, 2), (64, 3)):  # a container's quota may leave fewer than the machine has
        monkeypatch.setattr(registry, "usable_cores", lambda cores=cores: cores)
        vector = make_vec("h1-walk", 3, seed=0)
        assert len(vector.simulation.physics.datas) == expected
        vector.close()


def test_returned_arrays_are_not_written_to_later(name):
    vector = make_vec(name, 2, seed=0)
    kept = [vector.reset()[0], *(array for step in random_steps(vector, 3) for array in step[:4])]
    copies = [array.copy() for array in kept]
    for _ in random_steps(vector, 3):
        pass
    assert same(kept, copies)


def test_next_observations_replace_only_those_of_ended_environments():
    observations = np.arange(6.0).reshape(3, 2)
    assert envs.next_observations(observations, {}) is observations
    objects = np.array([None, np.array([7.0, 8.0]), None], dtype=object)
    infos = {"final_obs": objects, "_final_obs": np.array([False, True, False])}
    assert envs.next_observations(observations, infos).tolist() == [[0, 1], [7, 8], [4, 5]]
    assert observations[1].tolist() == [2, 3]


def test_spawned_seeds_are_distinct_reproducible_and_valid_for_gymnasium():
    seeds = envs.spawn_seeds(0, 100)
    assert len(set(seeds) | set(envs.spawn_seeds(1, 100))) == 200
    assert seeds[:3] == envs.spawn_seeds(0, 3)
    assert all(isinstance(seed, int) and seed >= 0 for seed in seeds)
    gym.make("CartPole-v1").reset(seed=seeds[0])

"""A vector of Atari games: autoreset, seeds, limits, lost lives, no-ops, FIRE, sticky actions, stacks."""

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from fire_rl import envs
from fire_rl.envs import PUBLISHED_ATARI, AtariSettings

make: Any = envs.make
make_vec: Any = envs.make_vec

STILL = AtariSettings(sticky=0)  # a game without randomness


def steps(vector, actions):
    """The results of the steps, and the true next observations."""
    results = [vector.step(action) for action in actions]
    return [(*result, envs.next_observations(result[0], result[4])) for result in results]


def random_actions(vector, count, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, vector.single_action_space.n, (count, vector.num_envs))


def equal(one, other):
    """Say whether the first four parts and the true next observations of all steps are equal."""
    return len(one) == len(other) and all(
        np.array_equal(a[part], b[part]) for a, b in zip(one, other, strict=True) for part in (0, 1, 2, 3, 5)
    )


def test_a_vector_has_gymnasiums_spaces_and_true_final_observations():
    vector = make_vec("Breakout", 2, seed=0)
    assert vector.single_observation_space == gym.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    assert vector.single_action_space == gym.spaces.Discrete(4)
    assert vector.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert vector.spec.id == "Breakout"
    observations, infos = vector.reset()
    assert vector.observation_space.contains(observations)
    assert infos["lives"].tolist() == [5, 5]
    before, ended = observations, 0
    for result in steps(vector, random_actions(vector, 350)):
        observations, rewards, terminated, truncated, infos, true_next = result
        assert (rewards.dtype, terminated.dtype, truncated.dtype) == (np.float64, np.bool_, np.bool_)
        assert np.array_equal(true_next[:, :3], before[:, 1:]), "stacks go on through an episode's end"
        for member in np.flatnonzero(terminated | truncated):
            ended += 1
            assert infos["_final_obs"][member]
            assert (observations[member] == observations[member, :1]).all(), "the next episode's first picture"
            assert infos["lives"][member] == 5
        before = observations
    assert ended >= 2


def test_observations_that_were_returned_are_not_written_to():
    vector = make_vec("Breakout", 2, seed=0)
    given = [vector.reset()[0]]
    copies = [given[0].copy()]
    for result in steps(vector, random_actions(vector, 200)):
        given += [result[0], result[5]]
        copies += [result[0].copy(), result[5].copy()]
    assert all(np.array_equal(a, b) for a, b in zip(given, copies, strict=True))


@pytest.mark.parametrize("settings", [AtariSettings(), PUBLISHED_ATARI], ids=["frame", "decision"])
def test_vectors_of_one_seed_are_equal_and_those_of_neighbouring_seeds_share_nothing(settings):
    vectors = [make_vec("Breakout", 2, seed=seed, atari=settings) for seed in (0, 0, 1)]
    actions = np.repeat(random_actions(vectors[0], 100)[:, :1], 2, axis=1)
    for vector in vectors:
        vector.reset()
    first, same, other = (steps(vector, actions) for vector in vectors)
    assert equal(first, same)
    pictures = [np.array([one[5][:, -1] for one in run]) for run in (first, other)]
    members = [*np.moveaxis(pictures[0], 1, 0), *np.moveaxis(pictures[1], 1, 0)]
    assert not any(np.array_equal(a, b) for i, a in enumerate(members) for b in members[:i])


@pytest.mark.parametrize("settings", [AtariSettings(), PUBLISHED_ATARI], ids=["frame", "decision"])
def test_a_member_is_the_single_environment_of_its_seed_whatever_the_threads(settings):
    settings = replace(settings, noop_max=20, terminal_on_life_loss=True)
    results = []
    for threads in (1, 2):
        vector = make_vec("Asterix", 3, atari=settings, threads=threads)
        vector.reset(seed=[8, 9, 10])
        results.append(steps(vector, random_actions(vector, 110)))
    assert equal(*results)
    single, actions = make("Asterix", seed=9, atari=settings), random_actions(vector, 110)[:, 1]
    observation, _ = single.reset()
    for action, result in zip(actions, results[0], strict=True):
        one = single.step(action)
        assert np.array_equal(one[0], result[5][1])
        assert one[1:4] == (result[1][1], result[2][1], result[3][1])
        observation = single.reset()[0] if one[2] or one[3] else one[0]
        assert np.array_equal(observation, result[0][1])


def test_a_reset_without_a_seed_begins_another_episode_and_one_with_it_the_same_again():
    vector = make_vec("Breakout", 1, seed=4)
    actions = random_actions(vector, 40)
    runs = []
    for settings in ({}, {}, {"seed": [7]}, {"seed": [None]}, {"seed": [7]}, {"seed": 4}):
        vector.reset(**settings)
        runs.append(np.array([result[0] for result in steps(vector, actions)]))
    same = [[bool(np.array_equal(one, other)) for other in runs] for one in runs]
    assert [row.index(True) for row in same] == [0, 1, 2, 3, 2, 0]


@pytest.mark.parametrize("wrong", [[1], [1, 2, 3], [-1, 2], [2**63, 1]])
def test_seeds_that_are_not_possible_are_refused(wrong):
    with pytest.raises(ValueError, match="seed"):
        make_vec("Breakout", 2).reset(seed=wrong)


@pytest.mark.parametrize("wrong", [[0, 4], [-1, 0], [0], [0.0, 1.0]])
def test_impossible_actions_are_refused_and_nothing_hangs(wrong):
    vector = make_vec("Breakout", 2, seed=0)
    with pytest.raises(gym.error.ResetNeeded):
        vector.step(np.zeros(2, dtype=np.int64))
    vector.reset()
    with pytest.raises(ValueError, match="actions are"):
        vector.step(np.array(wrong))
    vector.step(np.zeros(2, dtype=np.int64))
    vector.close()


@pytest.mark.parametrize("decisions", [1, 9])
def test_at_the_time_limit_the_final_observation_is_that_of_a_game_without_it(decisions):
    """Neither ale-py's vector nor Gymnasium's wrapper does this: they leave out the last frame."""
    short, long = (
        make_vec("Breakout", 2, seed=0, atari=replace(STILL, episode_frames=frames)) for frames in (4 * decisions, 1000)
    )
    short.reset()
    long.reset()
    actions = random_actions(long, decisions, seed=3)
    cut, uncut = steps(short, actions), steps(long, actions)
    assert [one[3].tolist() for one in cut] == [[False, False]] * (decisions - 1) + [[True, True]]
    assert not any(one[2].any() for one in cut)
    assert np.array_equal(cut[-1][5], uncut[-1][0])
    assert (cut[-1][0] == cut[-1][0][:, :1]).all()


def test_a_lost_life_ends_an_episode_and_the_game_goes_on():
    """Pictures and points are those of a game without such ends. Only the stacks are reset."""
    plain, lives = (
        make_vec("Breakout", 2, seed=0, atari=replace(STILL, fire_reset=True, terminal_on_life_loss=ends))
        for ends in (False, True)
    )
    plain.reset()
    lives.reset()
    actions = random_actions(plain, 250, seed=1)
    left, lost, over = np.array([5, 5]), 0, 0
    for one, other in zip(steps(plain, actions), steps(lives, actions), strict=True):
        assert np.array_equal(one[1], other[1])
        assert np.array_equal(one[5][:, -1], other[5][:, -1])
        now = one[4]["lives"]
        expected = one[2] | (now < left)
        assert np.array_equal(other[2], expected)
        for member in np.flatnonzero(expected & ~one[2]):
            lost += 1
            assert (other[0][member] == other[5][member, -1]).all(), "begins with the picture in which it was lost"
        left, over = now, over + int(one[2].sum())
    assert lost >= 8
    assert over >= 1


def test_the_single_environment_continues_after_a_lost_life_and_needs_a_reset_for_it():
    env = make("Breakout", seed=0, atari=replace(STILL, fire_reset=True, terminal_on_life_loss=True))
    env.reset()
    for _ in range(200):
        result = env.step(0)
        if result[2]:
            break
    assert result[4]["lives"] == 4
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    observation, info = env.reset()
    assert info["lives"] == 4
    assert np.array_equal(observation[0], result[0][-1])


def test_older_pictures_of_a_first_stack_are_black_where_asked():
    first = {
        kind: make_vec("Breakout", 1, seed=0, atari=replace(STILL, first_stack=kind)) for kind in ("repeat", "zeros")
    }
    repeated, zeros = (vector.reset()[0][0] for vector in first.values())
    assert np.array_equal(repeated[3], zeros[3])
    assert (repeated == repeated[:1]).all()
    assert zeros[3].any()
    assert not zeros[:3].any()


def test_no_ops_are_drawn_from_none_to_the_most_by_the_episodes_seed():
    """A ball that falls by itself shows how many frames have passed."""
    counted, drawn = {}, []
    env = make("Breakout", atari=replace(STILL, frame_skip=1, stack=1, fire_reset=True))
    counted[env.reset(seed=0)[0].tobytes()] = 0
    for frame in range(1, 12):
        counted[env.step(0)[0].tobytes()] = frame
    vector = make_vec("Breakout", 1, atari=replace(STILL, frame_skip=1, stack=1, fire_reset=True, noop_max=3))
    for seed in range(10):
        observations, _ = vector.reset(seed=[seed])
        drawn.append(counted[observations[0].tobytes()])
    assert set(drawn) == set(range(3)), "pressing FIRE is the first of them"
    assert drawn[:3] == [counted[vector.reset(seed=[seed])[0][0].tobytes()] for seed in range(3)]


def test_fire_is_pressed_where_asked_and_serves_the_ball():
    waiting, served = (make_vec("Breakout", 1, seed=0, atari=replace(STILL, fire_reset=fire)) for fire in (False, True))
    lives = []
    for vector in (waiting, served):
        vector.reset()
        lives.append(min(vector.step(np.zeros(1, dtype=np.int64))[4]["lives"][0] for _ in range(60)))
    assert lives == [5, 4]


def test_all_eighteen_actions_are_available():
    assert make("Breakout", atari=replace(STILL, full_actions=True)).action_space.n == 18


def test_the_picture_and_the_stack_have_the_sizes_asked_for():
    vector = make_vec("Pong", 1, atari=replace(STILL, screen_size=40, stack=2))
    assert vector.reset()[0].shape == (1, 2, 40, 40)
    assert vector.step(np.zeros(1, dtype=np.int64))[0].shape == (1, 2, 40, 40)


def test_stickiness_per_decision_repeats_the_action_executed_before_for_a_whole_decision():
    """Compare with a game without sticky actions whose repeats are chosen by hand. The first action follows a NOOP."""
    settings = replace(PUBLISHED_ATARI, episode_frames=40)
    sticky, plain = (make_vec("Breakout", 1, atari=replace(settings, sticky=p)) for p in (0.4, 0.0))
    sticky.reset(seed=[11])
    plain.reset(seed=[11])
    generator, executed, repeats = np.random.default_rng(11), 0, 0
    for decision, action in enumerate(np.random.default_rng(0).integers(2, 4, 120).tolist()):
        executed = 0 if decision % 10 == 0 else executed
        repeated = generator.random() < 0.4
        executed, repeats = (executed, repeats + 1) if repeated else (action, repeats)
        one, other = sticky.step(np.array([action])), plain.step(np.array([executed]))
        assert np.array_equal(envs.next_observations(one[0], one[4]), envs.next_observations(other[0], other[4]))
    assert 30 < repeats < 66


def test_stickiness_per_frame_changes_the_action_within_a_decision():
    sticky, plain = (make("Breakout", seed=11, atari=replace(STILL, sticky=p)) for p in (0.25, 0.0))
    sticky.reset()
    plain.reset()
    actions = np.tile([2, 3], 30)
    assert any(not np.array_equal(sticky.step(action)[0], plain.step(action)[0]) for action in actions)

"""MinAtar's games and Gymnasium's small environments by name: spaces, seeds and dynamics."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from fire_rl import envs
from fire_rl.envs import minatar as ours

ROOT = Path(__file__).parents[1]
CHANNELS = {"Asterix": 4, "Breakout": 4, "Freeway": 7, "Seaquest": 10, "SpaceInvaders": 6}
MINIMAL = {"Asterix": 5, "Breakout": 3, "Freeway": 3, "Seaquest": 6, "SpaceInvaders": 4}

make: Any = envs.make
make_vec: Any = envs.make_vec

needs_minatar = pytest.mark.skipif(importlib.util.find_spec("minatar") is None, reason="MinAtar is not installed")


@needs_minatar
@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("game", CHANNELS)
def test_minatars_games_have_planes_of_ones_and_zeros_and_their_actions(game, version):
    name = f"MinAtar/{game}-v{version}"
    vector = make_vec(name, 2, seed=0)
    assert vector.spec.id == name
    assert vector.single_observation_space == gym.spaces.Box(0, 1, (CHANNELS[game], 10, 10), np.uint8)
    assert vector.single_action_space == gym.spaces.Discrete(MINIMAL[game] if version else 6)
    observations, _ = vector.reset()
    assert vector.observation_space.contains(observations)
    assert name in envs.names()
    assert vector.spec.max_episode_steps is None, "MinAtar itself says when a game is over"


@needs_minatar
@pytest.mark.parametrize("game", CHANNELS)
def test_an_episode_is_minatars_own_of_that_seed_whatever_was_played_before(game):
    """Compare with the package's own class, with seeds of 32 bits, which its `seed` takes: actions, points and ends."""
    from minatar import Environment

    env = make(f"MinAtar/{game}-v1", seed=1)
    env.reset()
    for seed in range(3):
        original = Environment(ours.GAMES[game])
        original.seed(seed)
        original.reset()
        choices = original.minimal_action_set()
        observation, _ = env.reset(seed=seed)
        for action in np.random.default_rng(seed).integers(0, len(choices), 300).tolist():
            assert np.array_equal(observation, original.state().transpose(2, 0, 1))
            observation, reward, terminated, truncated, _ = env.step(action)
            assert (reward, terminated) == original.act(choices[action])
            assert not truncated
            if terminated:
                break


@needs_minatar
def test_the_last_action_of_a_game_is_not_repeated_in_the_next_one():
    """In a new game that repeats its action, nothing happens. One in ten does so at its first step."""
    env = make("MinAtar/Breakout-v1", seed=0)
    paddles = []
    for seed in range(40):
        env.reset(seed=seed)
        first = env.step(2)[0]
        paddles.append(int(first[0, 9].argmax()))
        while not env.step(1)[2]:
            pass
    assert set(paddles) == {4, 5}, "where it was, or one to the right"


@needs_minatar
def test_seeds_of_64_bits_are_seeds_too():
    first = [make("MinAtar/Seaquest-v1", seed=2**62 + k) for k in (0, 0, 1, 2**32)]
    runs = []
    for env in first:
        env.reset()
        runs.append(np.array([env.step(0)[0] for _ in range(30)]))
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    assert not np.array_equal(runs[0], runs[3])


@needs_minatar
def test_pictures_show_each_kind_of_object_in_a_colour_of_its_own():
    env = make("MinAtar/Breakout-v1", seed=0, render_mode="rgb_array")
    env.reset()
    observation = env.step(0)[0]  # after this the ball has left its trail
    picture = env.render()
    assert (picture.shape, picture.dtype, env.metadata["render_fps"]) == ((160, 160, 3), np.uint8, 20)
    cells = picture[8::16, 8::16]
    colours = [cells[plane.astype(bool)] for plane in (observation[0], observation[1], observation[3])]
    assert len({tuple(one[0]) for one in colours}) == 3
    assert (cells[~observation.any(axis=0)] == 0).all()
    assert make("MinAtar/Breakout-v1").render() is None


@needs_minatar
def test_minatar_is_imported_without_output_and_only_when_it_is_needed():
    program = (
        "import sys; from fire_rl import envs; envs.names(); envs.describe_names();"
        "assert 'minatar' not in sys.modules;"
        "envs.make('MinAtar/Breakout-v1').reset()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("build", [make, lambda name: make_vec(name, 2)])
@pytest.mark.parametrize(
    ("wrong", "right"),
    [("MinAtar/Brekout-v1", "MinAtar/Breakout-v1"), ("MinAtar/Breakout", "MinAtar/Breakout-v1"),
     ("MinAtar/Breakout-v2", "MinAtar/Breakout-v1"), ("MinAtar/SpaceInvader-v1", "MinAtar/SpaceInvaders-v1"),
     ("minatar/breakout-v1", "MinAtar/Breakout-v1")],
)  # fmt: skip
def test_wrong_names_are_refused_in_one_line_with_the_nearest(build, wrong, right):
    with pytest.raises(ValueError, match=wrong) as error:
        build(wrong)
    assert right in str(error.value)
    assert "\n" not in str(error.value)


def test_where_minatar_is_missing_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(ours, "find_spec", lambda name: None)
    assert not any(name.startswith("MinAtar/") for name in envs.names())
    with pytest.raises(
        ValueError, match=r"module 'minatar', which is missing: .*pip install -e '\.\[minatar\]'"
    ) as error:
        make("MinAtar/Breakout-v1")
    assert "\n" not in str(error.value)


@needs_minatar
def test_an_unknown_render_mode_is_refused():
    with pytest.raises(ValueError, match="human"):
        make("MinAtar/Breakout-v1", render_mode="human")


@pytest.mark.parametrize("name", ["CartPole-v1", "Acrobot-v1", "FrozenLake-v1"])
def test_the_first_episode_of_a_seed_is_gymnasiums_own(name):
    original: Any = gym.make(name)
    vector = make_vec(name, 2)
    observations, _ = vector.reset(seed=[3, 4])
    observation, _ = original.reset(seed=4)
    assert np.array_equal(observations[1], observation)
    while True:
        result = original.step(0)
        ours_now = vector.step(np.zeros(2, dtype=np.int64))
        assert (ours_now[1][1], ours_now[2][1], ours_now[3][1]) == result[1:4]
        if result[2] or result[3]:
            assert np.array_equal(ours_now[4]["final_obs"][1], result[0])
            break


@pytest.mark.parametrize("name", ["CartPole-v1", pytest.param("MinAtar/Breakout-v1", marks=needs_minatar)])
def test_a_single_environment_plays_the_episodes_of_the_vectors_member(name):
    vector, single = make_vec(name, 2), make(name, seed=9)
    observations, _ = vector.reset(seed=[8, 9])
    observation, _ = single.reset()
    ended = 0
    for action in np.random.default_rng(0).integers(0, 2, (200, 2)):
        assert np.array_equal(observations[1], observation)
        observations, rewards, terminated, truncated, _ = vector.step(action)
        observation, *rest = single.step(action[1])
        assert tuple(rest[:3]) == (rewards[1], terminated[1], truncated[1])
        if rest[1] or rest[2]:
            ended += 1
            observation, _ = single.reset()
    assert ended >= 3


def test_no_episode_begins_like_another():
    vector = make_vec("CartPole-v1", 3, seed=0)
    starts = [tuple(row) for row in vector.reset()[0]]
    for _ in range(120):
        observations, _, terminated, _, _ = vector.step(np.zeros(3, dtype=np.int64))
        starts += [tuple(row) for row in observations[terminated]]
    assert len(starts) > 30
    assert len(set(starts)) == len(starts)

"""Environments whose state cannot be saved continue exactly: Atari, MinAtar, classic control, toy text are replayed."""

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from safetensors.numpy import load, save

from fire_rl import envs
from fire_rl.envs import PUBLISHED_ATARI, AtariSettings, atari

make_vec: Any = envs.make_vec

LIVES = AtariSettings(terminal_on_life_loss=True, noop_max=8, fire_reset=True, episode_frames=560)
ATARI = {"standard": AtariSettings(), "published": PUBLISHED_ATARI, "lives": LIVES}
OTHERS = [
    "MinAtar/Breakout-v1", "MinAtar/Asterix-v0", "MinAtar/Freeway-v1", "MinAtar/Seaquest-v1",
    "MinAtar/SpaceInvaders-v1", "CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0",
    "FrozenLake-v1", "CliffWalking-v1", "Blackjack-v1",
]  # fmt: skip


def build(name, seed, count=2, **settings):
    if name.startswith("MinAtar/"):
        pytest.importorskip("minatar")
    if envs.is_atari(name):
        pytest.importorskip("ale_py")
    return make_vec(name, count, seed=seed, **settings)


def random_actions(vector, count, seed=0):
    space, generator = vector.single_action_space, np.random.default_rng(seed)
    if isinstance(space, gym.spaces.Discrete):
        return space.start + generator.integers(0, space.n, (count, vector.num_envs))
    return generator.uniform(-1, 1, (count, vector.num_envs, *space.shape)).astype(space.dtype)


def advance(vector, actions):
    """Return everything that the steps returned, as bytes to compare."""
    results = []
    for action in actions:
        observations, rewards, terminated, truncated, infos = vector.step(action)
        parts = observations if isinstance(observations, tuple) else (observations,)
        finals = [np.asarray(infos["final_obs"][row]) for row in np.flatnonzero(infos.get("_final_obs", []))]
        results.append([np.asarray(part).tobytes() for part in (*parts, rewards, terminated, truncated, *finals)])
    return results


def stored(state):
    """Return the state as a checkpoint stores it."""
    return load(save({name: np.ascontiguousarray(values) for name, values in state.items()}))


def kill_and_restore(build_one, stretches):
    """After each part a new vector continues from a state. Everything equals what happens without the interruptions."""
    uninterrupted, interrupted = build_one(0), build_one(0)
    uninterrupted.reset()
    interrupted.reset()
    episodes = 0
    for seed, length in enumerate(stretches):
        actions = random_actions(uninterrupted, length, seed)
        assert advance(interrupted, actions) == advance(uninterrupted, actions)
        state = stored(interrupted.get_state())
        interrupted.close()
        interrupted = build_one(99)
        interrupted.set_state(**state)
        again, present = interrupted.get_state(), uninterrupted.get_state()
        assert all(np.array_equal(again[name], present[name]) for name in present)
        episodes = int(present["episodes"].sum())
    actions = random_actions(uninterrupted, 45, 100)
    assert advance(interrupted, actions) == advance(uninterrupted, actions)
    return episodes


@pytest.mark.parametrize("kind", ["standard", "lives", pytest.param("published", marks=pytest.mark.slow)])
def test_an_atari_run_killed_five_times_equals_the_uninterrupted_one(kind):
    """Also in Krull, where later games begin with the state of the emulator's own random numbers."""
    game, count = {"standard": ("Breakout", 2), "published": ("Asterix", 1), "lives": ("Krull", 1)}[kind]
    episodes = kill_and_restore(lambda seed: build(game, seed, count, atari=ATARI[kind]), [0, 1, 110, 50, 20])
    assert episodes >= {"standard": 1, "published": 0, "lives": 1}[kind]


def test_an_atari_run_killed_after_new_seedings_equals_the_uninterrupted_one(monkeypatch):
    monkeypatch.setattr(atari, "PATIENCE", 30)
    settings = replace(AtariSettings(), episode_frames=80)
    vectors = []

    def built(seed):
        vectors.append(build("Breakout", seed, atari=settings))
        return vectors[-1]

    assert kill_and_restore(built, [25, 26]) > 3
    state = vectors[0].get_state()
    assert (state["seeded"] > 0).all()
    assert (state["lengths"] < 50).all(), "what was played before a seeding is forgotten"


@pytest.mark.parametrize("name", ["Breakout", "MinAtar/Breakout-v1"])
def test_members_that_played_for_different_times_are_restored_together(name):
    """A state has a row for each member, independent of the others."""
    vectors, states, futures = [build(name, seed=0, count=3) for _ in range(3)], [], []
    for vector, length in zip(vectors, (4, 1, 0), strict=True):
        vector.reset()
        advance(vector, np.full((length, 3), 2))
        states.append(vector.get_state())
        futures.append([vector.step(np.full(3, 1))[0] for _ in range(10)])
    mixed = {key: np.array([states[row][key][row] for row in range(3)]) for key in states[0] if key != "actions"}
    mixed["actions"] = np.full((3, 4), 2)
    other = build(name, seed=99, count=3)
    other.set_state(**mixed)
    for moment in range(10):
        observations = other.step(np.full(3, 1))[0]
        assert all(np.array_equal(observations[row], futures[row][moment][row]) for row in range(3))


def test_a_state_right_after_a_lost_life_continues_exactly():
    settings = replace(LIVES, noop_max=0, sticky=0)
    vector, other = (build("Breakout", seed, count=1, atari=settings) for seed in (0, 9))
    vector.reset()
    for action in np.tile([2, 3], 50):  # the paddle moves, so that pictures differ
        if vector.step(np.array([action]))[2].any():
            break
    for action in (2, 3, 2):
        other.set_state(**vector.get_state())
        assert advance(vector, np.array([[action]])) == advance(other, np.array([[action]]))


def test_actions_given_in_one_array_that_is_written_again_are_remembered():
    vector, other = (build("MountainCarContinuous-v0", seed) for seed in (0, 9))
    vector.reset()
    buffer = np.empty((2, 1), dtype=np.float32)
    for action in random_actions(vector, 20):
        buffer[:] = action
        vector.step(buffer)
    other.set_state(**vector.get_state())


@pytest.mark.slow
@pytest.mark.parametrize(
    "game",
    [
        "Assault",
        "Berzerk",
        "Crossbow",
        "IceHockey",
        "Kaboom",
        "Krull",
        "Seaquest",
        "Solaris",
        "Surround",
        "YarsRevenge",
    ],
)
def test_games_whose_starts_vary_continue_exactly_too(game):
    settings = replace(AtariSettings(), episode_frames=400)
    assert kill_and_restore(lambda seed: build(game, seed, atari=settings), [150, 250, 300, 10, 500]) >= 10


@pytest.mark.parametrize("name", OTHERS)
def test_other_runs_killed_five_times_equal_the_uninterrupted_ones(name):
    kill_and_restore(lambda seed: build(name, seed, count=3), [0, 1, 150, 77, 40])


@pytest.mark.parametrize("name", ["MinAtar/Breakout-v1", "CartPole-v1"])
def test_action_repeats_and_episodes_that_ended_long_ago_make_no_difference(name):
    assert kill_and_restore(lambda seed: build(name, seed, action_repeat=2), [200, 300, 100, 200, 35]) > 40


@pytest.mark.parametrize("name", ["Breakout", "MinAtar/Breakout-v1", "CartPole-v1"])
def test_states_are_plain_arrays_that_nothing_writes_to(name):
    vector = build(name, seed=0)
    with pytest.raises(gym.error.ResetNeeded):
        vector.get_state()
    vector.reset()
    empty = vector.get_state()
    assert empty["actions"].shape == (2, 0)
    advance(vector, random_actions(vector, 3))
    state = vector.get_state()
    copies = {key: value.copy() for key, value in state.items()}
    advance(vector, random_actions(vector, 5))
    assert all(np.array_equal(value, copies[key]) for key, value in state.items())
    assert list(state) == ["seeds", "episodes", "seeded", "lengths", "actions", "checksums"]
    assert all(value.dtype == np.int64 and value.shape[0] == 2 for value in state.values())


@pytest.fixture(params=["Breakout", "CartPole-v1"])
def saved(request):
    vector = build(request.param, seed=0)
    vector.reset()
    advance(vector, random_actions(vector, 12))
    return vector, vector.get_state()


def test_a_state_of_another_form_is_refused_in_one_line_and_nothing_is_changed(saved):
    vector, state = saved
    wrongs: list[Any] = [{name: values for name, values in state.items() if name != left} for left in state]
    wrongs += [{**state, name: values[:1]} for name, values in state.items()]
    wrongs += [{**state, name: values.astype(np.float64)} for name, values in state.items()]
    wrongs += [{**state, "stage": 1}, {**state, "actions": state["actions"][:, :-1]}]
    wrongs += [{**state, "seeds": -state["seeds"]}, {**state, "seeded": state["episodes"] + 1}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match=r"needed|missing|not part|allowed|after") as error:
            vector.set_state(**wrong)
        assert "\n" not in str(error.value)
        assert all(np.array_equal(values, vector.get_state()[name]) for name, values in state.items())


def test_a_state_of_another_vector_is_refused(saved):
    vector, state = saved
    three = build(vector.spec.id, seed=0, count=3)
    with pytest.raises(ValueError, match=r"seeds has shape \(2,\), \(3,\) is needed"):
        three.set_state(**state)


def test_a_state_that_plays_differently_is_refused(saved):
    vector, state = saved
    for name in ("seeds", "actions"):
        changed = state[name].copy()
        changed[1] = changed[1] + 1 if name == "seeds" else 0
        with pytest.raises(ValueError, match=r"saved episode .* (plays differently here|ends after \d+): .*damaged"):
            vector.set_state(**{**state, name: changed})
        vector.step(np.zeros(2, dtype=np.int64))
    vector.set_state(**state)


def test_a_state_of_other_settings_is_refused():
    """Refused even where everything played so far is the same."""
    settings = [replace(AtariSettings(), episode_frames=frames) for frames in (1000, 2000)]
    vector, other = (build("Breakout", seed=0, count=1, atari=one) for one in settings)
    vector.reset()
    with pytest.raises(ValueError, match="other settings"):
        other.set_state(**vector.get_state())


def test_actions_that_the_game_does_not_have_are_refused(saved):
    vector, state = saved
    wrong = state["actions"].copy()
    wrong[0, 3] = 77
    with pytest.raises((ValueError, AssertionError)):
        vector.set_state(**{**state, "actions": wrong})


def test_a_trace_that_ends_its_episode_early_is_refused():
    vector = build("CartPole-v1", seed=0)
    vector.reset()
    advance(vector, random_actions(vector, 2))
    state = vector.get_state()
    state["actions"], state["lengths"] = np.zeros((2, 60), dtype=np.int64), np.array([60, 60])
    with pytest.raises(ValueError, match=r"saved episode of 60 actions ends after \d+: it is damaged"):
        vector.set_state(**state)


@pytest.mark.parametrize("values", [1.5, -np.float64(1) / 3])
def test_continuous_actions_outside_the_bounds_or_of_float64_continue_exactly(values):
    vector, other = (build("MountainCarContinuous-v0", seed) for seed in (0, 9))
    vector.reset()
    actions = np.full((20, 2, 1), values)
    advance(vector, actions)
    other.set_state(**stored(vector.get_state()))
    assert advance(other, actions) == advance(vector, actions)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, [0.1, 0.2]])
def test_continuous_actions_that_no_state_can_hold_are_refused(wrong):
    single = envs.make("MountainCarContinuous-v0", seed=0)
    single.reset()
    with pytest.raises(ValueError, match=r"the action is .*; allowed are finite numbers of shape \(1,\)"):
        single.step(np.atleast_1d(wrong))


def test_an_episode_begun_with_options_is_not_saved():
    vector = build("CartPole-v1", seed=0)
    vector.reset(options={"low": -0.01, "high": 0.01})
    with pytest.raises(ValueError, match="options"):
        vector.get_state()

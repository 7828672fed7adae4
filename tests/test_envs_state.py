"""A saved state continues exactly: within an episode and across its end, for single environments and vectors."""

from typing import Any

import numpy as np
import pytest

from fire_rl import envs

make: Any = envs.make
make_vec: Any = envs.make_vec

TASKS = ["h1-walk", "h1-crawl", "h1-balance_hard", "h1-reach", "h1-maze", "h1-sit_hard"]
KINDS = {"single": None, "vector": 3}


def build(name, kind, seed):
    return make(name, seed=seed) if kind == "single" else make_vec(name, KINDS[kind], seed=seed, threads=2)


def advance(env, kind, actions):
    """Step, and reset by hand where the environment does not reset itself."""
    results = []
    for action in actions:
        result = env.step(action[0] if kind == "single" else action)
        results += [np.asarray(part) for part in result[:4]]
        if kind == "single" and (result[2] or result[3]):
            results.append(env.reset()[0])
    return results


def actions(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3, 19)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TASKS)
def test_a_restored_environment_continues_bit_by_bit_across_episode_ends(name, kind):
    env = build(name, kind, seed=0)
    env.reset()
    advance(env, kind, actions(15))
    state = {key: value.copy() for key, value in env.get_state().items()}
    expected = advance(env, kind, actions(120, seed=1))

    other = build(name, kind, seed=99)  # never reset: the state is enough
    other.set_state(**state)
    assert all(np.array_equal(a, b) for a, b in zip(advance(other, kind, actions(120, seed=1)), expected, strict=True))

    env.set_state(**state)  # going back in the same environment
    assert all(np.array_equal(a, b) for a, b in zip(advance(env, kind, actions(120, seed=1)), expected, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_saved_before_the_first_reset_keeps_the_seed(kind):
    env, other = build("h1-walk", kind, seed=5), build("h1-walk", kind, seed=6)
    other.set_state(**env.get_state())
    assert np.array_equal(env.reset()[0], other.reset()[0])


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_plain_arrays_that_nothing_writes_to(kind):
    env = build("h1-walk", kind, seed=0)
    env.reset()
    state = env.get_state()
    copies = {key: value.copy() for key, value in state.items()}
    advance(env, kind, actions(5))
    assert {key: str(value.dtype) for key, value in state.items()} == {
        "time": "float64",
        "qpos": "float64",
        "qvel": "float64",
        "readings": "float64",
        "elapsed_steps": "int64",
        "random_generator": "uint64",
    }
    assert all(isinstance(value, np.ndarray) and np.array_equal(value, copies[key]) for key, value in state.items())
    count = () if kind == "single" else (3,)
    assert {key: value.shape for key, value in state.items()} == {
        "time": count,
        "qpos": (*count, 26),
        "qvel": (*count, 25),
        "readings": (*count, 28),
        "elapsed_steps": count,
        "random_generator": (*count, 6),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_setting_only_positions_and_velocities_keeps_the_rest_of_the_state(kind):
    env = build("h1-walk", kind, seed=0)
    env.reset()
    advance(env, kind, actions(5))
    before = env.get_state()
    env.set_state(before["qpos"] + 0.1, before["qvel"])
    after = env.get_state()
    assert np.array_equal(after["qpos"], before["qpos"] + 0.1)
    for name in ("time", "elapsed_steps", "random_generator"):
        assert np.array_equal(after[name], before[name])


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_of_the_wrong_shape_is_refused(kind):
    env = build("h1-walk", kind, seed=0)
    state = env.get_state()
    for name in state:
        with pytest.raises(ValueError, match=name):
            env.set_state(**{**state, name: np.zeros(7)})
        assert all(np.array_equal(value, env.get_state()[key]) for key, value in state.items()), "nothing was changed"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("part", "value"), [("qpos", 1e300), ("qvel", -1.1e10)])
def test_positions_and_velocities_that_no_step_arrives_at_are_refused(kind, part, value):
    env = build("h1-walk", kind, seed=0)
    before = env.get_state()
    wrong = before[part].copy()
    wrong[..., 10] = value
    with pytest.raises(ValueError, match=rf"{part} holds a number of size 1.*e\+.*; allowed is up to 1e\+10"):
        env.set_state(**before | {part: wrong})
    assert all(np.array_equal(values, before[name]) for name, values in env.get_state().items()), "nothing was changed"


def test_an_unknown_part_of_a_state_is_refused():
    env = make("h1-walk")
    with pytest.raises(ValueError, match=r"'stage' is not part of the state; its parts are time, qpos"):
        env.set_state(**env.get_state(), stage=1)


@pytest.mark.parametrize(
    ("part", "value"),
    [("qpos", np.full(26, np.nan)), ("qvel", np.full(25, np.inf)), ("elapsed_steps", 1.7), ("stage", 7), ("stage", -1),
     ("stage", 1.5)],
)  # fmt: skip
def test_a_state_of_numbers_that_are_not_finite_is_refused(part, value):
    env = make("h1-maze", seed=0)
    env.reset()
    state = env.get_state()
    with pytest.raises(ValueError, match=part):
        env.set_state(**{**state, part: value})
    assert all(np.array_equal(value, env.get_state()[key]) for key, value in state.items()), "nothing was changed"


def test_a_state_saved_after_writing_into_data_is_consistent():
    env, other = make("h1-reach", seed=0), make("h1-reach", seed=1)
    env.reset()
    env.step(np.zeros(19))
    env.data.qpos[0] += 3
    other.set_state(**env.get_state())
    assert other.simulation.observations()[0, 51:54] == pytest.approx(other.data.site("left_hand").xpos, abs=1e-12)


def test_a_robot_whose_physics_diverges_is_reset_as_in_the_original():
    """MuJoCo does it: into the model's reference pose, high in the air."""
    vector = make_vec("h1-reach", 2, seed=0)
    vector.reset()
    state = vector.get_state()
    state["qvel"][0, 10] = 1e9
    vector.set_state(**state)
    observations = vector.step(np.zeros((2, 19)))[0]
    assert observations[0, :3] == pytest.approx([0, 0, 2.7], abs=0.1)
    assert observations[1, 2] == pytest.approx(0.98, abs=0.1), "the other one continues"


def test_threads_do_not_change_a_result():
    runs = []
    for threads in (1, 2, 3):
        vector = make_vec("h1-walk", 5, seed=0, threads=threads)
        vector.reset()
        chosen = np.random.default_rng(0).uniform(-1, 1, (80, 5, 19)).astype(np.float32)
        runs.append(np.concatenate([np.c_[vector.step(action)[0], vector.get_state()["time"]] for action in chosen]))
        vector.close()
    assert np.array_equal(runs[0], runs[1])
    assert np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("count", [1, 2, 7, 16, 33])
def test_a_robots_path_does_not_depend_on_how_many_others_there_are(count):
    alone, many = make_vec("h1-walk", 1), make_vec("h1-walk", count)
    seeds = list(range(count))
    alone.reset(seed=[0])
    many.reset(seed=seeds)
    for action in np.random.default_rng(0).uniform(-1, 1, (40, count, 19)).astype(np.float32):
        first, second = alone.step(action[:1]), many.step(action)
        assert all(np.array_equal(a[0], b[0]) for a, b in zip(first[:4], second[:4], strict=True))
        parts = [name for name in second[4] if name.lstrip("_") in ("standing", "upright", "move", "small_control")]
        assert all(first[4][name][0] == second[4][name][0] for name in parts)

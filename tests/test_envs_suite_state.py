"""A task of the DeepMind Control suite continues exactly from its saved state."""

import numpy as np
import pytest

from fire_rl.envs import suite
from fire_rl.envs.seeding import legacy_generator_words, restore_legacy_generator, seed_legacy_generator
from tests.fixtures.dm_control import actions, advance, equal, make

BENCHMARK = suite.benchmark_names()


if not BENCHMARK:
    pytest.skip("dm_control is not installed", allow_module_level=True)


# Tasks that draw every kind of quantity that a model stores: targets, receptacles, gains, lights.
DRAWING = [
    "dmc:finger-turn_hard",
    "dmc:fish-swim",
    "dmc:manipulator-insert_peg",
    "dmc:point_mass-hard",
    "dmc:reacher-easy",
    "dmc:stacker-stack_2",
    "dmc:swimmer-swimmer6",
]


@pytest.mark.parametrize("name", ["dmc:acrobot-swingup", "dmc:cheetah-run", "dmc:humanoid-walk", *DRAWING])
def test_a_restored_task_continues_bit_by_bit_across_the_end_of_an_episode(name):
    env, other = make(name, seed=0), make(name, seed=99)  # the other is never reset: the state is enough
    env.reset()
    for lead in (0, 7):
        advance(env, actions(env, lead))
        env.environment._step_count = 1000 - 6
        state = env.get_state()
        expected = advance(env, actions(env, 20, seed=1))
        other.set_state(**state)
        assert equal(advance(other, actions(env, 20, seed=1)), expected)
        env.set_state(**state)  # going back in the same environment
        assert equal(advance(env, actions(env, 20, seed=1)), expected)


def model_arrays(env):
    model = env.physics.model.ptr
    values = {name: getattr(model, name) for name in dir(model) if not name.startswith("_")}
    return {name: value.copy() for name, value in values.items() if isinstance(value, np.ndarray)}


@pytest.mark.parametrize("name", [*DRAWING, "dmc:walker-run", "dmc:ball_in_cup-catch"])
def test_nothing_that_a_task_changes_in_its_model_is_left_out_of_its_state(name):
    env, other = make(name, seed=0), make(name, seed=1)
    env.reset()
    other.reset()
    before, wanted = model_arrays(other), model_arrays(env)
    drawn = [field for field in wanted if not np.array_equal(before[field], wanted[field])]
    assert bool(drawn) == (name in DRAWING)
    other.set_state(**env.get_state())
    after = model_arrays(other)
    assert [field for field in wanted if not np.array_equal(after[field], wanted[field])] == []


@pytest.mark.slow
def test_every_task_that_the_package_has_continues_exactly():
    wrong = []
    for name in suite.task_names():
        env, other = make(name, seed=0), make(name, seed=99)
        env.reset()
        advance(env, actions(env, 9))
        other.set_state(**env.get_state())
        chosen = actions(env, 40, seed=1)
        wanted, after = model_arrays(env), model_arrays(other)
        same_model = all(np.array_equal(after[field], wanted[field]) for field in wanted)
        if not (equal(advance(other, chosen), advance(env, chosen)) and same_model):
            wrong.append(name)
    assert wrong == []


def test_a_state_saved_before_the_first_reset_keeps_the_seed():
    env, other = make("dmc:walker-walk", seed=5), make("dmc:walker-walk", seed=6)
    other.set_state(**env.get_state())
    assert np.array_equal(env.reset()[0], other.reset()[0])


def test_states_are_plain_arrays_and_wrong_ones_are_refused():
    env = make("dmc:reacher-easy", seed=0)
    env.reset()
    state = env.get_state()
    copies = {name: value.copy() for name, value in state.items()}
    advance(env, actions(env, 3))
    assert all(isinstance(value, np.ndarray) and np.array_equal(value, copies[name]) for name, value in state.items())
    now = env.get_state()
    for name in state:
        with pytest.raises(ValueError, match=name):
            env.set_state(**(state | {name: np.zeros((7, 7))}))
        with pytest.raises(ValueError, match=f"{name} is missing"):
            env.set_state(**{other: value for other, value in state.items() if other != name})
    with pytest.raises(ValueError, match="qpos is not part"):
        env.set_state(**state, qpos=np.zeros(2))
    assert all(np.array_equal(value, now[name]) for name, value in env.get_state().items()), "nothing was changed"


def test_a_legacy_generators_words_restore_it_between_the_two_numbers_of_a_pair():
    generator, other = np.random.RandomState(0), np.random.RandomState(1)
    generator.standard_normal(3)
    restore_legacy_generator(other, legacy_generator_words(generator))
    assert np.array_equal(other.standard_normal(5), generator.standard_normal(5))
    assert np.array_equal(other.uniform(size=700), generator.uniform(size=700))
    seed_legacy_generator(other, 4)
    assert np.array_equal(other.uniform(size=3), np.random.RandomState(4).uniform(size=3))

"""Environments by name: our own, Gymnasium's and a module's, and the answer to a wrong name."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from fire_rl import envs
from fire_rl.envs.generic import ActionRepeat
from fire_rl.envs.humanoid import TASKS, HumanoidEnv, HumanoidVectorEnv, meshes
from fire_rl.envs.reference_scores import WITH_HANDS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("spelling", ["h1-{}", "h1-{}-v0", "fire_rl/h1-{}-v0"])
def test_our_tasks_are_found_by_their_names(task, spelling):
    name = spelling.format(task)
    assert isinstance(envs.make(name), HumanoidEnv)
    assert isinstance(envs.make_vec(name, 1), HumanoidVectorEnv)
    assert f"h1-{task}" in envs.names()
    assert f"fire_rl/h1-{task}-v0" in gym.registry
    assert f"h1-{task}-v0" not in gym.registry, "the bare name is the original's"


def test_a_native_environment_can_be_made_again_from_its_spec():
    spec: Any = envs.make("h1-walk", action_repeat=2).spec
    again: Any = gym.make(spec)
    assert isinstance(again.unwrapped, HumanoidEnv)
    assert again.unwrapped.simulation.action_repeat == 2
    assert gym.envs.registration.EnvSpec.from_json(spec.to_json()) == spec
    fresh: Any = gym.make("fire_rl/h1-walk-v0")
    assert fresh.unwrapped.simulation.action_repeat == 1, "the arguments of one environment must not reach the others"


def test_spec_holds_the_return_that_counts_as_success():
    assert {task: envs.make(f"h1-{task}").spec.reward_threshold for task in TASKS} == {
        "walk": 700, "stand": 800, "run": 700, "reach": 12000, "hurdle": 700, "crawl": 700, "maze": 1200,
        "sit_simple": 750, "sit_hard": 750, "balance_simple": 800, "balance_hard": 800, "stair": 700, "slide": 700,
        "pole": 700,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["h1-walk", "h1-walk-v0", "fire_rl/h1-walk-v0", "humanoid_bench:h1-walk-v0"])
def test_scores_are_normalised_between_a_random_policy_and_success(name):
    assert envs.references(name) == (2.377, 700)
    assert envs.normalised_score(name, 2.377) == 0
    assert envs.normalised_score(name, 700) == 1
    assert envs.normalised_score(name, 351.1885) == pytest.approx(0.5)


def test_the_robot_with_hands_has_references_of_its_own():
    assert envs.references("humanoid_bench:h1hand-reach-v0") == (-50.024, 12000)
    assert set(WITH_HANDS) == set(TASKS)


@pytest.mark.parametrize(
    "name", ["Pendulum-v1", "humanoid_bench:g1-walk-v0", "h1hand-walk", "dmc:walker-walk", "walk", "h1-wlak"]
)
def test_without_references_there_is_no_score(name):
    assert envs.normalised_score(name, 100.0) is None


def test_published_random_returns_are_near_those_measured_here():
    """Recorded with the original on current MuJoCo, fixtures/humanoid_original.npz.

    Not for reach, whose published 260 is far from the -2.5 of 500 episodes measured here: see docs/humanoid.md.
    """
    record = np.load(ROOT / "tests" / "fixtures" / "humanoid_original.npz", allow_pickle=False)
    for task in set(TASKS) - {"reach"}:
        returns = record[f"{task}/random/returns"]
        assert 0.5 < TASKS[task].random_return / returns.mean() < 1.5


def test_a_missing_dependency_is_named(monkeypatch):
    def without_it(*arguments, **settings):
        raise ModuleNotFoundError("No module named 'swig'", name="swig")

    monkeypatch.setattr(gym, "make", without_it)
    with pytest.raises(ValueError, match=r"Pendulum-v1.*'swig'"):
        envs.make("Pendulum-v1")


@pytest.mark.parametrize("make", [envs.make, lambda name: envs.make_vec(name, 2)])
@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("h1-wlak", "h1-walk"), ("h1-walk-v3", "h1-walk"), ("CartPol-v1", "CartPole-v1"), ("walk", "h1-walk")],
)
def test_a_wrong_name_is_refused_in_one_line_with_the_nearest(make, wrong, nearest):
    with pytest.raises(ValueError, match=wrong) as error:
        make(wrong)
    message = str(error.value)
    assert nearest in message
    assert "\n" not in message


@pytest.mark.parametrize("wrong", ["no_such_module:Task-v0", "gymnasium:no_such_task-v0"])
def test_a_module_that_does_not_offer_the_environment_is_named(wrong):
    with pytest.raises(ValueError, match=r"no_such_module', which is missing|no_such_task") as error:
        envs.make(wrong)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("wrong", ["a:b:c", ":Foo-v0", "module:"])
def test_a_name_of_the_wrong_form_is_refused_with_the_right_form(wrong):
    with pytest.raises(ValueError, match="is not of the form module:id"):
        envs.make(wrong)


def test_a_module_registers_its_environment_when_named(tmp_path, monkeypatch):
    (tmp_path / "their_module.py").write_text(
        "import gymnasium\n"
        "from gymnasium.envs.classic_control import PendulumEnv\n"
        "gymnasium.register('Theirs-v0', entry_point=PendulumEnv, max_episode_steps=7)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    vector: Any = envs.make_vec("their_module:Theirs-v0", 2, seed=0)
    assert vector.spec.max_episode_steps == 7
    vector.reset()
    assert [vector.step(np.zeros((2, 1)))[3].all() for _ in range(7)] == [False] * 6 + [True]
    assert envs.make("their_module:Theirs-v0").spec.id == "Theirs-v0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_envs": 0}, "num_envs is 0"),
        ({"num_envs": 2, "action_repeat": 0}, "action_repeat is 0"),
        ({"num_envs": 2, "threads": 0}, "threads is 0"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        envs.make_vec("h1-walk", **arguments)


@pytest.mark.parametrize("name", ["h1-walk", "Pendulum-v1"])
def test_seeds_of_numpys_types_are_accepted_and_other_types_are_refused(name):
    one, other = envs.make(name, seed=np.int64(3)), envs.make(name, seed=3)  # type: ignore[arg-type]
    assert np.array_equal(one.reset()[0], other.reset()[0])
    wrong_seeds: list[Any] = [-1, 2.5]
    for wrong in wrong_seeds:
        with pytest.raises(ValueError, match=f"seed is {wrong}; allowed"):
            envs.make(name, seed=wrong)
        with pytest.raises(ValueError, match=f"seed is {wrong}; allowed"):
            envs.make_vec(name, 2, seed=wrong)


def test_an_unknown_render_mode_is_refused():
    with pytest.raises(ValueError, match="human"):
        envs.make("h1-walk", render_mode="human")


def test_a_repeated_action_sums_rewards_until_the_episode_is_over():
    env: Any = ActionRepeat(gym.make("Pendulum-v1"), 3)
    plain: Any = gym.make("Pendulum-v1")
    env.reset(seed=0)
    plain.reset(seed=0)
    action = np.ones(1, dtype=np.float32)
    for _ in range(66):  # 198 of 200 steps
        total = sum(float(plain.step(action)[1]) for _ in range(3))
        _, reward, _, truncated, _ = env.step(action)
        assert reward == pytest.approx(total)
        assert not truncated
    assert env.step(action)[3], "two steps were left"


def test_missing_meshes_are_reported_with_what_to_install(monkeypatch):
    monkeypatch.setattr(meshes, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"'pelvis' was not found: make setup, or pip install -e '\.\[envs\]'"):
        meshes.mesh_file("pelvis")


def test_a_second_copy_of_the_package_under_a_bare_name_does_no_harm():
    program = (
        "import warnings; warnings.simplefilter('error')\n"
        "import envs, gymnasium\nfrom fire_rl import envs as named\n"
        "assert named.make is not envs.make\n"
        "print(named.make('h1-walk').spec.id, gymnasium.make('fire_rl/h1-walk-v0').spec.id)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert output.stdout.split() == ["fire_rl/h1-walk-v0"] * 2

"""The original HumanoidBench behind its adapter: episodes follow from seeds, vectors equal members, states continue.

These tests use a stand-in package with its quirks. The slow tests use the original itself, where it is installed.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.differences import differences
from fire_rl import envs
from fire_rl.commands.train import train_sac as train
from fire_rl.envs.original import make_original, original_available, package
from fire_rl.training.checkpoint import steps_of
from tests.fixtures.adapter_promises import (
    STAND_IN,
    TASKS,
    actions,
    assert_a_vector_is_its_members,
    assert_an_episode_is_its_seed,
    assert_states_continue,
    episode,
    make,
    make_vec,
    same,
)

ROOT = Path(__file__).parents[1]
TINY = [
    *("--env", "humanoid_bench:h1-maze-v0", "--num-envs", "2", "--learning-starts", "20", "--replay-ratio", "0.5"),
    *("--critic-width", "8", "--actor-width", "8", "--batch-size", "16", "--replay-capacity", "90"),
    *("--eval-every", "100", "--eval-episodes", "1", "--log-every", "50", "--checkpoint-every", "60"),
    *("--threads", "1", "--device", "cpu"),
]
# Kills itself by SIGKILL just before the 70th change of the disk, after some checkpoint.
DYING = """
import os, signal, sys
left = 70
def dying(change):
    def changed(*arguments, **options):
        global left
        left -= 1
        return change(*arguments, **options) if left else os.kill(os.getpid(), signal.SIGKILL)
    return changed
for name in ("fsync", "rename", "replace", "unlink", "link"):
    setattr(os, name, dying(getattr(os, name)))
from fire_rl.training.command_line import main
from fire_rl.commands.train import train_sac as train
main(train, "train_sac.py", sys.argv[1:])
"""
REAL = (
    *("h1-walk", "h1-reach", "h1-maze", "h1-sit_hard", "h1-truck", "h1hand-push", "h1hand-spoon", "h1hand-cube"),
    *("h1hand-bookshelf_hard", "h1hand-package", "h1touch-walk", "g1-basketball", "g1-maze", "h1strong-highbar_hard"),
)


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.syspath_prepend(STAND_IN)


@pytest.mark.parametrize("task", TASKS)
def test_an_episode_follows_from_its_seed(stand_in, task):
    assert_an_episode_is_its_seed(f"h1-{task}")


def test_what_a_task_wrote_into_the_model_is_reset(stand_in):
    env = make("h1-maze", seed=0)
    env.reset()
    colour, gate = env.model.geom_rgba[0].copy(), env.model.body_pos[-1].copy()
    for action in actions(env, 8):
        env.step(action)
    assert not same(env.model.geom_rgba[0], colour)
    env.reset(seed=0)
    assert same(env.model.geom_rgba[0], colour)
    assert same(env.model.body_pos[-1], gate)


@pytest.mark.parametrize("task", ["reach", "sit_hard", "maze"])
def test_it_neither_draws_from_nor_changes_the_global_generator(stand_in, task):
    np.random.seed(3)  # noqa: NPY002
    np.random.normal()  # noqa: NPY002  # leaves the second of a pair
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    first = episode(make(f"h1-{task}", seed=0), 0)
    assert same(np.random.get_state(legacy=False), before)  # noqa: NPY002
    np.random.seed(4)  # noqa: NPY002
    assert same(episode(make(f"h1-{task}", seed=0), 0), first)


def test_a_seed_gives_what_seeding_both_generators_gives_in_the_original(stand_in):
    before = np.random.get_state()  # noqa: NPY002
    original = make_original("sit_hard")
    original.seed(8)
    expected, _ = original.reset(seed=8)
    np.random.set_state(before)  # noqa: NPY002
    assert same(make("h1-sit_hard").reset(seed=8)[0], expected)


@pytest.mark.parametrize("task", TASKS)
def test_a_vector_equals_its_members_whatever_the_threads(stand_in, task):
    assert_a_vector_is_its_members(f"h1-{task}")


def test_a_vectors_answers_have_the_native_ones_form(stand_in):
    """Names, kinds and lengths of all but the reward's parts, in a step with an end and in one without."""
    forms = []
    for vector in (make_vec("h1-walk", 3, seed=0), envs.make_vec("h1-walk", 3, seed=0)):
        vector.reset()
        steps = [vector.step(action) for action in actions(vector, 100)]
        ended = next(step for step in steps if "final_obs" in step[4])
        going_on = next(step for step in steps if "final_obs" not in step[4])
        forms.append([form(ended, ended[4]["final_info"]), form(ended, ended[4]), form(going_on, going_on[4])])
    assert forms[0] == forms[1]


def form(step: Any, infos: Any) -> Any:
    values = {(array.dtype, array.shape) for name, array in infos.items() if "final" not in name and name[0] != "_"}
    masks = {(array.dtype, array.shape) for name, array in infos.items() if name[0] == "_"}
    return [array.dtype for array in step[:4]], {name for name in infos if "final" in name}, values, masks


def test_a_part_that_only_some_have_is_masked(stand_in):
    vector = make_vec("h1-sit_hard", 4, seed=0)
    vector.reset()
    ended = [infos for *_, infos in (vector.step(np.ones((4, 1))) for _ in range(40)) if "final_obs" in infos]
    final = ended[0]["final_info"]
    assert same(final["_terminated_reason"], ended[0]["_final_obs"])
    assert same(final["terminated_reason"], ended[0]["_final_obs"].astype(float))
    assert not ended[0]["_terminated_reason"].any()
    assert not ended[0]["terminated_reason"].any()


@pytest.mark.parametrize("task", TASKS)
def test_a_restored_environment_continues_bit_by_bit(stand_in, task):
    assert_states_continue(f"h1-{task}")


def test_a_restored_vector_continues_bit_by_bit(stand_in):
    vector, other = make_vec("h1-maze", 3, seed=0, threads=2), make_vec("h1-maze", 3, seed=1)
    vector.reset()
    for action in actions(vector, 10):
        vector.step(action)
    vector.members[1].original.task.seen = ["longer", {"than": np.float32(1.5)}, None, float("inf")]
    state = vector.get_state()
    assert all(len(values) == 3 and values.dtype.kind in "fiu" for values in state.values())
    other.set_state(**state)
    assert same(other.members[1].original.task.seen, vector.members[1].original.task.seen)
    assert type(other.members[1].original.task.seen[1]["than"]) is np.float32
    for action in actions(vector, 30, seed=1):
        assert same(vector.step(action), other.step(action))


def test_a_state_that_does_not_fit_is_refused(stand_in):
    env, vector = make("h1-maze", seed=0), make_vec("h1-maze", 2, seed=0)
    state = env.get_state()
    with pytest.raises(ValueError, match="physics has shape"):
        env.set_state(**state | {"physics": state["physics"][1:]})
    with pytest.raises(ValueError, match="model has shape"):
        env.set_state(**state | {"model": state["model"][1:]})
    with pytest.raises(ValueError, match="physics has 3 rows, 2 are needed"):
        vector.set_state(**{name: np.stack([values] * 3) for name, values in state.items()})
    with pytest.raises(ValueError, match="allowed are only resets of all members together"):
        vector.reset(options={"reset_mask": np.array([True, False])})
    env.original.task.secret = object()
    with pytest.raises(TypeError, match="'secret' is a object"):
        env.get_state()


def test_a_state_that_is_refused_leaves_no_member_of_a_vector_half_restored(stand_in):
    vector, saved = make_vec("h1-maze", 2, seed=0), make_vec("h1-maze", 2, seed=1)
    for one in (vector, saved):
        one.reset()
        for action in actions(one, 5):
            one.step(action)
    state = saved.get_state()
    with pytest.raises(ValueError, match="legacy_generator has shape"):
        vector.set_state(**state | {"legacy_generator": state["legacy_generator"][:, 1:]})
    assert vector.get_state()["elapsed_steps"].tolist() == [5, 5], "nothing was changed"
    state["task"][1] = ord("?")
    with pytest.raises(ValueError, match="the state is not one of this task's"):
        vector.set_state(**state)
    assert vector.get_state()["elapsed_steps"].tolist() == [0, 0], "every member begins an episode"


def test_a_resumed_run_equals_an_uninterrupted_one(stand_in, tmp_path, capsys):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train([*TINY, "--steps", "200", "--run-dir", str(whole)]) == 0
    assert train([*TINY, "--steps", "104", "--run-dir", str(parts)]) == 0
    assert train(["--resume", str(parts), "--steps", "200"]) == 0
    assert "has no saved state" not in capsys.readouterr().out
    assert differences(whole, parts) == []


@pytest.mark.slow
def test_a_killed_run_on_it_resumes_exactly(tmp_path):
    start(0, "train_sac.py", *TINY, "--steps", "200", "--run-dir", str(tmp_path / "whole"))
    start(-signal.SIGKILL, "-c", DYING, *TINY, "--steps", "200", "--run-dir", str(tmp_path / "killed"))
    assert 0 < max(steps_of(tmp_path / "killed")) < 200
    start(0, "train_sac.py", "--resume", str(tmp_path / "killed"))
    assert differences(tmp_path / "whole", tmp_path / "killed") == []


def start(code: int, *command: str) -> None:
    variables = os.environ | {"PYTHONPATH": f"{ROOT}:{STAND_IN}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr


original = pytest.mark.skipif(not original_available(), reason="the package humanoid_bench is not importable")


@original
@pytest.mark.slow
@pytest.mark.parametrize("task", REAL)
def test_the_original_keeps_the_promises_for_episodes_vectors_and_states(task):
    assert_an_episode_is_its_seed(task)
    assert_states_continue(task)
    assert_a_vector_is_its_members(task, length=25)


@original
@pytest.mark.slow
@pytest.mark.parametrize("task", ["h1-walk", "h1-sit_hard", "h1hand-push", "g1-maze"])
def test_a_seed_gives_what_seeding_both_generators_gives_in_the_original_itself(task):
    spec = package.spec_of(f"humanoid_bench:{task}")
    bare, env = package.build(spec), make(task)
    before = np.random.get_state()  # noqa: NPY002
    bare.seed(8)
    observation = bare.reset(seed=8)[0]
    np.random.set_state(before)  # noqa: NPY002
    assert same(env.reset(seed=8)[0], observation)
    for action in actions(env, 100):
        theirs, ours = bare.step(action), env.step(action)
        assert same(ours[0], theirs[0])
        assert (ours[1], ours[2]) == (float(theirs[1]), bool(theirs[2]))

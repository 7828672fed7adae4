"""Agreement with the original HumanoidBench: models, rewards, single steps and random returns, from recorded figures.

`tests/fixtures/humanoid_record.py` recorded them. Where the original is installed, it is compared directly too (slow).
"""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from fire_rl import envs
from fire_rl.envs.humanoid import TASKS as OUR_TASKS
from fire_rl.envs.original import make_original, original_available
from tests.fixtures import humanoid_compare, humanoid_record

RECORD = np.load(Path(__file__).parent / "fixtures" / "humanoid_original.npz", allow_pickle=False)
TASKS = tuple(OUR_TASKS)
QUANTITIES = ("head_height", "torso_upright", "center_of_mass_velocity", "actuator_forces")
SENSED = {"imu_position": 3, "pelvis_orientation": 4}  # by some tasks

make: Any = envs.make
make_vec: Any = envs.make_vec


def recorded(task: str, group: str) -> dict[str, Any]:
    prefix = f"{task}/{group}/"
    return {name.removeprefix(prefix): RECORD[name] for name in RECORD.files if name.startswith(prefix)}


def rows(arrays):
    names = list(arrays)
    return [dict(zip(names, values, strict=True)) for values in zip(*arrays.values(), strict=True)]


def judged_at(env, sample):
    """Return quantities, observation, reward and end of the episode in a state, without stepping."""
    simulation, physics, task = env.simulation, env.simulation.physics, env.simulation.task
    env.set_state(sample["qpos"], sample["qvel"], **remembered(sample))
    low, high = env.model.actuator_ctrlrange.T.astype(np.float32)
    env.data.ctrl[:] = (sample["action"] + 1) / 2 * (high - low) + low
    mujoco.mj_forward(env.model, env.data)
    physics.last_readings[0] = env.data.sensordata
    observation = simulation.observations()[0]
    task.keep(physics, np.array([0]))
    outcome = simulation.judge()
    parts = {name: values[0] for name, values in outcome.parts.items()}
    return physics, observation, outcome.rewards[0], outcome.terminated[0], parts


def remembered(sample):
    """Return what the task kept between steps."""
    return {name.removeprefix("memory_"): value for name, value in sample.items() if name.startswith("memory_")}


def assert_model_agrees(task: str, model: mujoco.MjModel, figures: dict[str, Any]) -> None:
    """Compare every recorded figure of the compiled model, except the measured shape of the feet."""
    moving = [body for body in range(1, model.nbody) if model.body_mass[body] > 0 and model.body_dofnum[body] > 0]
    colliding = [geom for geom in range(model.ngeom) if model.geom_contype[geom]]
    feet = [index for index, geom in enumerate(colliding) if "ankle" in model.body(int(model.geom_bodyid[geom])).name]
    assert len(feet) == 2
    assert len(colliding) == len(figures["geom_type"])
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_kinematics(model, data)
    for name, expected in figures.items():
        kind, _, field = name.partition("_")
        if name == "body_tensor":
            continue  # below
        owner = model.opt if kind == "opt" else data if field in ("xpos", "xmat") else model
        ours = getattr(owner, field if kind == "opt" else name)
        if kind == "body":
            ours = ours[moving]
        if kind == "geom":
            ours, expected = ours[colliding].copy(), expected.copy()
            if field in ("xpos", "xmat", "size"):
                ours[feet] = expected[feet] = 0
        # MuJoCo computes how a mesh is centred and turned. The last digits differ between its versions.
        precision = 1e-6 if kind == "geom" else 1e-12
        assert np.asarray(ours) == pytest.approx(expected, rel=precision, abs=precision), f"{task}: {name}"
    tensors = []
    for body in moving:
        turn = np.zeros(9)
        mujoco.mju_quat2Mat(turn, model.body_iquat[body])
        axes = turn.reshape(3, 3)
        tensors.append(axes @ np.diag(model.body_inertia[body]) @ axes.T)
    assert np.array(tensors) == pytest.approx(figures["body_tensor"], rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("task", TASKS)
def test_compiled_model_has_the_originals_figures(task):
    assert_model_agrees(task, make(f"h1-{task}").model, recorded(task, "model"))


@pytest.mark.parametrize("task", sorted(set(TASKS) - {"reach", "sit_hard"}))
def test_equal_seeds_give_equal_starts(task):
    """For reach and sit_hard, the original draws a part from NumPy's global generator, which has no seed of a task."""
    env = make(f"h1-{task}")
    for seed, expected in enumerate(RECORD[f"{task}/starts"]):
        assert np.array_equal(env.reset(seed=seed)[0], expected)


@pytest.mark.parametrize("task", TASKS)
def test_rewards_from_equal_states_are_equal(task):
    env = make(f"h1-{task}")
    samples = rows(recorded(task, "samples"))
    assert np.ptp([sample["reward"] for sample in samples]) > 0.1, "the recorded states must have rewards"
    sensors = {env.model.sensor(index).name for index in range(env.model.nsensor)}
    for sample in samples:
        physics, observation, reward, terminated, parts = judged_at(env, sample)
        expected = np.concatenate((sample["qpos"], sample["qvel"], sample["shown"]))
        assert observation == pytest.approx(expected, rel=1e-9, abs=1e-9)
        for name in QUANTITIES:
            assert getattr(physics, name)[0] == pytest.approx(sample[name], rel=1e-9, abs=1e-9)
        for name in sensors & set(SENSED):
            assert physics.reading(name, SENSED[name])[0] == pytest.approx(sample[name], rel=1e-9, abs=1e-9)
        assert reward == pytest.approx(sample["reward"], abs=1e-9)
        assert terminated == sample["terminated"]
        shared = [name for name in sample if name.startswith("part_")]
        assert {f"part_{name}" for name in parts} == set(shared)
        for name in shared:
            assert parts[name.removeprefix("part_")] == pytest.approx(sample[name], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("task", "part", "values"),
    [
        ("hurdle", "wall_collision_discount", {0.1, 1}),
        ("pole", "collision_discount", {0.1, 1}),
        ("maze", "wall_collision_discount", {0.1, 1}),
        ("maze", "success_subtasks", {0, 1, 2, 3, 4}),
        ("maze", "stage_convert_reward", {0, 100, 200, 300, 400}),
        ("crawl", "in_tunnel", {0, 1}),
        ("reach", "reward_close", {0, 5}),
        ("reach", "reward_success", {0, 10}),
    ],
)
def test_the_recorded_states_include_every_case(task, part, values):
    assert set(RECORD[f"{task}/samples/part_{part}"].tolist()) == values


@pytest.mark.parametrize("task", TASKS)
def test_one_step_leads_as_close_as_contact_allows(task):
    """Without foot contact the step is equal up to rounding. With it, the measured foot makes a small difference."""
    env = make(f"h1-{task}")
    position_errors, reward_errors, ends = [], [], []
    for sample in rows(recorded(task, "samples")):
        if sample["moved"]:  # deep inside an obstacle, a small difference of depth has a large effect
            continue
        env.set_state(sample["qpos"], sample["qvel"], time=0.0, **remembered(sample))
        observation, reward, terminated, *_ = env.step(sample["action"])
        assert observation.shape == sample["next_observation"].shape
        position_errors.append(np.abs(observation - sample["next_observation"])[: env.model.nq].max())
        reward_errors.append(abs(reward - sample["next_reward"]))
        ends.append(terminated == sample["next_terminated"])
    half, most = np.percentile(position_errors, [50, 90])
    assert min(position_errors) < 1e-12
    assert half < 1e-3
    assert most < 5e-3
    assert np.percentile(reward_errors, 90) < 1e-3
    assert all(ends)


def random_returns(task: str, seeds: range) -> tuple[Any, Any]:
    """Return returns and lengths of one episode per seed, side by side, each with its own sequence of actions."""
    vector = make_vec(f"h1-{task}", len(seeds))
    streams = [np.random.default_rng(seed) for seed in seeds]
    vector.reset(seed=list(seeds))
    returns, lengths, running = np.zeros(len(seeds)), np.zeros(len(seeds), dtype=int), np.ones(len(seeds), dtype=bool)
    while running.any():
        actions = np.stack([stream.uniform(-1, 1, 19).astype(np.float32) for stream in streams])
        _, rewards, terminated, truncated, _ = vector.step(actions)
        returns += np.where(running, rewards, 0)
        lengths += running
        running &= ~(terminated | truncated)
    vector.close()
    return returns, lengths


def standard_errors_apart(first, second) -> float:
    combined = np.sqrt(first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second))
    return float(abs(first.mean() - second.mean()) / combined)


@pytest.mark.parametrize(
    "task", [task if task == "walk" else pytest.param(task, marks=pytest.mark.slow) for task in TASKS]
)
def test_a_random_policy_has_the_returns_of_the_original(task):
    """Over 100 episodes. If they differ by more than 4 standard errors, 400 new ones decide."""
    original = recorded(task, "random")
    for chosen, seeds in ((slice(0, 100), range(1000, 1100)), (slice(100, 500), range(2000, 2400))):
        returns, lengths = random_returns(task, seeds)
        apart = standard_errors_apart(returns, original["returns"][chosen])
        if apart <= 4:
            break
    assert apart <= 4
    if task not in ("crawl", "reach"):  # which never end early
        assert standard_errors_apart(lengths, original["lengths"][chosen]) <= 4


@pytest.mark.slow
@pytest.mark.skipif(not original_available(), reason="the package humanoid_bench is not importable")
@pytest.mark.parametrize("task", TASKS)
def test_the_original_itself_agrees(task):
    """200 random steps, each of which both begin from the original's state: rewards and ends from equal states."""
    original, env = make_original(task), make(f"h1-{task}")
    generator = np.random.default_rng(0)
    humanoid_record.begin(original, seed=0)
    for _ in range(200):
        action = generator.uniform(-1, 1, 19).astype(np.float32)
        kept = humanoid_record.memory(original)
        state = original.data.qpos.copy(), original.data.qvel.copy()
        sample = humanoid_record.there(original, *state, action, kept)
        _, observation, reward, terminated, _ = judged_at(
            env, sample | {f"memory_{name}": value for name, value in kept.items()}
        )
        expected = np.concatenate((sample["qpos"], sample["qvel"], sample["shown"]))
        assert observation == pytest.approx(expected, rel=1e-9, abs=1e-9)
        assert reward == pytest.approx(sample["reward"], abs=1e-9)
        assert terminated == sample["terminated"]
        humanoid_record.put(original, *state)
        humanoid_record.recall(original, kept)
        if original.step(action)[2]:
            original.reset()


@pytest.mark.slow
@pytest.mark.skipif(not original_available(), reason="the package humanoid_bench is not importable")
@pytest.mark.parametrize("task", TASKS)
def test_with_the_originals_foot_a_step_leads_to_the_same_state(task):
    """This shows that only the measured shape of the foot makes the difference."""
    _, _, measured, original = humanoid_compare.differences(task)
    assert np.median(original) < 1e-8
    assert np.percentile(original, 75) < np.percentile(measured, 75) / 100
    assert make(f"h1-{task}").model.mesh("left_ankle_link").vertnum == 154, "and ours is back in its place"

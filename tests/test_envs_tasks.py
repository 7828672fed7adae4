"""What single tasks add: goals, stages, their own starts, contacts, and drawings in pictures."""

from typing import Any

import mujoco
import numpy as np
import pytest

from fire_rl import envs
from fire_rl.envs.humanoid import TASKS
from fire_rl.envs.humanoid.tasks.maze import CHECKPOINTS

make: Any = envs.make
make_vec: Any = envs.make_vec
NOTHING = np.zeros(19, dtype=np.float32)


def placed(env, x, y, **rest):
    """Return the robot's start, moved to a place, at rest."""
    qpos = env.model.key_qpos[0].copy()
    qpos[:2] = x, y
    env.set_state(qpos, np.zeros(env.model.nv), **rest)


def test_there_are_the_fourteen_locomotion_tasks():
    assert set(TASKS) == {
        "walk", "stand", "run", "reach", "hurdle", "crawl", "maze", "sit_simple", "sit_hard", "balance_simple",
        "balance_hard", "stair", "slide", "pole",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("task", "size"),
    [("walk", 51), ("reach", 57), ("maze", 51), ("sit_simple", 51), ("sit_hard", 64), ("balance_hard", 77)],
)
def test_observations_have_the_originals_size(task, size):
    assert make(f"h1-{task}").observation_space.shape == (size,)


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_gives_the_same_start_whatever_numpys_global_generator_does(task):
    env = make(f"h1-{task}")
    first, _ = env.reset(seed=3)
    np.random.seed(0)  # noqa: NPY002
    second, _ = env.reset(seed=3)
    other, _ = env.reset(seed=4)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_reach_draws_a_goal_in_the_box_for_every_episode_and_shows_it_with_the_hand():
    env = make("h1-reach", seed=0)
    observations = np.array([env.reset()[0] for _ in range(50)])
    goals, hands = observations[:, 54:], observations[:, 51:54]
    assert (goals >= [-2, -2, 0.2]).all()
    assert (goals <= 2).all()
    assert np.ptp(goals, axis=0).min() > 1
    assert hands[-1] == pytest.approx(env.data.site("left_hand").xpos, abs=1e-12)
    assert np.ptp(hands, axis=0).max() < 0.2, "the hand is where it is at the start, whatever the goal"


def test_reach_rewards_a_hand_at_the_goal():
    env = make("h1-reach", seed=0)
    env.reset()
    hand = env.data.site("left_hand").xpos.copy()
    paid = {}
    for offset in (0.0, 0.5, 1.5):
        env.set_state(env.data.qpos.copy(), np.zeros(env.model.nv), goal=hand + np.array([offset, 0, 0]))
        parts = env.simulation.judge().parts
        paid[offset] = float(parts["reward_close"][0] + parts["reward_success"][0])
    assert paid == {0.0: 15, 0.5: 5, 1.5: 0}


def test_sit_hard_starts_before_the_chair_in_a_random_orientation():
    env = make("h1-sit_hard", seed=0)
    starts = np.array([env.reset()[0] for _ in range(100)])
    x, y, yaw = starts[:, 0], starts[:, 1], 2 * np.arctan2(starts[:, 6], starts[:, 3])
    for values, low, high in ((x, 0.2, 0.4), (y, -0.15, 0.15), (yaw, -1.8, 1.8)):
        assert low <= values.min() < values.max() <= high
        assert np.ptp(values) > 0.8 * (high - low)
    assert np.linalg.norm(starts[:, 3:7], axis=1) == pytest.approx(1, abs=1e-12), "this start is a unit quaternion"
    assert starts[:, 26:29] == pytest.approx(np.tile([-0.25, 0, 0], (100, 1)), abs=0.01)


def test_the_maze_counts_a_stage_at_each_checkpoint_and_rewards_it_once():
    env = make("h1-maze")
    env.reset()
    bonuses = []
    for x, y in CHECKPOINTS:
        placed(env, x, y)
        bonuses += [env.step(NOTHING)[4]["stage_convert_reward"] for _ in range(2)]
    assert bonuses == [100, 0, 200, 0, 300, 0, 400, 0, 0, 0]
    assert env.get_state()["stage"] == 4
    env.reset()
    assert env.get_state()["stage"] == 0


def test_the_bonus_of_a_stage_is_paid_to_the_robot_that_reached_it():
    vector = make_vec("h1-maze", 3, seed=0)
    vector.reset()
    vector.step(np.zeros((3, 19)))
    state = vector.get_state()
    assert state["stage"].tolist() == [1, 1, 1]
    state["qpos"][1, 0] += 3
    vector.set_state(**state)
    _, rewards, _, _, infos = vector.step(np.zeros((3, 19)))
    assert infos["stage_convert_reward"].tolist() == [0, 200, 0]
    assert (rewards > 200).tolist() == [False, True, False]


def test_a_robot_whose_episode_is_over_passes_no_stage_while_the_others_repeat_their_action():
    vector = make_vec("h1-maze", 2, seed=0, action_repeat=4)
    vector.reset()
    state = vector.get_state()
    # At a checkpoint, which counts in the first of four steps. The first robot's time is over after that step.
    state["qpos"][:, :2] = CHECKPOINTS[3]
    state["stage"][:] = 3
    state["elapsed_steps"][0] = 999
    vector.set_state(**state)
    _, rewards, _, truncated, infos = vector.step(np.zeros((2, 19)))
    assert truncated.tolist() == [True, False]
    assert 400 < rewards[0] < 402
    assert 400 < rewards[1] < 405
    assert infos["final_info"]["stage_convert_reward"][0] == 400


@pytest.mark.parametrize(
    ("task", "part", "free", "touching"),
    [
        ("hurdle", "wall_collision_discount", (7.0, 1.0), (3.0, 4.3)),
        ("pole", "collision_discount", (0.5, 2.9), (0.95, 0.75)),
        ("maze", "wall_collision_discount", (0.0, 0.0), (1.0, 0.6)),
    ],
)
def test_touching_an_obstacle_costs_nine_tenths(task, part, free, touching):
    """Contacts on a hurdle, at pole's wall and on the maze's floor cost nothing."""
    env = make(f"h1-{task}")
    discounts = []
    for place in (free, touching):
        placed(env, *place)
        discounts.append(float(env.simulation.judge().parts[part][0]))
        assert env.data.ncon > 0
    assert discounts == [1, 0.1]


@pytest.mark.parametrize("task", ["stair", "slide", "hurdle", "pole", "maze", "crawl"])
def test_obstacles_never_move(task):
    model = make(f"h1-{task}").model
    assert model.nv == 25
    assert model.nbody > 21


def test_markers_are_where_the_task_wants_the_robot():
    reach, maze = make("h1-reach", seed=0), make("h1-maze", seed=0)
    observation, _ = reach.reset()
    (goal,) = reach.simulation.task.markers(reach.simulation.physics)
    assert goal.position == pytest.approx(observation[-3:])
    maze.reset()
    before = maze.simulation.task.markers(maze.simulation.physics)
    assert [marker.position[:2] for marker in before] == [tuple(point) for point in CHECKPOINTS[:4].tolist()]
    maze.step(NOTHING)
    after = maze.simulation.task.markers(maze.simulation.physics)
    assert before[0].rgba != after[0].rgba
    assert after[1].rgba == before[0].rgba, "the next one has the colour that the first had"
    assert make("h1-walk").simulation.task.markers(maze.simulation.physics) == ()


def test_a_chair_has_the_mass_of_its_visible_shape_and_collides_as_two_boxes():
    model = make("h1-sit_hard").model
    chair = model.body("chair").id
    assert model.body_mass[chair] == pytest.approx(15.748)
    boxes = [geom for geom in range(model.ngeom) if model.geom_bodyid[geom] == chair and model.geom_contype[geom]]
    assert len(boxes) == 2
    assert {int(model.geom_type[geom]) for geom in boxes} == {int(mujoco.mjtGeom.mjGEOM_BOX)}

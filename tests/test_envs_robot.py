"""The robot and its tolerances against independent computations."""

import math
from typing import Any

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fire_rl import envs
from fire_rl.envs.humanoid.foot import foot_points
from fire_rl.envs.humanoid.robot import LINKS, PITCH, mirrored
from fire_rl.envs.humanoid.tolerances import at_least, near_zero, rising, within


@pytest.fixture(scope="module")
def model() -> Any:
    env: Any = envs.make("h1-walk")
    return env.model


def test_the_robot_has_its_weight(model):
    assert model.body_mass.sum() == pytest.approx(51.65, abs=0.001)
    assert (model.nq, model.nv, model.nu) == (26, 25, 19)


def test_actions_and_joints_have_the_documented_order(model):
    leg, arm = ["hip_yaw", "hip_roll", "hip_pitch", "knee", "ankle"], ["pitch", "roll", "yaw"]
    sides = [[f"{side}_{joint}" for joint in leg] for side in ("left", "right")]
    arms = [[*(f"{side}_shoulder_{axis}" for axis in arm), f"{side}_elbow"] for side in ("left", "right")]
    expected = [*sides[0], *sides[1], "torso", *arms[0], *arms[1]]
    assert [model.actuator(i).name for i in range(19)] == expected
    assert [model.joint(i).name for i in range(1, 20)] == expected


def test_right_side_mirrors_the_left(model):
    """With mirrored joint angles, every right body is at the mirror image of the left one, inertia included."""
    data = mujoco.MjData(model)
    angles = np.random.default_rng(0).uniform(-0.3, 0.3, 19)
    data.qpos[:] = [0, 0, 1, 1, 0, 0, 0, *angles]
    for link in LINKS:
        if link.name.startswith("left"):
            sign = 1 if link.axis == PITCH else -1
            right = model.joint(mirrored(link).name)
            data.qpos[right.qposadr] = sign * data.qpos[model.joint(link.name).qposadr]
    data.joint("torso").qpos[:] = 0
    mujoco.mj_forward(model, data)
    mirror = np.diag([1.0, -1.0, 1.0])
    for link in LINKS:
        if link.name.startswith("left"):
            left, right = (data.body(f"{side.name}_link") for side in (link, mirrored(link)))
            assert right.xpos == pytest.approx(mirror @ left.xpos, abs=1e-9)
            assert right.xipos == pytest.approx(mirror @ left.xipos, abs=1e-9)
            tensors = [
                turn.reshape(3, 3) @ np.diag(model.body(body.name).inertia) @ turn.reshape(3, 3).T
                for body, turn in ((left, left.ximat), (right, right.ximat))
            ]
            assert tensors[1] == pytest.approx(mirror @ tensors[0] @ mirror, abs=1e-9)
            assert model.body(right.name).mass == model.body(left.name).mass


def test_foot_is_symmetric_convex_and_as_large_as_measured(model):
    points = foot_points()
    assert points.shape == (154, 3)
    assert sorted(map(tuple, points)) == sorted(map(tuple, points * [1, -1, 1]))
    assert points.min(axis=0) == pytest.approx([-0.1, -0.015, -0.07], abs=1e-6)
    assert points.max(axis=0) == pytest.approx([0.2, 0.015, 0.011], abs=1e-6)
    spatial = pytest.importorskip("scipy.spatial")
    hull = spatial.ConvexHull(points)
    assert len(hull.vertices) == len(points), "no point is inside the other hull"
    assert hull.volume == pytest.approx(4.064e-4, rel=0.001)


def test_the_robot_stands_on_its_soles(model):
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    data.ctrl[:] = data.qpos[7:]
    mujoco.mj_step(model, data, 100)
    touching = {model.geom(geom).bodyid[0] for pair in data.contact.geom for geom in pair}
    assert touching == {0, model.body("left_ankle_link").id, model.body("right_ankle_link").id}
    assert data.qpos[2] == pytest.approx(0.96, abs=0.05)


finite = st.floats(-100, 100)
margins = st.floats(0.01, 100)


@given(quantity=finite, bound=finite, margin=margins)
def test_at_least_is_one_from_the_bound_on(quantity, bound, margin):
    tolerance = at_least(bound, margin)
    value = float(tolerance(np.array([quantity]))[0])
    assert 0 <= value <= 1
    assert value == 1 or quantity < bound
    assert tolerance(np.array([bound - margin]))[0] == pytest.approx(0.1)


@given(quantity=finite, low=finite, width=st.floats(0, 50), margin=margins)
def test_within_is_a_gaussian_outside_its_bounds(quantity, low, width, margin):
    distance = max(low - quantity, quantity - (low + width), 0)
    expected = math.exp(-0.5 * (distance / margin * math.sqrt(-2 * math.log(0.1))) ** 2)
    assert within(low, low + width, margin)(np.array([quantity]))[0] == pytest.approx(expected, abs=1e-12)
    if low == -width == 0:
        assert near_zero(margin)(np.array([quantity]))[0] == pytest.approx(expected, abs=1e-12)


@given(quantity=finite, high=finite, margin=margins)
def test_rising_is_the_linear_tolerance(quantity, high, margin):
    expected = max(1 - max(high - quantity, 0) / margin, 0)
    assert rising(high - margin, high)(np.array([quantity]))[0] == pytest.approx(expected, abs=1e-9)

"""The scene of an H1 task: physics options, floor, light, cameras, the robot, then the task's own objects.

Everything is built with `mujoco.MjSpec`. Numbers: HumanoidBench (Sferrazza et al., 2024, arXiv:2403.10506).
"""

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mujoco

from .robot import LINKS, Vector, add_robot
from .sensors import Sensor, add_sensors

PHYSICS_TIMESTEP = 0.002  # seconds; an environment step has ten physics steps
PHYSICS_STEPS = 10
CAMERA = "follow"

# The joint angles at the start of an episode: knees bent; all others are zero.
BENT = {"hip_pitch": -0.4, "knee": 0.8, "ankle": -0.4}

OBJECT_DENSITY = 1000.0  # kg / m^3, of all movable objects
HIDDEN_GROUP = 3  # geoms of groups 0 to 2 are drawn by default

Color = tuple[float, float, float, float]
GREY: Color = (0.7, 0.7, 0.7, 1.0)
PALE: Color = (0.85, 0.85, 0.87, 1.0)
DARK_GREY: Color = (0.3, 0.3, 0.3, 1.0)
BLACK: Color = (0.0, 0.0, 0.0, 1.0)
GLASS: Color = (0.5, 0.5, 0.5, 0.3)
WOOD: Color = (0.76, 0.6, 0.42, 1.0)
RED: Color = (0.8, 0.28, 0.28, 1.0)
GREEN: Color = (0.3, 0.7, 0.3, 1.0)

Boxes = Sequence[tuple[Vector, Vector]]  # centre and half sizes, metres


@dataclass(frozen=True)
class Camera:
    """A camera that follows the robot's centre of mass.

    Its position is relative to the pelvis; `right` and `up` are the picture's axes in world coordinates.
    """

    position: Vector
    right: Vector
    up: Vector


def add_boxes(body: mujoco.MjsBody, boxes: Boxes, color: Color, **attributes: object) -> None:
    """Add boxes of one colour to a body, in order."""
    for center, half_sizes in boxes:
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, pos=center, size=half_sizes, rgba=color, **attributes)


def start_position(pelvis: Vector) -> tuple[float, ...]:
    """Return the robot's 26 generalised positions at the start: pelvis position and quaternion, then the joints."""
    joints = (BENT.get(link.name.removeprefix("left_").removeprefix("right_"), 0.0) for link in LINKS)
    return (*pelvis, 1.0, 0.0, 0.0, 0.0, *joints)


def compile_scene(
    start: tuple[float, ...], furnish: Callable[[mujoco.MjSpec], None], sensors: tuple[Sensor, ...], camera: Camera
) -> mujoco.MjModel:
    """Return a new model of the robot in its scene; `start` becomes keyframe 0, `furnish` adds the task's objects."""
    # Compiling the robot's meshes takes most of a second, copying a model 30 ms. So each process compiles a scene once.
    return copy.copy(_compiled(start, furnish, sensors, camera))


def forget_compiled() -> None:
    """Forget all compiled models; needed after a change to the description of the robot or of a scene."""
    _compiled.cache_clear()


@functools.cache
def _compiled(
    start: tuple[float, ...], furnish: Callable[[mujoco.MjSpec], None], sensors: tuple[Sensor, ...], camera: Camera
) -> mujoco.MjModel:
    spec = mujoco.MjSpec()
    _set_options(spec)
    _add_surroundings(spec)
    add_robot(spec)
    _add_light(spec.body("pelvis"))
    _add_camera(spec.body("pelvis"), camera)
    furnish(spec)
    add_sensors(spec, sensors)
    spec.add_key(name="start", qpos=start)
    return spec.compile()


def _set_options(spec: mujoco.MjSpec) -> None:
    spec.modelname = "h1"
    spec.compiler.degree = False
    spec.option.timestep = PHYSICS_TIMESTEP
    spec.option.solver = mujoco.mjtSolver.mjSOL_NEWTON
    spec.option.iterations = 100
    spec.option.ls_iterations = 50
    spec.visual.headlight.diffuse = (0.4, 0.4, 0.4)
    spec.visual.headlight.ambient = (0.25, 0.25, 0.25)
    spec.visual.headlight.specular = (0.2, 0.2, 0.2)
    spec.stat.extent = 2  # metres; shadows are computed within this range, which a long tunnel must not enlarge
    spec.visual.global_.offwidth = 1280
    spec.visual.global_.offheight = 960


def _add_surroundings(spec: mujoco.MjSpec) -> None:
    spec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=(0.9, 0.9, 0.9), rgb2=(0.9, 0.9, 0.9), width=100, height=100,
    )  # fmt: skip
    spec.add_texture(
        name="tiles", type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        mark=mujoco.mjtMark.mjMARK_EDGE, markrgb=(0.7, 0.7, 0.7),
        rgb1=(0.9, 0.9, 0.9), rgb2=(0.9, 0.9, 0.9), width=100, height=100,
    )  # fmt: skip
    tiles = spec.add_material(name="tiles", texrepeat=(20, 20), shininess=1)
    tiles.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "tiles"
    spec.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(20, 20, 1), material="tiles")


def _add_light(pelvis: mujoco.MjsBody) -> None:
    """Add a light straight above that follows the robot, because shadows are computed only near the light."""
    pelvis.add_light(
        mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM, type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, pos=(0, 0, 9),
        dir=(0, 0, -1), ambient=(0.1, 0.1, 0.1), diffuse=(0.5, 0.5, 0.5), specular=(0.3, 0.3, 0.3),
    )  # fmt: skip


def _add_camera(pelvis: mujoco.MjsBody, camera: Camera) -> None:
    added = pelvis.add_camera(name=CAMERA, mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM, pos=camera.position)
    added.alt.type = mujoco.mjtOrientation.mjORIENTATION_XYAXES
    added.alt.xyaxes = (*camera.right, *camera.up)

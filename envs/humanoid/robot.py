"""Unitree's H1 as HumanoidBench simulates it: 19 position-controlled hinges on a floating pelvis, 51.65 kg.

The middle and the left side are listed; the right side is the mirror image of the left in the x-z plane.
Numbers: HumanoidBench (Sferrazza et al., 2024, arXiv:2403.10506), robot file of the plain H1, MIT license.
"""

from dataclasses import dataclass, replace

import mujoco

from .foot import foot_points
from .meshes import mesh_file

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]

UNTURNED: Quaternion = (1.0, 0.0, 0.0, 0.0)
YAW: Vector = (0.0, 0.0, 1.0)
ROLL: Vector = (1.0, 0.0, 0.0)
PITCH: Vector = (0.0, 1.0, 0.0)

JOINT_DAMPING = 1.0  # N m s / rad, every hinge
JOINT_ARMATURE = 0.1  # kg m^2, every hinge: the rotor's inertia
REFERENCE_HEIGHT = 2.7  # metres
VISIBLE_GROUP = 2  # geoms of groups 0 to 2 are drawn by default
INK = (0.25, 0.25, 0.27, 1.0)


@dataclass(frozen=True)
class Motor:
    """Position control: torque = stiffness (target - angle) - damping * velocity, clipped to +-torque."""

    stiffness: float
    damping: float
    torque: float


HIP = Motor(200, 5, 200)
KNEE = Motor(300, 6, 300)
ANKLE = Motor(40, 2, 40)
WAIST = Motor(300, 6, 200)
SHOULDER = Motor(100, 2, 40)
FOREARM = Motor(100, 2, 18)


@dataclass(frozen=True)
class Inertia:
    """Mass in kg, centre of mass and principal axes in the link's frame, principal moments in kg m^2."""

    mass: float
    center: Vector
    axes: Quaternion
    moments: Vector


@dataclass(frozen=True)
class Link:
    """One rigid link and its hinge. The body is called `<name>_link`, the joint and the actuator `<name>`."""

    name: str
    parent: str
    position: Vector
    axis: Vector
    range: tuple[float, float]
    motor: Motor
    inertia: Inertia
    orientation: Quaternion = UNTURNED


PELVIS = Inertia(
    5.39, (-0.0002, 4e-05, -0.04522), (0.498303, 0.499454, -0.500496, 0.501741), (0.0490211, 0.0445821, 0.00824619)
)

TORSO = Link(
    "torso", "pelvis", (0, 0, 0), YAW, (-2.35, 2.35), WAIST,
    Inertia(17.789, (0.000489, 0.002797, 0.20484), (0.999989, -0.00130808, -0.00282289, -0.00349105),
            (0.487315, 0.409628, 0.127837)),
)  # fmt: skip

LEFT_LEG = (
    Link(
        "left_hip_yaw", "pelvis", (0, 0.0875, -0.1742), YAW, (-0.43, 0.43), HIP,
        Inertia(2.244, (-0.04923, 0.0001, 0.0072), (0.69699, 0.219193, 0.233287, 0.641667),
                (0.00304494, 0.00296885, 0.00189201)),
    ),
    Link(
        "left_hip_roll", "left_hip_yaw_link", (0.039468, 0, 0), ROLL, (-0.43, 0.43), HIP,
        Inertia(2.232, (-0.0058, -0.00319, -9e-05), (0.0438242, 0.70721, -0.0729075, 0.701867),
                (0.00243264, 0.00225325, 0.00205492)),
    ),
    Link(
        "left_hip_pitch", "left_hip_roll_link", (0, 0.11536, 0), PITCH, (-3.14, 2.53), HIP,
        Inertia(4.152, (0.00746, -0.02346, -0.08193), (0.979828, 0.0513522, -0.0169854, -0.192382),
                (0.0829503, 0.0821457, 0.00510909)),
    ),
    Link(
        "left_knee", "left_hip_pitch_link", (0, 0, -0.4), PITCH, (-0.26, 2.05), KNEE,
        Inertia(1.721, (-0.00136, -0.00512, -0.1384), (0.626132, -0.034227, -0.0416277, 0.777852),
                (0.0125237, 0.0123104, 0.0019428)),
    ),
    Link(
        "left_ankle", "left_knee_link", (0, 0, -0.4), PITCH, (-0.87, 0.52), ANKLE,
        Inertia(0.552448, (0.048568, 0, -0.045609), (0.489385, 0.510394, 0.510394, 0.489385),
                (0.00362, 0.00355701, 0.000149987)),
    ),
)  # fmt: skip

LEFT_ARM = (
    Link(
        "left_shoulder_pitch", "torso_link", (0.0055, 0.15535, 0.42999), PITCH, (-2.87, 2.87), SHOULDER,
        Inertia(1.033, (0.005045, 0.053657, -0.015715), (0.814858, 0.579236, -0.0201072, -0.00936488),
                (0.00129936, 0.000987113, 0.000858198)),
        orientation=(0.976296, 0.216438, 0, 0),
    ),
    Link(
        "left_shoulder_roll", "left_shoulder_pitch_link", (-0.0055, 0.0565, -0.0165), ROLL, (-0.34, 3.11), SHOULDER,
        Inertia(0.793, (0.000679, 0.00115, -0.094076), (0.732491, 0.00917179, 0.0766656, 0.676384),
                (0.00170388, 0.00158256, 0.00100336)),
        orientation=(0.976296, -0.216438, 0, 0),
    ),
    Link(
        "left_shoulder_yaw", "left_shoulder_roll_link", (0, 0, -0.1343), YAW, (-1.3, 4.45), FOREARM,
        Inertia(0.839, (0.01365, 0.002767, -0.16266), (0.703042, -0.0331229, -0.0473362, 0.708798),
                (0.00408038, 0.00370367, 0.000622687)),
    ),
    Link(
        "left_elbow", "left_shoulder_yaw_link", (0.0185, 0, -0.198), PITCH, (-1.25, 2.61), FOREARM,
        Inertia(0.669, (0.15908, -0.000144, -0.015776), (0.0765232, 0.720327, 0.0853116, 0.684102),
                (0.00601829, 0.00600579, 0.000408305)),
    ),
)  # fmt: skip


def mirrored(link: Link) -> Link:
    """Return the link's right-hand counterpart: y becomes -y, and rotations about x and z change their sign."""
    low, high = link.range
    center, axes = _mirrored_vector(link.inertia.center), _mirrored_turn(link.inertia.axes)
    return replace(
        link,
        name=link.name.replace("left", "right"),
        parent=link.parent.replace("left", "right"),
        position=_mirrored_vector(link.position),
        orientation=_mirrored_turn(link.orientation),
        range=(low, high) if link.axis == PITCH else (-high, -low),
        inertia=replace(link.inertia, center=center, axes=axes),
    )


def _mirrored_vector(vector: Vector) -> Vector:
    x, y, z = vector
    return (x, -y, z)


def _mirrored_turn(quaternion: Quaternion) -> Quaternion:
    w, x, y, z = quaternion
    return (w, -x, y, -z)


# The order of the joints and of the actions.
LINKS: tuple[Link, ...] = (*LEFT_LEG, *map(mirrored, LEFT_LEG), TORSO, *LEFT_ARM, *map(mirrored, LEFT_ARM))

SITES: dict[str, tuple[str, Vector]] = {  # name: (body, position)
    "head": ("torso_link", (0, 0, 0.7)),
    "imu": ("torso_link", (-0.04452, -0.01891, 0.27756)),
    "left_foot": ("left_ankle_link", (0, 0, -0.05)),
    "right_foot": ("right_ankle_link", (0, 0, -0.05)),
    "left_hand": ("left_elbow_link", (0.31, 0, -0.01)),
    "right_hand": ("right_elbow_link", (0.31, 0, -0.01)),
}


def add_robot(spec: mujoco.MjSpec) -> None:
    """Add the robot, its motors and its sites to a scene.

    Its reference position is in the air; MuJoCo resets the robot to it if the simulation diverges.
    """
    pelvis = spec.worldbody.add_body(name="pelvis", pos=(0, 0, REFERENCE_HEIGHT))
    pelvis.add_freejoint(name="root")
    _weigh(pelvis, PELVIS)
    _add_mesh(spec, pelvis, "pelvis")
    bodies = {"pelvis": pelvis}
    for link in LINKS:
        bodies[f"{link.name}_link"] = _add_link(spec, bodies[link.parent], link)
    for name, (body, position) in SITES.items():
        bodies[body].add_site(name=name, pos=position, size=(0.01, 0.01, 0.01), group=4)


def _add_link(spec: mujoco.MjSpec, parent: mujoco.MjsBody, link: Link) -> mujoco.MjsBody:
    body = parent.add_body(name=f"{link.name}_link", pos=link.position, quat=link.orientation)
    _weigh(body, link.inertia)
    body.add_joint(
        name=link.name,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=link.axis,
        range=link.range,
        damping=JOINT_DAMPING,
        armature=JOINT_ARMATURE,
    )
    if link.name.endswith("hip_yaw"):
        _add_hip_cylinder(body)
    elif link.name.endswith("ankle"):
        spec.add_mesh(name=body.name, uservert=foot_points().ravel())
        _add_geom(body, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=body.name)
    else:
        _add_mesh(spec, body, body.name)
    motor = spec.add_actuator(
        name=link.name,
        target=link.name,
        trntype=mujoco.mjtTrn.mjTRN_JOINT,
        ctrlrange=link.range,
        forcerange=(-link.motor.torque, link.motor.torque),
    )
    motor.set_to_position(kp=link.motor.stiffness, kv=link.motor.damping)
    return body


def _weigh(body: mujoco.MjsBody, inertia: Inertia) -> None:
    body.explicitinertial = True
    body.mass = inertia.mass
    body.ipos = inertia.center
    body.iquat = inertia.axes
    body.inertia = inertia.moments


def _add_mesh(spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str) -> None:
    spec.add_mesh(name=name, file=str(mesh_file(name)))
    _add_geom(body, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name)


def _add_hip_cylinder(body: mujoco.MjsBody) -> None:
    """Add the hip's housing, which is a cylinder along x for collisions."""
    _add_geom(
        body,
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=(0.06, 0.035, 0),
        pos=(-0.067, 0, 0),
        quat=(0.707123, 0, 0.70709, 0),
    )


def _add_geom(body: mujoco.MjsBody, **shape: object) -> None:
    """Add a geom that collides and is drawn; it has no mass, because every link's inertia is given."""
    body.add_geom(mass=0, density=0, group=VISIBLE_GROUP, rgba=INK, **shape)

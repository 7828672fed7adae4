"""The physical quantities that a scene's model reports as MuJoCo sensors: one row of numbers per robot and step.

MuJoCo evaluates sensors inside the last physics step of an environment step. Gymnasium's `MujocoEnv` reads body and
site positions of the same moment, so rewards computed from sensors are equal to the original's.
"""

from dataclasses import dataclass

import mujoco

from .robot import LINKS

SITE = mujoco.mjtObj.mjOBJ_SITE
BODY = mujoco.mjtObj.mjOBJ_BODY
LINK_FRAME = mujoco.mjtObj.mjOBJ_XBODY  # the body's own frame, not its principal axes
GEOM = mujoco.mjtObj.mjOBJ_GEOM
ACTUATOR = mujoco.mjtObj.mjOBJ_ACTUATOR


@dataclass(frozen=True)
class Sensor:
    """One declared quantity: what is measured, on which object, and for contacts with which other object."""

    name: str
    kind: mujoco.mjtSensor
    object_kind: mujoco.mjtObj
    object: str
    other: str | None = None


# The sensors of every task.
ROBOT_SENSORS: tuple[Sensor, ...] = (
    Sensor("head_position", mujoco.mjtSensor.mjSENS_FRAMEPOS, SITE, "head"),
    Sensor("torso_z_axis", mujoco.mjtSensor.mjSENS_FRAMEZAXIS, LINK_FRAME, "torso_link"),
    Sensor("center_of_mass_velocity", mujoco.mjtSensor.mjSENS_SUBTREELINVEL, BODY, "pelvis"),
    *(Sensor(f"{link.name}_force", mujoco.mjtSensor.mjSENS_ACTUATORFRC, ACTUATOR, link.name) for link in LINKS),
)


# Sensors that some tasks add. They are not part of every task, because each sensor is evaluated in every physics step.
def site_position(site: str) -> Sensor:
    """Return the sensor `<site>_position`: the position of a site, metres."""
    return Sensor(f"{site}_position", mujoco.mjtSensor.mjSENS_FRAMEPOS, SITE, site)


def body_position(body: str) -> Sensor:
    """Return the sensor `<body>_position`: the position of a body's frame, metres."""
    return Sensor(f"{body}_position", mujoco.mjtSensor.mjSENS_FRAMEPOS, LINK_FRAME, body)


IMU_POSITION = site_position("imu")
PELVIS_ORIENTATION = Sensor("pelvis_orientation", mujoco.mjtSensor.mjSENS_FRAMEQUAT, LINK_FRAME, "pelvis")
PELVIS_Z_AXIS = Sensor("pelvis_z_axis", mujoco.mjtSensor.mjSENS_FRAMEZAXIS, LINK_FRAME, "pelvis")


def geom_contacts(name: str, geom: str, other: str | None = None) -> Sensor:
    """Return a sensor that counts the contacts of a geom: with the other geom, or with anything if none is given."""
    return Sensor(name, mujoco.mjtSensor.mjSENS_CONTACT, GEOM, geom, other)


def body_contacts(name: str, body: str) -> Sensor:
    """Return a sensor that counts all contacts of a body's geoms."""
    return Sensor(name, mujoco.mjtSensor.mjSENS_CONTACT, BODY, body)


def add_sensors(spec: mujoco.MjSpec, sensors: tuple[Sensor, ...]) -> None:
    """Declare the sensors in the scene, in order."""
    for sensor in sensors:
        declared = spec.add_sensor(
            name=sensor.name, type=sensor.kind, objtype=sensor.object_kind, objname=sensor.object
        )
        if sensor.kind == mujoco.mjtSensor.mjSENS_CONTACT:
            declared.intprm = [1 << int(mujoco.mjtConDataField.mjCONDATA_FOUND), 0, 1]
            if sensor.other is not None:
                declared.reftype = GEOM
                declared.refname = sensor.other

"""Which physical quantities a scene's model reports, as MuJoCo sensors: one row of numbers per environment and step.

MuJoCo evaluates sensors inside the last physics step of an environment step, which is the moment at which
Gymnasium's `MujocoEnv` reads its body and site positions; so rewards computed from them mean the same.
"""

from __future__ import annotations

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
    """One declared quantity: what is measured on which object, and against which other one for contacts."""

    name: str
    kind: mujoco.mjtSensor
    object_kind: mujoco.mjtObj
    object: str
    other: str | None = None


# What every task reads.
ROBOT_SENSORS: tuple[Sensor, ...] = (
    Sensor("head_position", mujoco.mjtSensor.mjSENS_FRAMEPOS, SITE, "head"),
    Sensor("torso_z_axis", mujoco.mjtSensor.mjSENS_FRAMEZAXIS, LINK_FRAME, "torso_link"),
    Sensor("center_of_mass_velocity", mujoco.mjtSensor.mjSENS_SUBTREELINVEL, BODY, "pelvis"),
    *(Sensor(f"{link.name}_force", mujoco.mjtSensor.mjSENS_ACTUATORFRC, ACTUATOR, link.name) for link in LINKS),
)


# What some tasks add to it; each sensor costs its evaluation in every physics step.
def site_position(site: str) -> Sensor:
    """`<site>_position`: where a site is, metres."""
    return Sensor(f"{site}_position", mujoco.mjtSensor.mjSENS_FRAMEPOS, SITE, site)


def body_position(body: str) -> Sensor:
    """`<body>_position`: where a body's frame is, metres."""
    return Sensor(f"{body}_position", mujoco.mjtSensor.mjSENS_FRAMEPOS, LINK_FRAME, body)


IMU_POSITION = site_position("imu")
PELVIS_ORIENTATION = Sensor("pelvis_orientation", mujoco.mjtSensor.mjSENS_FRAMEQUAT, LINK_FRAME, "pelvis")
PELVIS_Z_AXIS = Sensor("pelvis_z_axis", mujoco.mjtSensor.mjSENS_FRAMEZAXIS, LINK_FRAME, "pelvis")


def geom_contacts(name: str, geom: str, other: str | None = None) -> Sensor:
    """How many contacts the geom has: with the other geom, or with anything."""
    return Sensor(name, mujoco.mjtSensor.mjSENS_CONTACT, GEOM, geom, other)


def body_contacts(name: str, body: str) -> Sensor:
    """How many contacts the geoms of a body have, with anything."""
    return Sensor(name, mujoco.mjtSensor.mjSENS_CONTACT, BODY, body)


def add_sensors(spec: mujoco.MjSpec, sensors: tuple[Sensor, ...]) -> None:
    """Declares the sensors, in order."""
    for sensor in sensors:
        declared = spec.add_sensor(
            name=sensor.name, type=sensor.kind, objtype=sensor.object_kind, objname=sensor.object
        )
        if sensor.kind == mujoco.mjtSensor.mjSENS_CONTACT:
            declared.intprm = [1 << int(mujoco.mjtConDataField.mjCONDATA_FOUND), 0, 1]
            if sensor.other is not None:
                declared.reftype = GEOM
                declared.refname = sensor.other

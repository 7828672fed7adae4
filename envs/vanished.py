"""A gap between older packages and MuJoCo 4: array fields that it no longer has."""

from __future__ import annotations

import mujoco


def forget_vanished_fields(array_sizes: dict[str, dict[str, object]]) -> None:
    """Takes them off dm_control's list of fields (HumanoidBench holds a copy of it): what is listed there is read."""
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    for table, owner in (("mjmodel", model), ("mjdata", mujoco.MjData(model))):
        for field in [field for field in array_sizes[table] if not hasattr(owner, field)]:
            del array_sizes[table][field]

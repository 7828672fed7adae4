"""Make packages for older versions of MuJoCo work with MuJoCo 4, which no longer has some array fields."""

import mujoco


def forget_vanished_fields(array_sizes: dict[str, dict[str, object]]) -> None:
    """Remove the missing fields from dm_control's table of fields, or from HumanoidBench's copy of it.

    The packages read every field in the table, and would fail at a missing one.
    """
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    for table, owner in (("mjmodel", model), ("mjdata", mujoco.MjData(model))):
        for field in [field for field in array_sizes[table] if not hasattr(owner, field)]:
            del array_sizes[table][field]

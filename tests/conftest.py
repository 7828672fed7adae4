"""What holds for every test."""

import mujoco
import pytest
from hypothesis import settings

# Machines that run several things at once are slow now and then; that is no failure. Examples are the same in each run.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def graphics() -> str:
    """The library that draws here; skips what needs one where none works."""
    from envs.graphics import library, open_canvas

    try:
        name = library()
        context, canvas = open_canvas(mujoco.MjModel.from_xml_string("<mujoco/>"), 16, 16)
    except RuntimeError as error:
        pytest.skip(str(error))
    del canvas
    context.free()
    return name

"""Pictures without a screen and without settings, and one line where nothing can draw them."""

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from fire_rl import envs
from fire_rl.envs.graphics import announce
from fire_rl.envs.rendering import Marker, Renderer

ROOT = Path(__file__).parent.parent
BALL = """<mujoco>
  <visual><global offwidth="32" offheight="32"/><quality shadowsize="16384"/></visual>
  <worldbody>
    <light pos="0 -3 3"/> <camera name="front" pos="0 -5 0" xyaxes="1 0 0 0 0 1"/>
    <body> <freejoint/> <geom size="1" rgba="1 0 0 1"/> </body>
  </worldbody>
</mujoco>"""
MAKE = "from fire_rl import envs; import sys; e = envs.make('h1-walk', seed=0, render_mode='rgb_array'); e.reset();"
# PyOpenGL behaves so where neither library is installed.
HIDE = """import ctypes
real = ctypes.CDLL.__init__
def load(self, name, *arguments, **options):
    if name and ("EGL" in name or "OSMesa" in name):
        raise OSError(name)
    real(self, name, *arguments, **options)
ctypes.CDLL.__init__ = load
"""


def ball() -> tuple[mujoco.MjModel, mujoco.MjData]:
    model = mujoco.MjModel.from_xml_string(BALL)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def child(code: str, **variables: str) -> tuple[str, str]:
    """Return what a Python process prints without a screen and without our settings."""
    ours = ("MUJOCO_GL", "PYOPENGL_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY")
    environment = {name: value for name, value in os.environ.items() if name not in ours} | variables
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.stdout.strip(), done.stderr.strip()


@pytest.mark.usefixtures("graphics")
def test_a_robot_and_its_movement_are_visible():
    env: Any = envs.make("h1-walk", seed=0, render_mode="rgb_array")
    env.reset()
    first = env.render()
    assert first.shape == (360, 480, 3)
    assert first.dtype == np.uint8
    assert first.min() < 80 < 190 < first.max(), "a dark robot on a bright floor"
    assert np.array_equal(env.render(), first)
    for _ in range(5):
        env.step(np.ones(19, dtype=np.float32))
    assert (np.abs(env.render().astype(int) - first) > 50).any(axis=-1).sum() > 500
    env.close()
    env.close()  # closing a second time does no harm


@pytest.mark.usefixtures("graphics")
def test_the_camera_follows_the_robot():
    env: Any = envs.make("h1-walk", seed=0, render_mode="rgb_array")
    env.reset()

    def middle_of_the_robot() -> float:
        picture = env.render()
        return float(np.nonzero((picture < 100).all(axis=-1))[1].mean()) / picture.shape[1]

    before = middle_of_the_robot()
    qpos = env.data.qpos.copy()
    qpos[:2] += 3.3
    env.set_state(qpos, env.data.qvel)
    assert abs(middle_of_the_robot() - before) < 0.03, "3 m away, and still in the middle of the picture"
    env.close()


@pytest.mark.usefixtures("graphics")
def test_a_marker_is_drawn_in_its_colour_and_only_when_asked_for():
    model, data = ball()
    renderer = Renderer(model, "front", width=64, height=48)
    without = renderer.draw(data)
    marked = renderer.draw(data, [Marker((-1.5, 0, 0.5), 0.3, (0, 1, 0, 1)), Marker((1.5, 0, 0.5), 0.3, (0, 0, 1, 1))])
    green, blue = (np.argwhere(marked[..., colour] > marked.sum(-1) // 2 + 20) for colour in (1, 2))
    assert len(green) > 10
    assert len(blue) > 10
    assert green[:, 1].max() < 32 < blue[:, 1].min(), "left and right of the middle"
    assert green[:, 0].max() < 24, "above it"
    assert np.array_equal(renderer.draw(data), without)
    renderer.close()


@pytest.mark.usefixtures("graphics")
def test_a_picture_has_the_requested_size_whatever_the_model_says():
    model, data = ball()
    for camera in ("front", 0, -1):
        renderer = Renderer(model, camera, width=101, height=67)
        drawn = renderer.draw(data)
        assert drawn.shape == (67, 101, 3)
        assert (drawn[..., 0] > drawn[..., 1] + 50).sum() > 200, "a red ball"
        renderer.close()
    assert model.vis.quality.shadowsize == 16384, "the model is left as it was"


@pytest.mark.usefixtures("graphics")
@pytest.mark.parametrize("camera", ["behind", 1, -2])
def test_an_unknown_camera_is_refused(camera: str | int):
    with pytest.raises(ValueError, match=f"no camera {camera!r}; its cameras: front"):
        Renderer(ball()[0], camera)


@pytest.mark.usefixtures("graphics")
def test_several_pictures_are_drawn_in_turn_and_closed_in_any_order():
    model, data = ball()
    renderers = [Renderer(model, "front", width=48 + 16 * size, height=48) for size in range(3)]
    first = [renderer.draw(data) for renderer in renderers]
    for index in (1, 0, 2):
        assert all(np.array_equal(renderers[other].draw(data), first[other]) for other in range(index, 3) if other != 1)
        renderers[index].close()
    with pytest.raises(RuntimeError, match="closed"):
        renderers[1].draw(data)


@pytest.mark.usefixtures("graphics")
def test_a_forgotten_picture_is_freed():
    model, data = ball()
    renderer = Renderer(model, "front", width=16, height=16)
    renderer.draw(data)
    canvas = weakref.ref(renderer._canvas)
    del renderer
    gc.collect()
    assert canvas() is None


@pytest.mark.usefixtures("graphics")
def test_nothing_needs_to_be_set_and_the_interpreter_ends_without_a_message():
    said, complained = child(f"{MAKE} print(e.render().std() > 5)")
    assert said == "True"
    assert "Traceback" not in complained
    assert "ignored" not in complained, "no message when the interpreter ends"


def test_graphics_are_not_imported_where_nothing_is_drawn():
    said, _ = child(f"{MAKE} e.step(e.action_space.sample()); print('OpenGL' in sys.modules)")
    assert said == "False"


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        (
            {"PYOPENGL_PLATFORM": "neither"},
            "neither EGL nor OSMesa works: install one (Debian, Ubuntu: apt-get install",
        ),
        ({"MUJOCO_GL": "egl"}, "egl fails (AttributeError): unset MUJOCO_GL, or install one"),
        ({"MUJOCO_GL": "osmesa"}, "osmesa fails (AttributeError): unset MUJOCO_GL, or install one"),
        ({"MUJOCO_GL": "disable"}, "MUJOCO_GL=disable switches pictures off; unset it"),
        ({"MUJOCO_GL": "elg"}, "MUJOCO_GL=elg is not known; allowed are egl, osmesa and glfw, or unset it"),
    ],
)
def test_where_nothing_draws_one_line_says_what_to_do_and_the_rest_works(variables: dict[str, str], complaint: str):
    code = f"{HIDE}{MAKE} e.step(e.action_space.sample()); print('stepped'); e.render()"
    said, complained = child(code, **variables)
    assert said == "stepped"
    assert complained.splitlines()[-1].startswith("RuntimeError: ")
    assert complaint in complained.splitlines()[-1]


def test_renderers_of_other_packages_get_the_library_that_works(monkeypatch: pytest.MonkeyPatch, graphics: str):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    announce()
    assert os.environ["MUJOCO_GL"] == graphics
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    announce()
    assert os.environ["MUJOCO_GL"] == "osmesa", "a choice of the user stays"


def test_pictures_of_several_packages_do_not_disturb_each_other(graphics):
    cheetah, walk = (
        envs.make("HalfCheetah-v5", seed=0, render_mode="rgb_array"),
        envs.make("h1-walk", render_mode="rgb_array"),
    )
    cheetah.reset()
    walk.reset(seed=0)
    first: Any = cheetah.render()
    assert first.max() > 0
    assert walk.render() is not None
    assert np.array_equal(np.asarray(cheetah.render()), first)
    walk.close()
    assert np.array_equal(np.asarray(cheetah.render()), first)


def test_gymnasiums_tasks_say_in_one_line_that_nothing_draws(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    with pytest.raises(
        ValueError, match="'Hopper-v5' cannot be drawn: MUJOCO_GL=disable switches pictures off"
    ) as caught:
        envs.make("Hopper-v5", render_mode="rgb_array")
    assert "\n" not in str(caught.value)

"""The OpenGL library that draws pictures: the one that MUJOCO_GL names, or else the first that works.

The library is looked for only when it is needed. MuJoCo chooses by MUJOCO_GL at its first import, and expects a screen
without it. PyOpenGL keeps the first library that it loads, working or not, so each library is tried in a process of its
own.
"""

import contextlib
import functools
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

VARIABLE = "MUJOCO_GL"
OFF = ("disable", "disabled", "off", "false", "0")
ANY = ("", "enable", "enabled", "on", "true", "1")
SCREEN, NO_SCREEN = ("glfw",), ("egl", "osmesa")
ADVICE = "install one (Debian, Ubuntu: apt-get install libosmesa6, or libegl1 libopengl0 libgl1-mesa-dri)"
TRIAL = "import mujoco; mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 16, 16).render()"
TRIAL_SECONDS = 30
SHADOW_LINES = 2048


def _imported_mujoco() -> Any:
    """Import MuJoCo even if the library that MUJOCO_GL names is missing: without it there are no pictures, but training
    must work."""
    try:
        return importlib.import_module("mujoco")
    except Exception:
        if VARIABLE not in os.environ:
            raise
        wanted = os.environ.pop(VARIABLE)
        try:
            return importlib.import_module("mujoco")
        finally:
            os.environ[VARIABLE] = wanted


mujoco = _imported_mujoco()


def library() -> str:
    """Return `egl`, `osmesa` or `glfw`; raise RuntimeError in one line if no pictures can be drawn."""
    wanted = os.environ.get(VARIABLE, "").lower().strip()
    if wanted in OFF:
        raise RuntimeError(f"{VARIABLE}={wanted} switches pictures off; unset it to draw them")
    if wanted in ANY:
        return _first_that_works()
    name = "glfw" if wanted == "glx" else wanted
    if name not in SCREEN + NO_SCREEN:
        raise RuntimeError(f"{VARIABLE}={wanted} is not known; allowed are egl, osmesa and glfw, or unset it")
    return name


@functools.cache
def _first_that_works() -> str:
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    for name in SCREEN + NO_SCREEN if screen else NO_SCREEN:
        if _works(name):
            return name
    raise RuntimeError(f"no picture can be drawn here, neither EGL nor OSMesa works: {ADVICE}")


def _works(name: str) -> bool:
    try:
        trial = [sys.executable, "-c", TRIAL]
        done = subprocess.run(trial, env=os.environ | {VARIABLE: name}, capture_output=True, timeout=TRIAL_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def open_canvas(model: Any, width: int, height: int) -> tuple[Any, Any]:
    """Open a MuJoCo `GLContext` without a window, and in it a `MjrContext` for pictures of `model` of this size."""
    name = library()
    try:
        context = importlib.import_module(f"mujoco.{name}").GLContext(width, height)
        with current(context):
            canvas = _affordable_canvas(model)
            mujoco.mjr_resizeOffscreen(width, height, canvas)  # instead of the size that the model names
            mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, canvas)
    except Exception as error:  # each library raises errors of its own
        remedy = f"unset {VARIABLE}, or {ADVICE}" if os.environ.get(VARIABLE) else ADVICE
        raise RuntimeError(f"no picture can be drawn here, {name} fails ({type(error).__name__}): {remedy}") from error
    return context, canvas


def _affordable_canvas(model: Any) -> Any:
    """Make a `MjrContext` of limited quality: without a graphics card, a model's 16384 lines of shadow would take
    seconds and a gigabyte."""
    quality = model.vis.quality
    asked = quality.shadowsize, quality.offsamples
    quality.shadowsize, quality.offsamples = min(asked[0], SHADOW_LINES), 0  # antialiasing would double the time
    try:
        return mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    finally:
        quality.shadowsize, quality.offsamples = asked


@contextlib.contextmanager
def current(context: Any) -> Iterator[None]:
    """Make a context current, and afterwards make the context that was in use before current again."""
    if hasattr(context, "as_current"):
        with context.as_current():
            yield
    else:  # MuJoCo 3.5 has no `as_current`, and the context before is not restored
        context.make_current()
        yield


def announce() -> None:
    """Set MUJOCO_GL, which other packages' renderers read, to the library that works here, unless it is set already."""
    if not os.environ.get(VARIABLE):
        with contextlib.suppress(RuntimeError):
            os.environ[VARIABLE] = library()

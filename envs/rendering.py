"""Draw pictures of a MuJoCo scene without a screen, by the OpenGL library that `graphics.py` finds."""

import atexit
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from . import graphics

WIDTH, HEIGHT = 480, 360
MOST_GEOMS = 10_000  # the largest number of geoms in a picture


@dataclass(frozen=True)
class Marker:
    """A sphere that is drawn into a picture but is not part of the scene."""

    position: tuple[float, float, float]
    radius: float
    rgba: tuple[float, float, float, float]


class Renderer:
    """Draws the view of one of the model's cameras, given by name or number; -1 shows the whole model from outside."""

    def __init__(self, model: mujoco.MjModel, camera: str | int, width: int = WIDTH, height: int = HEIGHT) -> None:
        self._model = model
        self._camera = mujoco.MjvCamera()
        self._camera.fixedcamid = _camera_number(model, camera)
        if self._camera.fixedcamid < 0:
            mujoco.mjv_defaultFreeCamera(model, self._camera)
        else:
            self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._scene = mujoco.MjvScene(model, maxgeom=MOST_GEOMS)
        self._options = mujoco.MjvOption()
        self._frame = mujoco.MjrRect(0, 0, width, height)
        self._context, self._canvas = graphics.open_canvas(model, width, height)
        # Without a call of `close`, the context is freed together with this object, or when the interpreter ends,
        # before MuJoCo closes the library.
        self._free = weakref.finalize(self, _free, self._context, self._canvas)
        atexit.register(self._free)

    def draw(self, data: mujoco.MjData, markers: Sequence[Marker] = ()) -> NDArray[np.uint8]:
        """Return the picture, (height, width, 3)."""
        if not self._free.alive:
            raise RuntimeError("the renderer is closed; nothing can be drawn any more")
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, data, self._options, None, self._camera, everything, self._scene)
        for marker in markers:
            self._add(marker)
        pixels = np.empty((self._frame.height, self._frame.width, 3), dtype=np.uint8)
        with graphics.current(self._context):
            mujoco.mjr_render(self._frame, self._scene, self._canvas)
            mujoco.mjr_readPixels(pixels, None, self._frame, self._canvas)
        return pixels[::-1].copy()  # OpenGL counts lines from the bottom

    def _add(self, marker: Marker) -> None:
        mujoco.mjv_initGeom(
            self._scene.geoms[self._scene.ngeom],
            mujoco.mjtGeom.mjGEOM_SPHERE,
            size=np.full(3, marker.radius),
            pos=np.asarray(marker.position, dtype=np.float64),
            mat=np.eye(3).ravel(),
            rgba=np.asarray(marker.rgba, dtype=np.float32),
        )
        self._scene.ngeom += 1

    def close(self) -> None:
        """Free the graphics library's memory; calling this again does nothing."""
        atexit.unregister(self._free)
        self._free()


def _free(context: Any, canvas: mujoco.MjrContext) -> None:
    with graphics.current(context):
        canvas.free()
    context.free()


def _camera_number(model: mujoco.MjModel, camera: str | int) -> int:
    names = [model.camera(number).name for number in range(model.ncam)]
    if isinstance(camera, str) and camera in names:
        return names.index(camera)
    if isinstance(camera, str) or not -1 <= camera < model.ncam:
        raise ValueError(f"the model has no camera {camera!r}; its cameras: {', '.join(names) or 'none'}")
    return camera

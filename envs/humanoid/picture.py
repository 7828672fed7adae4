"""Pictures of a scene without a screen, through OSMesa or EGL."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from .scene import CAMERA

WIDTH, HEIGHT = 480, 360
ADVICE = "install libosmesa6 and set MUJOCO_GL=osmesa, or set MUJOCO_GL=egl where a graphics driver offers EGL"


class Picture:
    """Draws what the scene's own camera sees."""

    def __init__(self, model: mujoco.MjModel) -> None:
        try:
            self._renderer = mujoco.Renderer(model, HEIGHT, WIDTH)
        except Exception as error:  # each of MuJoCo's backends fails in its own way
            raise RuntimeError(f"no picture can be drawn here ({type(error).__name__}): {ADVICE}") from error

    def of(self, data: mujoco.MjData) -> NDArray[np.uint8]:
        """The picture, (height, width, 3)."""
        self._renderer.update_scene(data, CAMERA)
        return self._renderer.render()

    def close(self) -> None:
        """Frees the graphics context."""
        self._renderer.close()

"""The renderer for the original's tasks: it has the interface of Gymnasium 0.29's renderer and viewer, and draws with
our `Renderer`."""

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from ..rendering import Marker, Renderer

OUTSIDE = -1  # the camera for a scene without cameras: it shows the whole model from outside


class Drawing:
    """Draws pictures and markers; it opens its graphics context at the first picture."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._model, self._data = model, data
        self._renderer: Renderer | None = None
        self._markers: list[dict[str, Any]] = []  # the original's tasks search this attribute for their marker

    def add_marker(self, **marker: Any) -> None:
        """Add a marker, such as a goal, to all later pictures."""
        self._markers.append(marker)

    def render(self, render_mode: str | None, camera_id: int | None = None, camera_name: str = "") -> NDArray[np.uint8]:
        """Return the view of the task's camera, (height, width, 3); if it is missing (G1's maze), the first one's."""
        if self._renderer is None:
            cameras = [self._model.camera(number).name for number in range(self._model.ncam)]
            otherwise = 0 if cameras else OUTSIDE
            self._renderer = Renderer(self._model, camera_name if camera_name in cameras else otherwise)
        return self._renderer.draw(self._data, [_sphere(marker) for marker in self._markers])

    def close(self) -> None:
        """Free the graphics context."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def _sphere(marker: dict[str, Any]) -> Marker:
    x, y, z = (float(value) for value in marker["pos"])
    red, green, blue, opacity = marker["rgba"]
    return Marker((x, y, z), float(np.max(marker["size"])), (red, green, blue, opacity))

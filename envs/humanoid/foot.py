"""The shape of the H1's foot that touches the ground, one for both sides, in the ankle's frame.

HumanoidBench's foot differs from the one in the mesh package, and contact sees only its convex hull. These points
were measured on that hull: the side view, kept for |y| <= 12 mm, a flat face at |y| = 15 mm, and a narrower knuckle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MILLIMETRE = 1e-3
SOLE_HALF_WIDTH = 12.0
FACE_HALF_WIDTH = 15.0
KNUCKLE_HALF_WIDTH = 10.2

# (x, z) in mm, going round.
SOLE = (
    (-94.7, -70), (194.4, -70), (196.9, -69.3), (198.9, -68.2), (199.8, -66.9), (200, -65.9), (200, -61.7),
    (199.6, -60.2), (198.5, -59.1), (175.9, -46.1), (174.6, -45.5), (-98.9, -59.4), (-99.8, -60.7), (-100, -61.7),
    (-100, -66.5), (-99.6, -68), (-98.6, -69.1), (-97.6, -69.5),
)  # fmt: skip
KNUCKLE = ((2.8, 10.6), (1, 11), (-1, 11), (-2.8, 10.6), (-6.3, 9))
FACE = (
    (-94.8, -67.5), (194.6, -67.5), (197.5, -66.3), (197.5, -61.5), (172.8, -47.5), (-73.4, -47.5),
    (-97.4, -61.4), (-97.5, -66.8),
)  # fmt: skip


def foot_points() -> NDArray[np.float64]:
    """62 points in metres, (62, 3), whose convex hull is the foot."""
    sections = ((SOLE, SOLE_HALF_WIDTH), (FACE, FACE_HALF_WIDTH), (KNUCKLE, KNUCKLE_HALF_WIDTH))
    points = [(x, side * half_width, z) for outline, half_width in sections for x, z in outline for side in (-1, 1)]
    return np.array(points, dtype=np.float64) * MILLIMETRE

"""The collision shape of the H1's foot, the same for both sides, in the ankle's frame.

HumanoidBench's foot differs from the one in the mesh package. Contacts depend only on its convex hull, whose measures
are given here: a sole and a narrower knuckle with the side view below, both with rounded edges, and flat faces at
|y| = 15 mm. The result differs from the original's hull of 918 points by less than 0.3 mm, and by 0.01% in volume.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

MILLIMETRE = 1e-3

# (x, z) in mm, counter-clockwise around the outline, beginning at the heel.
SOLE_TO_INSTEP = (
    (-94.7, -70), (194.4, -70), (196.9, -69.3), (198.9, -68.2), (199.8, -66.9), (200, -65.9), (200, -61.7),
    (199.6, -60.2), (198.5, -59.1), (175.9, -46.1), (174.6, -45.5),
)  # fmt: skip
KNUCKLE = ((2.8, 10.6), (1, 11), (-1, 11), (-2.8, 10.6), (-6.3, 9))
HEEL = (
    (-98.9, -59.4), (-99.8, -60.7), (-100, -61.7), (-100, -66.5), (-99.6, -68), (-98.6, -69.1), (-97.6, -69.5),
)  # fmt: skip
FACE = (
    (-94.8, -67.5), (194.6, -67.5), (197.5, -66.3), (197.5, -61.5), (172.8, -47.5), (-73.4, -47.5),
    (-97.4, -61.4), (-97.5, -66.8),
)  # fmt: skip

# The half widths within which the outline has its full size, and the radii of the rounded edges outside of them; mm.
SOLE_HALF_WIDTH, SOLE_EDGE = 12.0, 3.0
KNUCKLE_HALF_WIDTH, KNUCKLE_EDGE = 10.0, 1.0


def foot_points() -> Points:
    """Return 154 points in metres, (154, 3), whose convex hull is the foot."""
    outline = np.array(SOLE_TO_INSTEP + KNUCKLE + HEEL, dtype=np.float64)
    is_knuckle = np.isin(np.arange(len(outline)), len(SOLE_TO_INSTEP) + np.arange(len(KNUCKLE)))
    sole = _rounded(outline, ~is_knuckle, SOLE_HALF_WIDTH, SOLE_EDGE, angles=(0, 30, 60))
    knuckle = _rounded(outline, is_knuckle, KNUCKLE_HALF_WIDTH, KNUCKLE_EDGE, angles=(0, 45, 90))
    faces = _both_sides(np.array(FACE), SOLE_HALF_WIDTH + SOLE_EDGE)
    return np.concatenate((*sole, *knuckle, faces)) * MILLIMETRE


def _rounded(
    outline: Points, chosen: NDArray[np.bool_], half_width: float, radius: float, angles: Iterable[float]
) -> list[Points]:
    """Return the points of a rounded edge: the chosen part of the outline, moved inwards as |y| grows, along a quarter
    circle with one row of points for each angle."""
    rows = []
    for angle in np.radians(list(angles)):
        row = _drawn_in(outline, radius * (1 - np.cos(angle)))[chosen]
        rows.append(_both_sides(row, half_width + radius * np.sin(angle)))
    return rows


def _drawn_in(outline: Points, distance: float) -> Points:
    """Return the outline with every edge moved inwards by the distance; its corners are where the moved edges meet."""
    edges = np.roll(outline, -1, axis=0) - outline
    inwards = np.stack((-edges[:, 1], edges[:, 0]), axis=1) / np.linalg.norm(edges, axis=1, keepdims=True)
    before = np.roll(inwards, 1, axis=0)
    return outline + distance * (inwards + before) / (1 + (inwards * before).sum(axis=1, keepdims=True))


def _both_sides(side_view: Points, half_width: float) -> Points:
    x, z = side_view.T
    y = np.full_like(x, half_width)
    return np.concatenate((np.stack((x, y, z), axis=1), np.stack((x, -y, z), axis=1)))

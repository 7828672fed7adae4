"""Writing into a ring buffer, whose last row is followed by its first one."""

from torch import Tensor


def write_around(ring: Tensor, rows: int, index: int, values: Tensor) -> None:
    """Write values into a ring of `rows` rows: the first one into row index % rows, and the others into those after it.

    The host does not wait for the copies.
    """
    start = index % rows
    while start + len(values) > rows:
        ring[start:rows].copy_(values[: rows - start], non_blocking=True)
        values, start = values[rows - start :], 0
    ring[start : start + len(values)].copy_(values, non_blocking=True)

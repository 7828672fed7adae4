"""What needs an optional package: runs on a Ray cluster (Ray), and copies of finished runs at a URL (fsspec).

These functions are the only door to this folder. Nothing outside imports Ray or fsspec, and neither package is
imported before it is used.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fire_rl.place import install

if TYPE_CHECKING:
    from .cluster import RayPool
    from .upload import Uploads


def ray_pool(
    address: str | None, threads: int, gpus_per_run: float | None, folder: Path, memory: float = 0
) -> "RayPool":
    """A pool of machines that gives runs to a Ray cluster; see `RayPool`."""
    try:
        import ray  # noqa: F401
    except ImportError:
        raise ValueError(f"--ray needs the package ray: {install('ray')}") from None
    from .cluster import RayPool

    return RayPool(address, threads, gpus_per_run, folder, memory=memory)


def share_of_a_gpu(runs: int) -> float:
    """What so many runs on one GPU take of it each, in the ten-thousandths that Ray counts in."""
    return 1.0 if runs == 1 else math.floor(10_000 / runs) / 10_000


def uploads_to(url: str, warn: Callable[[str], None]) -> "Uploads":
    """Copies of finished runs at a URL, which is tried first; see `Uploads`."""
    from .upload import Uploads

    return Uploads(url, warn)

"""Runs on a Ray cluster (needs Ray) and uploads of finished runs to a URL (needs fsspec); both packages are optional.

Other code uses this folder only through these functions. Nothing outside this folder imports Ray or fsspec, and neither
package is imported before it is used.
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
    """Return a pool that runs on a Ray cluster; see `RayPool`."""
    try:
        import ray  # noqa: F401
    except ImportError:
        raise ValueError(f"--ray needs the package ray: {install('ray')}") from None
    from .cluster import RayPool

    return RayPool(address, threads, gpus_per_run, folder, memory=memory)


def share_of_a_gpu(runs: int) -> float:
    """Return the share of a GPU that each of this many runs gets, rounded down to the 1/10,000 in which Ray counts."""
    return 1.0 if runs == 1 else math.floor(10_000 / runs) / 10_000


def uploads_to(url: str, warn: Callable[[str], None]) -> "Uploads":
    """Return an object that uploads finished runs to a URL, after checking that it can be written to; see `Uploads`."""
    from .upload import Uploads

    return Uploads(url, warn)

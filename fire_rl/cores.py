"""The processor's name, and how many of its cores this process may use: in a container perhaps not all."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

OWN_GROUPS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def processor() -> str:
    """Return the processor's name, if the system provides it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def usable_cores(own_groups: Path = OWN_GROUPS, groups: Path = GROUPS) -> int:
    """Return the number of cores that this process may use, by its affinity and the quotas of its control groups."""
    return max(1, int(min([len(os.sched_getaffinity(0)), *_quotas(own_groups, groups)])))


def control_groups(own_groups: Path = OWN_GROUPS) -> Iterator[tuple[str, Path]]:
    """Yield the controllers and the path of each control group of this process, below the folder of its controllers.

    In a container the path may be the host's, of which only the top level is visible.
    """
    try:
        lines = [line.split(":", 2) for line in own_groups.read_text().splitlines()]
    except OSError:  # a system without control groups
        return
    for _, controllers, path in (line for line in lines if len(line) == 3):
        yield controllers, Path(path.strip("/"))


def _quotas(own_groups: Path, groups: Path) -> Iterator[float]:
    """Yield the quotas, in cores, of all control groups above this process.

    Version 2 of control groups has one file for a quota. Version 1 has two files, and -1 for no quota.
    """
    for controllers, own in control_groups(own_groups):
        if not controllers:
            roots, names = (groups, groups / "unified"), ["cpu.max"]
        elif "cpu" in controllers.split(","):
            roots, names = (groups / controllers, groups / "cpu"), ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        for folder in (root / group for root in roots for group in (own, *own.parents)):
            try:
                quota, period = " ".join((folder / name).read_text() for name in names).split()
                if int(quota) > 0:
                    yield int(quota) / int(period)
            except (OSError, ValueError, ZeroDivisionError):  # no such group, or "max": no limit
                continue

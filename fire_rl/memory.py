"""How much memory this process may use: in a container that may be less than the machine has."""

import os
from collections.abc import Iterator
from pathlib import Path

from .cores import GROUPS, OWN_GROUPS, control_groups

# For the lines of version 2 and of version 1 in /proc/self/cgroup, by the controllers that they name: the folder of the
# groups, the files with the limit and the bytes in use, and how the counts of whole groups begin in memory.stat.
MEMORY_GROUPS = {
    "": (".", "memory.max", "memory.current", ""),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
}
SHARE_OF_FREE_MEMORY = 0.8  # the rest is left for the learner


def available_memory() -> int:
    """Return the bytes that can be allocated without swapping, within the container's limit if there is one."""
    return min([_free_on_the_machine(), *free_in_control_groups()])


def free_in_control_groups(own_groups: Path = OWN_GROUPS, groups: Path = GROUPS) -> Iterator[int]:
    """Yield the free bytes of each control group above this process that has a limit.

    Caches of files count as free, because the system gives them up when memory is needed. Shared memory does not.
    """
    for controllers, group in control_groups(own_groups):
        if controllers not in MEMORY_GROUPS:
            continue
        root, most, now, prefix = MEMORY_GROUPS[controllers]
        for folder in (groups / root / above for above in (group, *group.parents)):
            try:
                limit, used = (int((folder / name).read_text()) for name in (most, now))
                statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                caches = sum(int(statistics[f"{prefix}{kind}_file"]) for kind in ("active", "inactive"))
                yield max(0, limit - used + caches)
            except (OSError, ValueError, KeyError):  # no such group, or "max": no limit
                continue


def _free_on_the_machine() -> int:
    """Return the free bytes of the machine, including caches that the system would give up."""
    try:
        fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

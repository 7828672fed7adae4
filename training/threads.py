"""Choose the number of a learner's threads, and notice when other processes have taken its cores."""

import os
import statistics
from collections.abc import Callable

import torch

from fire_rl.cores import usable_cores

from .config import Config
from .device import choose_device

# An update with fewer floating-point operations than this uses one thread. With two threads on two idle cores, such an
# update is at most a third faster. But as soon as another process takes a core, each of its many small products waits
# for the slower thread, and the update becomes ten times slower, while with one thread it stays as fast as before.
WORTH_SHARING = 1.5e9
SLOW = 1 / 3  # updates count as slow below this share of the usual rate
ENOUGH = 3  # the number of rates after which the usual rate is known


def choose_threads(config: Config) -> tuple[int, str]:
    """Return the number of threads for a new run, and a line that says what was chosen and why."""
    cores, ending = usable_cores(), "; --threads N to choose"
    if cores == 1:
        return 1, "threads: 1, on the only core that may be used"
    if (device := choose_device(config.run.device)).type != "cpu":
        return cores, f"threads: {cores} of {cores} cores, for the work that {device} leaves to the CPU{ending}"
    operations = config.operations()
    size = f"({operations / 1e9:.2g} GFLOP)"
    if operations < WORTH_SHARING:
        return 1, f"threads: 1 of {cores} cores, because an update of this network is too small to share {size}{ending}"
    return cores, f"threads: {cores} of {cores} cores, because this network's updates are worth sharing {size}{ending}"


class Slowdown:
    """Notices, once, that updates have become much slower while the machine has more work than cores.

    Two consecutive log lines have to be slow, because a single slow one may include an evaluation.
    """

    def __init__(self, load: Callable[[], float] | None = None, cores: Callable[[], int] = usable_cores) -> None:
        self._load, self._cores = load or (lambda: os.getloadavg()[0]), cores  # of the last minute
        self._rates: list[float] = []
        self._slow = self._said = False

    def notice(self, updates_per_second: float) -> str | None:
        """Take the rate since the previous log line; return a warning in one line, or None."""
        usual = statistics.median(self._rates) if len(self._rates) >= ENOUGH else 0.0
        before, self._slow = self._slow, updates_per_second < SLOW * usual
        if not self._slow:
            self._rates.append(updates_per_second)
        if self._said or not (before and self._slow) or (load := self._load()) <= (cores := self._cores()):
            return None
        self._said = True
        ways = ["stop other work on this machine"]
        ways += ["begin runs with --threads 1"] if torch.get_num_threads() > 1 else []
        return (
            f"{updates_per_second:.3g} updates/s instead of the usual {usual:.3g}, and the machine's load is "
            f"{load:.1f} with {cores} cores for this run: {', '.join(ways)}, or in a cluster ask for more cores"
        )

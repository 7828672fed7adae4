"""The logger interface: the calls that a tracker gets. A user's own tracker has only the methods that it needs."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

Ending = Literal["finished", "stopped", "diverged", "failed", "killed"]


class Tracker:
    """Records one run somewhere. It is made without arguments, and `begin` is called first.

    `step` is the run's progress, in environment steps or updates. `line` is the number of the line of metrics from
    which the values come; it grows by one with each line. A resumed run repeats the lines after its checkpoint, with
    the same numbers and values. A tracker that remembers the highest number can skip them.
    """

    def begin(self, about: Mapping[str, Any]) -> str | None:
        """A run begins or goes on; `about` holds its config and more. May return where the record can be seen."""
        return None

    def scalars(self, values: Mapping[str, float], step: int, line: int) -> None:
        """Record numbers by their names, such as train/critic_loss; counts such as updates are among them."""

    def histogram(self, name: str, values: Sequence[float], step: int, line: int) -> None:
        """Record many numbers under one name, such as the singular values of a matrix."""

    def picture(self, name: str, path: str, step: int, line: int) -> None:
        """Record a PNG file; it is drawn again as the run goes on."""

    def flush(self) -> None:
        """No other message is waiting: collected values may be sent now."""

    def finish(self, ending: Ending, summary: Mapping[str, float]) -> None:
        """The run's process ends; `summary` holds a finished run's final score, best value and area."""

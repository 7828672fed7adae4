"""The logger interface: what a run tells a tracker. A tracker of one's own has those of these methods that it needs."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

Ending = Literal["finished", "stopped", "diverged", "failed", "killed"]


class Tracker:
    """Keeps the record of one run somewhere. It is made without arguments, and `begin` is called first.

    `step` is the run's own axis, environment steps or updates. `line` is the number of the line of metrics that the
    values are of: it grows by one with each. A run that is resumed repeats the lines after its checkpoint, numbers and
    values, so that a tracker which remembers the highest one can leave those out.
    """

    def begin(self, about: Mapping[str, Any]) -> str | None:
        """A run begins or goes on: its config and what else `About` lists. May return where it can be looked at."""
        return None

    def scalars(self, values: Mapping[str, float], step: int, line: int) -> None:
        """Numbers by their names, such as train/critic_loss; counts such as updates among them."""

    def histogram(self, name: str, values: Sequence[float], step: int, line: int) -> None:
        """Many numbers under one name, such as the singular values of a matrix."""

    def picture(self, name: str, path: str, step: int, line: int) -> None:
        """A PNG file, which is drawn anew as the run goes on."""

    def flush(self) -> None:
        """Nothing else waits at the moment: what was collected may be sent."""

    def finish(self, ending: Ending, summary: Mapping[str, float]) -> None:
        """The run's process ends; of a run that is finished, with its final score, its best value and its area."""

"""The progress bar: at any width bar, rate, time left and the last evaluation, and more if there is room."""

from typing import Any

from tqdm import tqdm

LEAST_BAR = 8  # the smallest width of the bar itself, in columns
# From the longest to the shortest; the first one that fits is used. A long title is shortened before a layout is given
# up for the next one.
LAYOUTS = (
    "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}, {updates}{said}]",
    "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} [{remaining} left, {rate_fmt}{said}]",
    "{desc}: {percentage:3.0f}% |{bar}| {remaining} left, {rate_fmt}{said}",
    "{desc}: {percentage:3.0f}% |{bar}| {remaining} left, {rate_fmt}{short}",
    "{percentage:3.0f}% |{bar}| {remaining} left, {rate_fmt}{said}",
    "{percentage:3.0f}% |{bar}| {remaining}, {rate_fmt}{short}",
    "{percentage:3.0f}% {remaining}, {rate_fmt}{short}",
)
TITLE = 24  # the number of columns to which a title may be shortened


class RunBar(tqdm):  # type: ignore[type-arg]
    """tqdm's progress bar, with a layout that fits the width of the terminal."""

    updates = ""
    evaluation = ""

    def tell(self, updates_per_second: float, evaluation: str | None) -> None:
        """Set the rate of updates and the last evaluation, which are shown when the bar is drawn next."""
        self.updates = f"{updates_per_second:.1f} updates/s"
        self.evaluation = evaluation or ""

    @property
    def format_dict(self) -> dict[str, Any]:
        """The values that tqdm draws, with the longest layout that fits the width."""
        values: dict[str, Any] = dict(super().format_dict)
        values["updates"] = self.updates or "0.0 updates/s"
        values["said"] = f", last evaluation {self.evaluation}" if self.evaluation else ""
        values["short"] = f", eval {self.evaluation}" if self.evaluation else ""
        columns = values["ncols"]
        for layout in LAYOUTS:
            for title in _titles(str(values["prefix"]), layout):
                values |= {"bar_format": layout, "prefix": title}
                if not columns or self._rest(values) + LEAST_BAR <= columns:
                    return values
        return values

    @staticmethod
    def _rest(values: dict[str, Any]) -> int:
        """Return the number of columns of the line without its bar."""
        bare = str(values["bar_format"]).replace("{bar}", "")
        return len(tqdm.format_meter(**{**values, "bar_format": bare, "ncols": None}))


def _titles(title: str, layout: str) -> list[str]:
    if "{desc}" not in layout or len(title) <= TITLE:
        return [title]
    return [title, f"{title[: TITLE - 2].rstrip()}.."]

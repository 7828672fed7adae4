"""The progress bar: at any width the bar, the rate, the time left and the last evaluation; more where it fits."""

from typing import Any

from tqdm import tqdm

LEAST_BAR = 8  # columns of the bar itself
# From the richest to the plainest, the first that fits; a title of many words is cut before anything is left out.
LAYOUTS = (
    "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}, {updates}{said}]",
    "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} [{remaining} left, {rate_fmt}{said}]",
    "{desc}: {percentage:3.0f}% |{bar}| {remaining} left, {rate_fmt}{said}",
    "{desc}: {percentage:3.0f}% |{bar}| {remaining} left, {rate_fmt}{short}",
    "{percentage:3.0f}% |{bar}| {remaining} left, {rate_fmt}{said}",
    "{percentage:3.0f}% |{bar}| {remaining}, {rate_fmt}{short}",
    "{percentage:3.0f}% {remaining}, {rate_fmt}{short}",
)
TITLE = 24  # columns that a title may be cut to


class RunBar(tqdm):  # type: ignore[type-arg]
    """tqdm's, with a layout for the width that there is."""

    updates = ""
    evaluation = ""

    def tell(self, updates_per_second: float, evaluation: str | None) -> None:
        """What stands behind the counts, from the next time that the bar is drawn."""
        self.updates = f"{updates_per_second:.1f} updates/s"
        self.evaluation = evaluation or ""

    @property
    def format_dict(self) -> dict[str, Any]:
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
        """Columns of the line without its bar."""
        bare = str(values["bar_format"]).replace("{bar}", "")
        return len(tqdm.format_meter(**{**values, "bar_format": bare, "ncols": None}))


def _titles(title: str, layout: str) -> list[str]:
    """The title, and where it is long also the beginning of it."""
    if "{desc}" not in layout or len(title) <= TITLE:
        return [title]
    return [title, f"{title[: TITLE - 2].rstrip()}.."]

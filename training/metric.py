"""What a run is judged by: the name of a number, its unit, which direction is better, and how it is printed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

Words = Annotated[str, Meta(pattern=r"^[\w ./-]{0,60}$")]  # a run's config may be anybody's


@dataclass(frozen=True)
class Metric:
    """A work names its own, each run's `config.json` records it, and everything above reads it there."""

    name: Words = "return"  # of the number in the run's evaluations, such as return, loss or accuracy
    unit: Words = ""  # such as nats
    better: Literal["higher", "lower"] = "higher"
    form: Literal["number", "percent"] = "number"  # an accuracy is kept as a share and printed in per cent
    decimals: Annotated[int, Meta(ge=0, le=12)] = 1

    @property
    def sign(self) -> int:
        """Times this, a higher value is a better one."""
        return 1 if self.better == "higher" else -1

    @property
    def words(self) -> str:
        """For an axis: the name with its unit."""
        unit = "%" if self.form == "percent" else self.unit
        return f"{self.name} ({unit})" if unit else self.name

    @property
    def plural(self) -> str:
        """The name of several: returns, losses, accuracies; an evaluation may list under it what it is the mean of."""
        if self.name.endswith("y"):
            return f"{self.name[:-1]}ies"
        return f"{self.name}es" if self.name.endswith("s") else f"{self.name}s"

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """What evaluations call the same number on other examples, where they have it: those trained on, those held out
        from training to choose settings by, and those of the classes that have come so far."""
        return tuple(f"{kind}_{self.name.replace(' ', '_')}" for kind in ("training", "validation", "seen"))

    @property
    def scale(self) -> int:
        """Times this, a value is printed and drawn."""
        return 100 if self.form == "percent" else 1

    @property
    def suffix(self) -> str:
        """What stands behind a printed value."""
        return "%" if self.form == "percent" else f" {self.unit}" if self.unit else ""

    def best(self, values: Iterable[float]) -> float:
        return max(values, key=lambda value: self.sign * value)

    def worst(self, values: Iterable[float]) -> float:
        return min(values, key=lambda value: self.sign * value)

    def reaches(self, value: float, bar: float) -> bool:
        """Whether a value is as good as the bar, or better."""
        return self.sign * value >= self.sign * bar

    def said(self, value: float) -> str:
        """A value as a line of text shows it: a return 12.3, a loss 1.2345 nats, an accuracy 93.1%."""
        return f"{self.scale * value:.{self.decimals}f}{self.suffix}"


RETURN = Metric()

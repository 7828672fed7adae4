"""The metric by which a run is evaluated: its name, its unit, which direction is better, and how it is printed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

# Limited, because a run's config is not trusted.
Name = Annotated[str, Meta(pattern=r"^[^\W_][\w ./-]{0,59}$")]
Words = Annotated[str, Meta(pattern=r"^[\w ./-]{0,60}$")]


@dataclass(frozen=True)
class Metric:
    """The metric of a run. Each learner has one; the run's `config.json` stores it, and analyses read it there."""

    name: Name = "return"  # the number's name in the run's evaluations, such as return, loss or accuracy
    unit: Words = ""  # such as nats
    better: Literal["higher", "lower"] = "higher"
    form: Literal["number", "percent"] = "number"  # percent: stored as a share from 0 to 1, printed in per cent
    decimals: Annotated[int, Meta(ge=0, le=12)] = 1

    @property
    def sign(self) -> int:
        """1 or -1: multiplied by this, a higher value is better."""
        return 1 if self.better == "higher" else -1

    @property
    def words(self) -> str:
        """The name with its unit, for an axis."""
        unit = "%" if self.form == "percent" else self.unit
        return f"{self.name} ({unit})" if unit else self.name

    @property
    def plural(self) -> str:
        """The plural of the name, such as losses, under which an evaluation may list the values behind the mean."""
        if self.name.endswith("y"):
            return f"{self.name[:-1]}ies"
        return f"{self.name}es" if self.name.endswith("s") else f"{self.name}s"

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """The names of the same number on other examples in an evaluation: on training examples, on examples held out
        for choosing settings (validation), and on examples of the classes seen so far."""
        return tuple(f"{kind}_{self.name.replace(' ', '_')}" for kind in ("training", "validation", "seen"))

    @property
    def scale(self) -> int:
        """The factor by which a value is multiplied when it is printed or drawn."""
        return 100 if self.form == "percent" else 1

    @property
    def suffix(self) -> str:
        """The text after a printed value: the unit."""
        return "%" if self.form == "percent" else f" {self.unit}" if self.unit else ""

    def best(self, values: Iterable[float]) -> float:
        """Return the best of the values."""
        return max(values, key=lambda value: self.sign * value)

    def worst(self, values: Iterable[float]) -> float:
        """Return the worst of the values."""
        return min(values, key=lambda value: self.sign * value)

    def reaches(self, value: float, bar: float) -> bool:
        """Whether a value is as good as the bar, or better."""
        return self.sign * value >= self.sign * bar

    def said(self, value: float) -> str:
        """Return a value as text: a return 12.3, a loss 1.2345 nats, an accuracy 93.1%."""
        return f"{self.scale * value:.{self.decimals}f}{self.suffix}"


RETURN = Metric()

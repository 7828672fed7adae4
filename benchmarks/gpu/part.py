"""What a part is given, and what it leaves: rows, written one by one as they are found, since what follows may fail."""

import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeAlias

import torch

NOT_A_CARD = "not a card"
Figures: TypeAlias = Mapping[str, float | int | str]


@dataclass(frozen=True)
class Part:
    """A part of the table."""

    name: str
    meaning: str
    limit: float  # seconds, at most
    entry: str  # module:function, called with a Setting and Rows; imported in the part's own process alone


@dataclass(frozen=True)
class Setting:
    """What every part is given."""

    device: str = "cpu"
    quick: bool = False
    seconds: float = 1.5  # of one timing
    limit: float = 60.0  # seconds of the part
    threads: int = 1
    jax_python: str = ""  # an interpreter that has jax; empty: this one
    begun: float = field(default_factory=time.monotonic)

    @property
    def place(self) -> torch.device:
        return torch.device(self.device)

    @property
    def card(self) -> bool:
        """Whether there is a GPU to say anything of."""
        return self.place.type == "cuda"

    @property
    def left(self) -> float:
        """Seconds until the part is stopped."""
        return self.begun + self.limit - time.monotonic()

    def to_json(self) -> str:
        return json.dumps({name: value for name, value in asdict(self).items() if name != "begun"})

    @classmethod
    def from_json(cls, text: str) -> "Setting":
        return cls(**json.loads(text))


class Rows:
    """Rows of a part's table, as lines of JSON: a name with figures, with what is said instead, or with an error."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def add(self, name: str, find: Callable[[], Figures]) -> None:
        """The figures that `find` returns. Where it fails, its error, and the part goes on."""
        try:
            found = find()
        except Exception as error:
            traceback.print_exc()
            self._write({"name": name, "error": in_one_line(error)})
        else:
            self._write({"name": name, "figures": dict(found)})

    def on_a_card(self, setting: Setting, name: str, find: Callable[[], Figures]) -> None:
        """The same, where there is a card; else the row says that there is none."""
        if setting.card:
            self.add(name, find)
        else:
            self.say(name, NOT_A_CARD)

    def say(self, name: str, text: str) -> None:
        """A row without figures."""
        self._write({"name": name, "says": text})

    def _write(self, row: Mapping[str, object]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def in_one_line(error: BaseException) -> str:
    """The kind of an error, and its first line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}"[:300] if lines else type(error).__name__

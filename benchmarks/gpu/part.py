"""The input of a part, and its output: rows, each written as soon as it is known, because later ones may fail."""

import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeAlias

import torch

NOT_A_CARD = "not a GPU"
Figures: TypeAlias = Mapping[str, float | int | str]


@dataclass(frozen=True)
class Part:
    """A part of the table."""

    name: str
    meaning: str
    usual: float  # seconds on an H100 or H200, estimated
    limit: float  # seconds, at most
    entry: str  # .module:function, called with a Setting and Rows; imported only in the part's own process
    needs: str = ""  # packages beside torch and NumPy, separated by spaces, as pip takes them


@dataclass(frozen=True)
class Setting:
    """The settings that every part gets."""

    device: str = "cpu"
    quick: bool = False
    seconds: float = 1.5  # of one timing
    limit: float = 60.0  # seconds after `begun` at which the part is stopped
    threads: int = 1
    jax_python: str = ""  # a Python interpreter that has jax; empty: this one
    begun: float = field(default_factory=time.monotonic)  # this clock is the same in all processes

    @property
    def place(self) -> torch.device:
        """The device as torch's type."""
        return torch.device(self.device)

    @property
    def card(self) -> bool:
        """Whether the device is a GPU."""
        return self.place.type == "cuda"

    @property
    def left(self) -> float:
        """The seconds until the part is stopped."""
        return self.begun + self.limit - time.monotonic()

    def to_json(self) -> str:
        """Return the settings as text for the part's process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Setting":
        """Return the settings from `to_json`'s text."""
        return cls(**json.loads(text))


class Rows:
    """The rows of a part, as lines of JSON: each has a name, and figures, a text or an error."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def add(self, name: str, find: Callable[[], Figures]) -> None:
        """Add a row with the figures that `find` returns, or with its error; the part goes on in both cases."""
        try:
            found = find()
        except Exception as error:
            traceback.print_exc()
            self._write({"name": name, "error": in_one_line(error)})
        else:
            self._write({"name": name, "figures": dict(found)})

    def on_a_card(self, setting: Setting, name: str, find: Callable[[], Figures]) -> None:
        """Do the same if the device is a GPU; else add a row that says that it is none."""
        if setting.card:
            self.add(name, find)
        else:
            self.say(name, NOT_A_CARD)

    def say(self, name: str, text: str, details: object = None) -> None:
        """Add a row with a text instead of figures; details are only in the file of results."""
        self._write({"name": name, "says": text} | ({} if details is None else {"details": details}))

    def _write(self, row: Mapping[str, object]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def in_one_line(error: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}"[:300] if lines else type(error).__name__

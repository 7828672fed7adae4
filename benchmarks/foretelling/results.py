"""The file of results: one line of JSON for each checkpoint. It is always whole, because it is replaced as a whole."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from fire_rl.fire.scores import LOSS
from fire_rl.replay.store import Damaged
from fire_rl.training.durable import read_regular, write_durably

RESULTS = "results.jsonl"
MOST_BYTES = 1_000_000_000
Number = float | None  # null stands for a number that is not finite


class ScoreRecord(Struct, frozen=True):
    """A score of one form of the probe, with its interval."""

    value: Number
    low: Number
    high: Number
    rate: float
    fresh_rate: float

    @property
    def lost(self) -> bool:
        """Whether the score counts as a loss of plasticity."""
        return (self.high or 0) < 1 and (self.value or 0) < LOSS


class NetworkRecord(Struct, frozen=True):
    """One network of a checkpoint."""

    trainability: Number
    fit: ScoreRecord
    replace: ScoreRecord
    measures: dict[str, Number]


class Record(Struct, frozen=True):
    """One checkpoint."""

    group: str
    agent: str
    task: str
    place: dict[str, str]  # such as its replay ratio
    seed: int
    run: str
    step: int
    updates: int
    networks: dict[str, NetworkRecord]
    probe: dict[str, Any]
    seconds: dict[str, float]  # of processor time
    version: str
    error: str | None = None  # why it could not be measured

    @property
    def key(self) -> tuple[str, int]:
        """What identifies the checkpoint."""
        return self.run, self.step

    @property
    def block(self) -> tuple[str, str, int]:
        """What the runs have in common that share their initial network and the networks they are compared with."""
        return self.agent, self.task, self.seed


def read_results(path: Path) -> list[Record]:
    """Return all records; none if there is no file. Raise ValueError in one line if it is not such a file."""
    if not path.exists():
        return []
    records = []
    for number, line in enumerate(bytes(read_regular(path, MOST_BYTES)).splitlines(), 1):
        try:
            records.append(msgspec.json.decode(line, type=Record))
        except msgspec.MsgspecError as error:
            raise Damaged(f"{path}, line {number}: {' '.join(str(error).split())}") from error
    return records


def write_results(path: Path, records: Iterable[Record]) -> None:
    """Replace the file; a crash at any moment leaves the old content or the new one."""
    ordered = sorted(records, key=lambda record: record.key)
    lines = [json.dumps(msgspec.to_builtins(record), allow_nan=False) for record in ordered]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, "".join(f"{line}\n" for line in lines).encode())

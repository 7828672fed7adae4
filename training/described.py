"""What a run's `config.json` holds besides the settings. The file is not trusted: it may come from somebody else."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from .files import CONFIG_BYTES, read_json
from .metric import RETURN, Metric, Name


class Continued(msgspec.Struct, frozen=True):
    """The step from which on a run was continued with other packages or on another machine."""

    step: int
    machine: dict[str, str]


class Source(msgspec.Struct, frozen=True):
    """A file of code: its module's name and its checksum."""

    module: Annotated[str, Meta(max_length=1000)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class Described(msgspec.Struct, frozen=True):
    """How a run was made. Runs of older versions, and cards, lack some of it."""

    branch_from: Annotated[str, Meta(max_length=4_000)] | None = None
    command: tuple[str, ...] = ()
    version: str | None = None  # of fire-rl; only in cards and in runs of older versions
    versions: dict[str, str] = {}
    commit: str | None = None
    processor: str | None = None
    gpu: str | None = None
    continued: tuple[Continued, ...] = ()
    sources: dict[str, Source] = {}  # the user's own modules, by the name of the copy in RUN/source
    metric: Metric = RETURN
    progress: Name = "environment_steps"


def read_described(run: Path) -> Described:
    """Read what a run's `config.json` holds besides the settings; raise Damaged in one line if it is not valid."""
    described: Described = read_json(run / "config.json", Described, CONFIG_BYTES)
    return described

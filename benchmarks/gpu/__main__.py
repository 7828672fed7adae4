"""Measures a GPU in one table: update rates and their floors, costs, whole loops, a JAX program, and tests of equality.

    python -m benchmarks.gpu [--minutes 10] [--out FOLDER]   the first group of parts, the most informative ones
    python -m benchmarks.gpu --parts second                  the others, in a second call of about seven minutes
    python -m benchmarks.gpu --parts sac jax                 some parts
    python -m benchmarks.gpu --device cpu --quick            tries the program on a machine without a GPU

Each part runs in its own process with a time limit, so that a part that fails, hangs or is killed does not stop the
others. table.txt and results.json are written after each part; log.txt contains the other output of the parts.
docs/gpu.md explains the rows. This program itself and the first parts need only torch and NumPy.
"""

import argparse
import json
import re
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from fire_rl.cores import processor
from fire_rl.fire.nearest import choices

from .conduct import ROOT, Result, run_parts
from .machine import commit, device_named
from .part import Part, Setting
from .parts import GROUPS, PARTS, chosen
from .table import beginning, ending, failures, part_lines, table

RESULTS = "results.json"
ENDING = 5.0  # seconds reserved for everything besides the parts


@dataclass(frozen=True)
class Options:
    """Which parts are run, for how long, and where the results are written."""

    parts: tuple[str, ...] = ()
    list: bool = False
    minutes: float = 10.0
    out: Path | None = None
    device: str = "auto"
    quick: bool = False
    seconds: float = 1.5
    threads: int = 1
    jax_python: str = ""

    @classmethod
    def given(cls, words: Sequence[str] | None = None) -> "Options":
        """Return the options of the command line."""
        parser = argparse.ArgumentParser(
            "python -m benchmarks.gpu",
            description=__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            argument_default=argparse.SUPPRESS,  # options that are not given have the defaults above
        )
        add = parser.add_argument
        add("--parts", nargs="+", metavar="PART", help="by name or as a group, first or second; unset: first")
        add("--list", action="store_true", help="show the parts with their seconds and packages, and run nothing")
        add(
            "--minutes",
            type=float,
            help="at most this long; a part for which no time is left does not begin; unset: 10",
        )
        add("--out", type=Path, help="folder for the results; unset: benchmarks/results/CARD-DATE")
        add("--device", help="auto (a GPU if there is one), cpu, cuda or cuda:N")
        add("--quick", action="store_true", help="small networks and short timings: a test of the program")
        add("--seconds", type=float, help="seconds of each timing; unset: 1.5")
        add("--threads", type=int, help="CPU threads of torch in each part; unset: 1")
        add("--jax-python", help="a Python interpreter that has jax, for the JAX program; unset: this one")
        found = vars(parser.parse_args(words))
        return cls(**found | {"parts": tuple(found.get("parts", ()))})


def main(options: Options) -> int:
    """Run the parts; return 1 if anything failed."""
    if options.list:
        print("\n".join(listed()))
        return 0
    check(options)
    until = time.monotonic() + 60 * options.minutes - ENDING
    device = device_named(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    folder = options.out or vacant(ROOT / "benchmarks" / "results" / f"{in_file_names(name)}-{datetime.now():%Y-%m-%d}")
    folder.mkdir(parents=True, exist_ok=True)
    kept = Kept(folder, begin(name, device, options))
    print("\n".join(beginning(kept.results)), flush=True)
    setting = Setting(
        device=str(device), quick=options.quick, seconds=options.seconds, threads=options.threads,
        jax_python=options.jax_python,
    )  # fmt: skip
    run_parts(chosen(options.parts), setting, until, folder / "log.txt", kept.keep)
    print("\n".join(["", *ending(kept.results), "", f"{folder / 'table.txt'}"]))
    return 1 if failures(kept.results) else 0


def listed() -> Iterator[str]:
    """Yield the lines of `--list`."""
    for group, parts in GROUPS.items():
        usual = sum(part.usual for part in parts)
        yield f"{f'--parts {group}':16s} {usual:4.0f}  (estimated)"
        yield f"  {'':14s} {'s':>4s} {'limit':>6s}  {'besides torch and NumPy':28s}"
        for part in parts:
            yield f"  {part.name:14s} {part.usual:4.0f} {part.limit:6.0f}  {part.needs:28s} {part.meaning}"


def check(options: Options) -> None:
    """Raise ValueError if an option is not valid."""
    for part in options.parts:
        if part not in PARTS and part not in GROUPS:
            raise ValueError(f"--parts {part} given; allowed are {choices(part, [*GROUPS, *PARTS])}")
    for name in ("minutes", "seconds", "threads"):
        if not 0 < getattr(options, name) < 10_000:
            raise ValueError(f"--{name} {getattr(options, name)} given; allowed is a number above 0")
    if options.out is not None and (options.out / RESULTS).exists():
        raise ValueError(f"--out {options.out} given, which already contains results; give a folder without results")
    if options.jax_python and not Path(options.jax_python).is_file():
        raise ValueError(f"--jax-python {options.jax_python} given; allowed is the path of a Python interpreter")


def in_file_names(card: str) -> str:
    """Return a card's name for file names: h100-80gb-hbm3 for `NVIDIA H100 80GB HBM3`."""
    return re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-").removeprefix("nvidia-")


def vacant(folder: Path) -> Path:
    """Return the folder, or the first one with a number after its name, that contains no results."""
    number, found = 1, folder
    while (found / RESULTS).exists():
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found


def begin(name: str, device: torch.device, options: Options) -> dict[str, Any]:
    """Return the results before the first part: the machine, the versions and the command."""
    return {
        "card": name,
        "device": device.type,
        "processor": processor(),
        "torch": torch.__version__,
        "commit": commit(ROOT),
        "begun": f"{datetime.now():%Y-%m-%d %H:%M}",
        "command": shlex.join(["python", "-m", "benchmarks.gpu", *sys.argv[1:]]),
        "quick": options.quick,
        "parts": {},
    }


class Kept:
    """The results, written after every part."""

    def __init__(self, folder: Path, results: dict[str, Any]) -> None:
        self.folder, self.results = folder, results
        self._write()

    def keep(self, part: Part, result: Result) -> None:
        """Add a part's result, write all results, and print the part's rows."""
        self.results["parts"][part.name] = {"meaning": part.meaning} | result
        self._write()
        print("\n".join(part_lines(part.name, self.results["parts"][part.name])), flush=True)

    def _write(self) -> None:
        (self.folder / RESULTS).write_text(json.dumps(self.results, indent=1) + "\n")
        (self.folder / "table.txt").write_text(table(self.results))


def stopped(*_: object) -> None:
    """Raise KeyboardInterrupt, so that the running part is stopped."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stopped)
    try:
        raise SystemExit(main(Options.given()))
    except ValueError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None

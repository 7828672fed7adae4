"""Measures how the costs of a run besides training grow with its length: state, pictures, reading and memory.

    python -m benchmarks.long_runs [--counts 1000 10000 100000] [--acted 10000]

The manager of a small network acts at `acted` events; further events are copies of the last one. There are as many
episodes and measurements as events, and a hundredth as many evaluations. Times are processor times, the best of three.
The first line of the table is a run with one event.
"""

import gc
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import tyro

from fire_rl.fire import Every, Network, PlasticityManager, Position, Redo
from fire_rl.training.curve import draw_curve, draw_measures
from fire_rl.training.files import METRICS
from fire_rl.training.history import PANELS, History
from fire_rl.training.lines import EvaluationLine, Reader, final_score

APART = 1_000  # updates and environment steps between two events
EVALUATIONS = 100  # events per evaluation


@dataclass(frozen=True)
class Options:
    """The numbers of events."""

    counts: tuple[int, ...] = (1_000, 10_000, 100_000)
    """Events of each run."""
    acted: int = 10_000
    """Events at which the manager really acts; further events are only recorded."""


def make_manager() -> PlasticityManager:
    """Return a manager of a small network that applies ReDo."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    optimizer = torch.optim.Adam(module.parameters())
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    return PlasticityManager([Network("critic", module, initial, optimizer)], Redo(), Every(APART))


def record(manager: PlasticityManager, count: int, acted: int) -> None:
    """Let the manager act at the first `acted` events, and record copies of the last one as the others."""
    module, examples = manager.networks["critic"].module, torch.randn(32, 4)
    losses = {"critic": lambda: module(examples).square().mean()}
    for number in range(1, count + 1):
        position = Position(number * APART, number * APART)
        if number <= acted:
            manager.act(position, losses)
        else:
            manager.events.append(replace(manager.events[-1], position=position))


def write_metrics(path: Path, event: dict[str, Any], count: int) -> None:
    """Write metrics with measures, events, episodes and evaluations, as a run does."""
    panels = {f"{network}/{name}": 0.5 for network in ("actor", "critic") for name, _, _ in PANELS}
    with path.open("w") as file:
        for number in range(1, count + 1):
            at, wave = {"environment_steps": number * APART}, number % 97 / 97
            lines = [{"kind": "measures", **at, **{name: value + wave for name, value in panels.items()}}]
            lines += [{"kind": "event", **at, **event}, {"kind": "episode", **at, "return": wave}]
            if number % EVALUATIONS == 0 or number == count:
                lines.append({"kind": "evaluation", **at, "return": wave, "returns": [wave, 2 * wave, 3 * wave]})
            file.writelines(json.dumps(line) + "\n" for line in lines)


def final_of(run: Path) -> tuple[float, int] | None:
    """Return the final return, computed as at the end of a run."""
    evaluations = [line for _, line in Reader().of(run) if isinstance(line, EvaluationLine)]
    return final_score([(line.steps, line.value, line.occasion) for line in evaluations])


def resident() -> float:
    """Return the megabytes of memory that this process has now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def seconds(call: Callable[[], Any], repeats: int = 3) -> float:
    """Return the processor seconds of a call, the best of several."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def run(count: int, options: Options, folder: Path) -> None:
    """Measure a run with this many events, and print its line of the table."""
    before = resident()
    manager = make_manager()
    record(manager, count, options.acted)
    grown = resident() - before
    metrics = folder / METRICS
    write_metrics(metrics, manager.events[-1].to_json() | {"cause": "schedule"}, count)
    before = resident()
    start = time.process_time()
    history = History.read(folder, Reader())
    reading, grown_by_history = time.process_time() - start, resident() - before
    state = len(json.dumps(manager.state_dict()))
    curve = seconds(lambda: draw_curve(history, folder, "long run"))
    measures = seconds(lambda: draw_measures(history, folder, "long run"))
    final = seconds(lambda: final_of(folder), repeats=1)
    print(
        f"{count:9,d} {state:11,d} {grown:10.1f} {grown_by_history:10.1f} {curve:9.2f} {measures:9.2f}"
        f" {reading:9.2f} {final:9.2f} {metrics.stat().st_size / 1e6:10.1f}",
        flush=True,
    )


def main(options: Options) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("    events state bytes manager MB history MB   curve s measures s  reading s   final s metrics MB")
    with TemporaryDirectory() as folder:
        for count in (1, *options.counts):  # the first one also loads libraries
            run(count, options, Path(folder))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))

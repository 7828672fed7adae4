"""What the short probe loses in precision: the same networks by the full probe and by shorter ones.

    python -m benchmarks.foretelling.precision RUN@STEP ... [--threads 1]

The full probe is that of diagnose.py. The shorter ones have one learning rate, three seeds, and 200, 100 or 40 updates;
they are read from the same curves, because a probe of 100 updates is the first half of one of 200. Their seeds are not
those of the full probe, so that their differences include the random differences between probes. The last one takes the
fresh networks' curves of the first checkpoint with the same network, which would save half of the time.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import tyro
from torch import nn

from fire_rl.agents.captured import products_in
from fire_rl.experiments.diagnosis.loaded_run import load_run
from fire_rl.fire import Probe, Probed, Score
from fire_rl.fire.diagnosis import FORMS, Curves
from fire_rl.fire.probe import learned_share
from fire_rl.fire.trainability import SHORT
from fire_rl.training import command_line
from fire_rl.training.policy import split_run
from fire_rl.training.probes import networks_of

from .correlation import tau_b
from .measuring import quietly, readings_of

FULL = Probe()
(RATE,) = SHORT.rates
LONG = Probe(rates=(RATE,), seeds=SHORT.seeds)
POINTS = {"200 updates": 10, "100 updates": 5, "40 updates": 2}  # the first points of the curves
SHARED = "100 updates, fresh networks of another checkpoint"
OTHER_SEEDS = 100  # away from those of the full probe


@dataclass(frozen=True)
class Options:
    """Which checkpoints are measured."""

    checkpoints: tyro.conf.Positional[tuple[str, ...]]
    """RUN@STEP, several."""
    threads: int = 1
    """CPU threads."""


Shares = dict[tuple[str, str], list[float]]  # what fresh networks learn, by network and form


def short_scores(name: str, module: nn.Module, probed: Probed, first: Shares) -> dict[str, float]:
    """Return the trainability by each shorter probe; `first` are the fresh networks' shares of the first checkpoint."""
    bench = probed.bench(LONG, OTHER_SEEDS)
    found: dict[str, list[float]] = {}
    for form in FORMS:
        own, fresh = (Curves(bench, modules, form, None).of(RATE, LONG.seeds) for modules in ([module], bench.fresh))
        for setting, points in POINTS.items():
            shares, usual = ([learned_share(errors[: points + 1]) for errors in each] for each in (own, fresh))
            found.setdefault(setting, []).append(Score.of(shares, usual, RATE, RATE).value)
            if points == SHORT.points:
                shared = first.setdefault((name, form), usual)
                found.setdefault(SHARED, []).append(Score.of(shares, shared, RATE, RATE).value)
    return {setting: min(values) for setting, values in found.items()}


@products_in("float32")
def main(options: Options) -> None:
    """Measure every network of every checkpoint, and print the table."""
    torch.set_num_threads(options.threads)
    usual, found, first = list[float](), dict[str, list[float]](), Shares()
    seconds = np.zeros(2)  # of the full probe, and of the shorter ones together
    for text in options.checkpoints:
        folder, step = split_run(text)
        loaded = load_run(folder, step, False, quietly)
        probes = loaded.work.probes(loaded.updates)
        for name, network in networks_of(loaded.learner).items():
            times = [time.process_time()]
            readings = readings_of(network.module, probes[name], FULL)
            usual.append(min(reading.best.value for reading in readings.values()))
            times.append(time.process_time())
            for setting, value in short_scores(name, network.module, probes[name], first).items():
                found.setdefault(setting, []).append(value)
            times.append(time.process_time())
            seconds += np.diff(times)
            said = ", ".join(f"{setting} {values[-1]:.2f}" for setting, values in found.items())
            rates = ", ".join(f"{form} {reading.best} at {reading.best.rate:g}" for form, reading in readings.items())
            print(f"{folder.name}@{loaded.step} {name}: full {usual[-1]:.2f} ({rates}); {said}", flush=True)
    print_table(usual, found, seconds / len(usual))


def print_table(usual: Sequence[float], found: Mapping[str, Sequence[float]], seconds: np.ndarray) -> None:
    """Print one line for each shorter probe."""
    full, long = seconds
    print(f"\n{len(usual)} networks; processor time of each: full {full:.1f} s, 200 updates {long:.1f} s")
    print(f"{'setting':50} {'bias':>7} {'deviation':>10} {'tau-b':>7}")
    for setting, values in found.items():
        differences = np.asarray(values) - np.asarray(usual)
        spread = differences.std(ddof=1) if len(differences) > 1 else float("nan")
        tau = tau_b(np.asarray(values), np.asarray(usual))
        print(f"{setting:50} {differences.mean():>+7.3f} {spread:>10.3f} {tau:>7.2f}")


def body(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    main(tyro.cli(Options, args=arguments))
    return 0


if __name__ == "__main__":
    command_line.main(body, "python -m benchmarks.foretelling.precision", sys.argv[1:])

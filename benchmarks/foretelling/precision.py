"""What the short probe loses in precision: the same checkpoints by the full probe and by shorter ones.

    python -m benchmarks.foretelling.precision RUN@STEP ... [--threads 1]

Each setting is compared with the full one of diagnose.py, which has other fresh networks and functions (other seeds). A
line says the processor time, the mean difference, the standard deviation of the difference over networks, and Kendall's
tau between both. The full setting is also compared with itself under other seeds, which shows what is noise.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import tyro

from fire_rl.experiments.diagnosis.loaded_run import load_run
from fire_rl.fire import Probe
from fire_rl.fire.trainability import SHORT
from fire_rl.training.policy import split_run
from fire_rl.training.probes import networks_of

from .correlation import tau_b
from .measuring import quietly, readings_of

FULL = Probe()
SETTINGS = {
    "full, other seeds": Probe(),
    "one rate": Probe(rates=(1e-3,)),
    "one rate, three seeds": Probe(rates=(1e-3,), seeds=3),
    "the short probe": SHORT,
    "half of the short probe": Probe(updates=50, rates=(1e-3,), seeds=3, points=5),
}
OTHER_SEEDS = 100  # away from those of the full probe


@dataclass(frozen=True)
class Options:
    """Which checkpoints are measured."""

    checkpoints: tyro.conf.Positional[tuple[str, ...]]
    """RUN@STEP, several."""
    threads: int = 1
    """CPU threads."""


def main(options: Options) -> None:
    """Measure every network of every checkpoint with every setting, and print the table."""
    torch.set_num_threads(options.threads)
    usual: list[float] = []
    found: dict[str, list[float]] = {name: [] for name in SETTINGS}
    seconds = dict.fromkeys(["full", *SETTINGS], 0.0)
    for text in options.checkpoints:
        folder, step = split_run(text)
        loaded = load_run(folder, step, False, quietly)
        probes = loaded.work.probes(loaded.updates)
        for name, network in networks_of(loaded.learner).items():
            for setting, probe in {"full": FULL, **SETTINGS}.items():
                began = time.process_time()
                seed = 0 if setting == "full" else OTHER_SEEDS
                readings = readings_of(network.module, probes[name], probe, seed)
                value = min(reading.best.value for reading in readings.values())
                seconds[setting] += time.process_time() - began
                (usual if setting == "full" else found[setting]).append(value)
            said = ", ".join(f"{setting} {values[-1]:.2f}" for setting, values in found.items())
            print(f"{folder.name}@{loaded.step} {name}: full {usual[-1]:.2f}, {said}", flush=True)
    print_table(usual, found, seconds)


def print_table(usual: Sequence[float], found: dict[str, list[float]], seconds: dict[str, float]) -> None:
    """Print one line for each setting."""
    print(f"\n{len(usual)} networks; the full probe takes {seconds['full'] / len(usual):.1f} s of processor time each")
    print(f"{'setting':28} {'time':>7} {'bias':>7} {'deviation':>10} {'tau-b':>7}")
    for setting, values in found.items():
        differences = np.asarray(values) - np.asarray(usual)
        time_share, tau = seconds[setting] / seconds["full"], tau_b(np.asarray(values), np.asarray(usual))
        spread = differences.std(ddof=1) if len(differences) > 1 else float("nan")
        print(f"{setting:28} {time_share:>7.0%} {differences.mean():>+7.3f} {spread:>10.3f} {tau:>7.2f}")


if __name__ == "__main__":
    main(tyro.cli(Options))

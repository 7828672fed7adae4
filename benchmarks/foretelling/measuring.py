"""Measure one checkpoint: its trainability, and every measure that runs log, by the code that runs use."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fire_rl import __version__
from fire_rl.agents.captured import products_in
from fire_rl.experiments.diagnosis.loaded_run import LoadedRun, load_run
from fire_rl.fire import Probe, Probed
from fire_rl.fire.diagnosis import FORMS
from fire_rl.fire.event import finite
from fire_rl.fire.scores import Reading
from fire_rl.fire.trainability import SHORT
from fire_rl.training.probes import networks_of


def quietly(line: str) -> None:
    """Print nothing."""


def readings_of(module: nn.Module, probed: Probed, probe: Probe, seed: int = 0) -> dict[str, Reading]:
    """Return the readings `fit` and `replace` of a network."""
    bench = probed.bench(probe, seed)
    return {form: bench.read(form, [module], form) for form in FORMS}


def measures_of(loaded: LoadedRun) -> dict[str, float]:
    """Return the measures as the run itself would log them at this update, and the Hessian's largest eigenvalue."""
    work = loaded.work
    manager = loaded.config.manager(work)
    try:
        return manager.measure(work.losses(loaded.updates), hessian=True, runs=work.runs(loaded.updates), probes={})
    finally:
        manager.close()


def _networks(loaded: LoadedRun, values: Mapping[str, float], probe: Probe) -> dict[str, dict[str, Any]]:
    """Return the scores and the measures of each network."""
    probes, found = loaded.work.probes(loaded.updates), {}
    for name, network in networks_of(loaded.learner).items():
        readings = readings_of(network.module, probes[name], probe)
        found[name] = {
            "trainability": min(reading.best.value for reading in readings.values()),
            **{form: asdict(reading.best) for form, reading in readings.items()},
            "measures": {key.partition("/")[2]: value for key, value in values.items() if key.startswith(f"{name}/")},
        }
    return found


@products_in("float32")
def measured(run: Path, step: int, about: Mapping[str, Any], probe: Probe = SHORT) -> dict[str, Any]:
    """Return the record of one checkpoint; `about` are facts about its run."""
    began = time.process_time()
    torch.set_num_threads(1)
    loaded = load_run(run, step, False, quietly)
    values = measures_of(loaded)
    cheap = time.process_time() - began
    networks, error = {}, None
    try:
        networks = _networks(loaded, values, probe)
    except ValueError as reason:  # fresh networks learn nothing from this replay either
        error = str(reason)
    record = {
        **about,
        "step": step,
        "updates": loaded.updates,
        "networks": networks,
        "probe": asdict(probe),
        "seconds": {"measures": cheap, "everything": time.process_time() - began},  # of processor time
        "version": __version__,
        "error": error,
    }
    return dict(finite(record))

"""Probes of a run's networks: the examples, the new learners that they are compared with, and what they cost."""

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from fire_rl.agents.agent import Agent
from fire_rl.agents.supervised import Supervised
from fire_rl.fire import Network, Probe, Probed
from fire_rl.fire.probe import Data, Inputs, curve, optimizer_like, outputs_of
from fire_rl.fire.trainability import SHORT, updates_of
from fire_rl.replay import Batch, FrameReplay, TransitionReplay

from .settings import DriverSettings
from .work import Work

FRESH = 7_919  # seeds of new learners begin here, away from the seeds of runs
BATCHES, BATCH_SIZE = 32, 64  # batches of examples, a quarter of which is held out, and their size
USE = 2  # of examples: number 2 beside those of the other measures
FEWEST = 4  # batches
FEWEST_EXAMPLES = 2 * FEWEST  # of one size, at least 2
TIMED = 8  # updates by which the cost of a probe is measured


def drawn_seed(seed: int, number: int) -> np.random.SeedSequence:
    """Return the seed of a new agent beside a run's own."""
    return np.random.SeedSequence([seed, FRESH, number])


def networks_of(learner: Agent | Supervised) -> dict[str, Network]:
    """Return the networks of a learner by name."""
    return {network.name: network for network in learner.plastic()}


def whole_batches(images: Tensor) -> list[Tensor]:
    """Split images into batches of one size; if there are too few for four whole batches, into four smaller ones."""
    size = _size_of_batches(len(images), "images")
    return [each for each in images.split(size) if len(each) == size]


def different_batches(replay: TransitionReplay | FrameReplay, generator: torch.Generator, newest: int) -> Batch:
    """Return batches of different transitions from the newest ones, so that none is both learned and held out."""
    count = min(newest, len(replay), BATCHES * BATCH_SIZE)
    size = _size_of_batches(count, "transitions")
    return replay.sample_different(count // size, size, generator, newest)


def _size_of_batches(examples: int, named: str) -> int:
    if examples < FEWEST_EXAMPLES:
        raise ValueError(
            f"trainability is measured on {FEWEST_EXAMPLES} or more {named}; there are only {examples} here"
        )
    return min(BATCH_SIZE, examples // FEWEST)


def probed_with(
    learner: Agent | Supervised, inputs: Mapping[str, Inputs], drawn: Callable[[int], Agent | Supervised]
) -> dict[str, Probed]:
    """Return what is needed to probe each network; `drawn` makes a new learner from a number."""
    networks = networks_of(learner)

    def fresh(name: str) -> Callable[[int], torch.nn.Module]:
        return lambda number: networks_of(drawn(number))[name].module

    return {
        name: Probed(Data.joined(each.batches), fresh(name), each.run, optimizer_like(networks[name].optimizer))
        for name, each in inputs.items()
    }


def cost_in_words(settings: DriverSettings, work: Work) -> str | None:
    """Return a line on what measuring trainability costs in this run; None if it is not measured.

    The times are those of some updates of a probe and of the run itself, which are made on copies now. The speed of a
    run is measured on the CPU only, so that its share is not known on a GPU.
    """
    every = settings.probe_every
    if every is None:
        return None
    probes = work.probes(work.steps)
    seconds = seconds_of(probes)
    line = (
        f"trainability: every {every:,} updates, {updates_of(len(probes)):,} updates on copies of "
        f"{' and '.join(probes)}, in batches of at most {BATCH_SIZE}; about {seconds:.1f} s each time"
    )
    if work.device.type != "cpu":
        return line
    try:
        share = seconds * work.rates().updates_per_second / every
    except ValueError:  # this work cannot be timed
        return line
    return f"{line}, which adds about {share:.0%} to the time of the updates"


def seconds_of(probes: Mapping[str, Probed]) -> float:
    """Return about how many seconds a measurement of trainability takes on this machine now."""
    return sum(_seconds_of_an_update(probed) for probed in probes.values()) * updates_of(1)


def _seconds_of_an_update(probed: Probed) -> float:
    """Return the seconds of one update of a probe on a new network, with its share of the evaluations."""
    module = probed.fresh(0)
    task = outputs_of(module, probed.run, probed.data)

    def learn(updates: int) -> None:
        probe = Probe(updates, points=1)
        curve(module, probed.run, probed.data, task, 1.0, probe, probed.optimizer, SHORT.rates[0], 0)

    with torch.random.fork_rng():
        learn(1)
        start = time.perf_counter()
        learn(TIMED)
        return (time.perf_counter() - start) / TIMED

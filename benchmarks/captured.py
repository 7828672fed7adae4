"""Updates on a GPU, started kernel by kernel and played from CUDA graphs: equal bit by bit, and how fast.

    python -m benchmarks.captured [--seconds 2]

Published sizes: SAC on h1-walk in blocks of 2, DQN's Nature network in blocks of 4, batches from a replay on the
device. `queued` is what the host needs to start an update, `done` what the device needs to finish it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import tyro

from agents import DQN, SAC, DQNSettings, SACSettings
from agents.captured import Precision
from fire import Never, NoMethod, PlasticityManager, Position, parse_method, parse_regularizer
from fire.published import SAC as PUBLISHED
from replay import FrameReplay, TransitionReplay

H1_WALK = 51, 19
BLOCKS = 8  # of updates, compared bit by bit
WARM = 8  # calls before anything is timed

Replay = TransitionReplay | FrameReplay


@dataclass(frozen=True)
class Options:
    """How long each row takes, and where."""

    seconds: float = 2.0
    """Of each timing."""
    device: str = "cuda"
    """cuda or cuda:N; on cpu nothing is recorded, and the table shows only that it runs."""


@dataclass(frozen=True)
class Subject:
    """An agent at its published size, and what it learns from."""

    make: Callable[[], SAC | DQN]
    replay: Replay
    updates: int  # in a block
    batch_size: int


def main(options: Options) -> None:
    """Print the table."""
    device = torch.device(options.device)
    print(torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu", "torch", torch.__version__)
    subjects = {"sac": sac(device), "dqn": dqn(device)}
    for name, subject in subjects.items():
        print(f"{name:5s} {BLOCKS} blocks, played and started: {difference(subject)}")
    for method in ("fire", "injection"):
        print(f"sac   with an event between, {method}: {difference(subjects['sac'], method)}")
    for regularizer in ("l2-init", "weight-decay", "parseval", "spectral"):
        print(f"sac   with {regularizer}: {difference(subjects['sac'], regularizer=regularizer)}")
    print(f"\n{'':5s} {'products':9s} {'started':>10s} {'played':>10s} {'ratio':>6s}   played: queued, done")
    for name, subject in subjects.items():
        for precision in ("float32", "tf32"):
            started, *_ = rate(subject, False, precision, options.seconds)
            played, queued, done = rate(subject, True, precision, options.seconds)
            print(f"{name:5s} {precision:9s} {started:8.0f}/s {played:8.0f}/s {played / started:6.1f}", end="   ")
            print(f"{1e6 * queued:.0f} us, {1e6 * done:.0f} us")


def sac(device: torch.device) -> Subject:
    """The published agent on h1-walk, and a replay of random transitions."""
    observation, action = H1_WALK
    replay = TransitionReplay(20_000, observation, action, device)
    random = np.random.default_rng(0)
    count = replay.capacity
    ends = np.zeros(count, bool)
    replay.add(
        random.normal(size=(count, observation)), np.tanh(random.normal(size=(count, action))),
        random.uniform(size=count), random.normal(size=(count, observation)), ends, ends,
    )  # fmt: skip
    return Subject(
        lambda: SAC(observation, action, SACSettings(), seed=np.random.SeedSequence(0), device=device), replay, 2, 256
    )


def dqn(device: torch.device) -> Subject:
    """The published agent on frames of Atari's size, and a replay of random frames."""
    replay = FrameReplay(4_000, 4, (1, 84, 84), stack=4, device=device)
    random = np.random.default_rng(0)
    stacks = random.integers(256, size=(9, 4, 4, 84, 84), dtype=np.uint8)
    for number in range(replay.steps_held):
        ended = (number + np.arange(4) * 97) % 500 == 0
        actions, rewards = random.integers(4, size=4), np.ones(4, np.float32)
        replay.add(stacks[number % 8], actions, rewards, stacks[number % 8 + 1], ended, ended & False)
    settings = DQNSettings(target_every=12)  # so that the target is copied between blocks here

    def make() -> DQN:
        return DQN((4, 84, 84), 4, settings, seed=np.random.SeedSequence(0), scale=1 / 255, device=device)

    return Subject(make, replay, 4, 32)


def difference(subject: Subject, method: str = "none", regularizer: str = "") -> str:
    """Two agents after the same blocks, with an event in the middle where the method has any."""
    states = []
    for on in (False, True):
        agent = subject.make()
        agent.captured.on = on
        chosen = parse_method(method, PUBLISHED)
        regularizers = [parse_regularizer(regularizer)] if regularizer else []
        manager = PlasticityManager(agent.plastic(), chosen, Never(), regularizers)
        generator = torch.Generator().manual_seed(0)
        for block in range(BLOCKS):
            if block == BLOCKS // 2 + 1 and not isinstance(chosen, NoMethod):
                manager.act(Position(block, block))
            agent.update(subject.replay.draw(subject.updates, subject.batch_size, generator), manager)
        states.append(agent.state_dict())
    unequal = [name for name, value in states[0].items() if not torch.equal(value, states[1][name])]
    return f"{len(unequal)} of {len(states[0])} tensors differ" if unequal else "equal bit by bit"


def rate(subject: Subject, on: bool, precision: Precision, seconds: float) -> tuple[float, float, float]:
    """Updates per second, and of one update the seconds until it is queued and until it is done."""
    agent, generator = subject.make(), torch.Generator().manual_seed(0)
    agent.captured.on, agent.captured.precision = on, precision

    def call() -> None:
        agent.update(subject.replay.draw(subject.updates, subject.batch_size, generator))

    for _ in range(WARM):
        call()
    calls, queued, begun = 0, 0.0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        wait(agent.device)
        now = time.perf_counter()
        for _ in range(10):
            call()
        queued += time.perf_counter() - now
        calls += 10
    wait(agent.device)
    updates = calls * subject.updates
    taken = time.perf_counter() - begun
    return updates / taken, queued / updates, taken / updates


def wait(device: torch.device) -> None:
    """Until the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))

"""Measures a replay of Atari frames: its memory, and the time of adding, sampling and saving.

    python -m benchmarks.replay [--capacity 1000000] [--threads 2]

Sampling is compared with its floor, which is the bytes of a batch divided by the copy bandwidth measured in this run,
and with Stable-Baselines3's replay buffer of the same capacity, in turns (`pip install --no-deps stable-baselines3
pandas cloudpickle`). Saving is compared with plain writes of equally many bytes; each file is flushed to the disk.
"""

import importlib
import importlib.util
import itertools
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from gymnasium import spaces
from numpy.typing import NDArray

from fire_rl.replay import FrameReplay, Segment
from fire_rl.training.durable import DurableStore
from fire_rl.training.memory import keep_large_blocks

FRAME, STACK, BATCH = (1, 84, 84), 4, 32
SHAPE = (STACK, *FRAME[1:])
EPISODE = 500  # decisions
MORE = 10_000  # transitions between two checkpoints

Step = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Options:
    """A full replay of 84x84 frames, four stacked."""

    capacity: int = 100_000
    """Transitions; the figures in the docs are of 1,000,000 (7.2 GB)."""
    num_envs: int = 4
    """Environments."""
    peer_capacity: int = 30_000
    """Capacity of the comparison with Stable-Baselines3's buffer, which needs 8 times the memory."""
    threads: int = 2
    """CPU threads."""
    device: str = "cpu"
    """cpu or cuda."""
    folder: Path = Path(tempfile.gettempdir())
    """A folder on the disk on which checkpoints will be."""


class Steps:
    """An endless series of steps of several environments whose frames are noise."""

    def __init__(self, num_envs: int) -> None:
        generator = np.random.default_rng(0)
        self.frames = generator.integers(0, 256, (64 + STACK + 1, num_envs, *FRAME[1:]), np.uint8)
        self.actions = generator.integers(0, 6, num_envs)
        self.rewards = generator.normal(size=num_envs)
        self.begin = np.arange(num_envs) * 97  # so that episodes end at different times
        self.count = itertools.count()

    def next(self) -> Step:
        """Return the next step: observations, actions, rewards, next observations, terminated, truncated."""
        number = next(self.count)
        frames = self.frames[number % 64 : number % 64 + STACK + 1].swapaxes(0, 1)
        ended = (number + self.begin) % EPISODE == EPISODE - 1
        return frames[:, :-1], self.actions, self.rewards, frames[:, 1:], ended, np.zeros_like(ended)


def seconds(call: Callable[[], object], device: torch.device | None = None) -> float:
    """Return the seconds of a call; with a GPU, until the GPU has finished."""
    begin = time.perf_counter()
    call()
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def fill(replay: FrameReplay, steps: Steps, count: int) -> float:
    """Add `count` transitions, and return the seconds of adding them, without those of making them."""
    total = 0.0
    for _ in range(-(-count // replay.num_envs)):
        step = steps.next()
        total += seconds(lambda step=step: replay.add(*step))  # type: ignore[misc]
    return total


def copy_rate(device: torch.device) -> float:
    """Return the bytes copied per second, the median of several copies that are too large for the caches."""
    source, target = (torch.zeros(400_000_000, dtype=torch.uint8, device=device) for _ in range(2))
    return source.nbytes / float(np.median([seconds(lambda: target.copy_(source), device) for _ in range(9)]))


def show_sampling(replay: FrameReplay, device: torch.device) -> None:
    """Print the time of sampling beside its floor."""
    generator = torch.Generator(replay.device).manual_seed(0)
    rate = copy_rate(device)
    print(f"sampling batches of {BATCH}; the floor is a copy at {rate / 1e9:.1f} GB/s")
    print("| batches at once | ms per batch | floor | ratio |\n|---|---|---|---|")
    for updates in (1, 4, 16):
        times = [seconds(lambda: replay.sample(updates, BATCH, generator), device) for _ in range(200)]  # noqa: B023
        batch, floor = float(np.median(times)) / updates, 2 * BATCH * np.prod(SHAPE) / rate
        print(f"| {updates} | {1e3 * batch:.3f} | {1e3 * floor:.3f} | {floor / batch:.2f} |")


def show_peer(options: Options, device: torch.device) -> None:
    """Print our replay beside Stable-Baselines3's of the same capacity, timed in turns."""
    if importlib.util.find_spec("stable_baselines3") is None:
        print("to compare with Stable-Baselines3: pip install --no-deps stable-baselines3 pandas cloudpickle")
        return
    buffers = importlib.import_module("stable_baselines3.common.buffers")
    box, discrete = spaces.Box(0, 255, SHAPE, np.uint8), spaces.Discrete(6)
    peers = {
        f"Stable-Baselines3{', optimize_memory_usage' if saving else ''}": buffers.ReplayBuffer(
            options.peer_capacity, box, discrete, device, options.num_envs, saving, handle_timeout_termination=False
        )
        for saving in (False, True)
    }
    ours = FrameReplay(options.peer_capacity, options.num_envs, FRAME, stack=STACK, device=device)
    steps, adding = Steps(options.num_envs), dict.fromkeys(("ours", *peers), 0.0)
    for _ in range(ours.steps_held):
        step = steps.next()
        observations, actions, rewards, following, terminated, _ = step
        adding["ours"] += seconds(lambda: ours.add(*step))  # noqa: B023
        for name, peer in peers.items():
            whole: tuple[Any, ...] = (
                observations,
                following,
                actions[:, None],
                rewards,
                terminated,
                [{}] * options.num_envs,
            )
            adding[name] += seconds(lambda: peer.add(*whole))  # noqa: B023
    generator = torch.Generator(ours.device).manual_seed(0)
    samplers: dict[str, Callable[[], object]] = {"ours": lambda: ours.sample(1, BATCH, generator)}
    samplers |= {name: lambda peer=peer: peer.sample(BATCH) for name, peer in peers.items()}  # type: ignore[misc]
    times = [[seconds(sampler, device) for sampler in samplers.values()] for _ in range(300)]
    sizes = [taken(ours), *(observation_bytes(peer) for peer in peers.values())]
    print(f"at a capacity of {options.peer_capacity:,}, in turns")
    print("| replay | bytes per transition | added per second | ms per batch |\n|---|---|---|---|")
    for name, size, duration in zip(samplers, sizes, np.median(times, axis=0), strict=True):
        rate = len(ours) / adding[name]
        print(f"| {name} | {size / len(ours):,.0f} | {rate:,.0f} | {1e3 * duration:.3f} |")


def observation_bytes(peer: Any) -> int:
    """Return the bytes of another replay's observations, which are the least that it needs."""
    return int(peer.observations.nbytes) + (0 if peer.optimize_memory_usage else int(peer.next_observations.nbytes))


def taken(replay: FrameReplay) -> int:
    """Return the bytes of our replay."""
    return replay.frames.nbytes + replay.notes.nbytes + replay.final.frames.nbytes


def show_checkpoints(replay: FrameReplay, steps: Steps, parent: Path) -> None:
    """Print the time and memory of saving, linking and loading."""
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder, kept = Path(name), list[Segment]()
        store = DurableStore(folder)
        before = peak_memory(reset=True)
        for title in ("the full replay", f"{MORE:,} transitions later"):
            written = set(folder.glob("*.safetensors"))
            duration = seconds(lambda: kept.__setitem__(slice(None), replay.save(store, kept)))
            sizes = [path.stat().st_size for path in set(folder.glob("*.safetensors")) - written]
            plain = seconds(lambda: write_plainly(folder / "plain", sizes))  # noqa: B023
            rates = f"{sum(sizes) / duration / 1e6:,.0f} MB/s; plain writes {sum(sizes) / plain / 1e6:,.0f} MB/s"
            print(f"saving {title}: {duration:.2f} s, {sum(sizes) / 1e6:,.0f} MB in {len(sizes)} files ({rates})")
            fill(replay, steps, MORE if not written else 0)
        print(f"memory taken by saving and by plain writes, at most: {(peak_memory() - before) / 1e6:,.0f} MB")

        branch = folder / "branch"
        branch.mkdir()
        duration = seconds(lambda: link(kept, folder, branch))
        print(f"a branch: {1e3 * duration:.1f} ms for {len(kept)} hard links")
        before = peak_memory(reset=True)
        duration = seconds(lambda: replay.load(store, kept, kept[-1].stop), replay.device)
        rate, memory = len(replay) / duration, peak_memory() - before
        print(f"loading: {duration:.2f} s ({rate:,.0f} transitions/s, from the system's cache if it holds the files); "
              f"{memory / 1e6:,.0f} MB of memory")  # fmt: skip


def link(segments: list[Segment], folder: Path, branch: Path) -> None:
    """Link the segments into a branch's folder."""
    for segment in segments:
        os.link(folder / segment.file, branch / segment.file)


def write_plainly(path: Path, sizes: list[int]) -> None:
    """Write and flush files of these sizes, and delete them."""
    block = memoryview(np.random.default_rng(0).bytes(4_000_000))
    for number, size in enumerate(sizes):
        with path.with_name(f"{path.name}-{number}").open("wb") as file:
            for begin in range(0, size, len(block)):
                file.write(block[: size - begin])
            file.flush()
            os.fsync(file.fileno())
    for number in range(len(sizes)):
        path.with_name(f"{path.name}-{number}").unlink()


def peak_memory(reset: bool = False) -> int:
    """Return the largest number of bytes of memory that this process has had; with `reset`, start the count again."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024


def main(options: Options) -> None:
    """Measure everything, and print the figures."""
    keep_large_blocks()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    replay = FrameReplay(options.capacity, options.num_envs, FRAME, stack=STACK, device=device)
    steps = Steps(options.num_envs)
    duration = fill(replay, steps, options.capacity + 1000)
    print(f"FrameReplay, {options.capacity:,} transitions, {options.num_envs} environments, {options.threads} threads, "
          f"{options.device}")  # fmt: skip
    print(f"{taken(replay) / len(replay):,.0f} bytes per transition, {taken(replay) / 1e9:.2f} GB")
    print(f"adding: {(options.capacity + 1000) / duration:,.0f} transitions/s")
    show_checkpoints(replay, steps, options.folder)  # before sampling, whose freed memory would hide that of saving
    show_sampling(replay, device)
    del replay
    show_peer(options, device)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))

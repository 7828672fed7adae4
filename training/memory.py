"""Memory: refuse settings that cannot fit, by an estimate before any memory is allocated, and reuse freed blocks."""

import ctypes
import gc
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import torch

from fire_rl import envs
from fire_rl.agents import AgentSettings, Surroundings
from fire_rl.envs.world import World
from fire_rl.memory import SHARE_OF_FREE_MEMORY, available_memory

from .reinforcement_settings import RunSettings
from .settings import flag

LONGEST_MAKING = 2  # minutes that making the environments may take
COPIES_OF_OBSERVATIONS = 6  # that exist while batches are gathered and normalised
NOTE_BYTES = 60  # for each decision in an n-step return of a batch
NUMBER = 4  # bytes of a float32

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
LARGEST = 2**30


def keep_large_blocks() -> None:
    """Let the C library reuse freed blocks of up to 1 GiB.

    Otherwise the memory for an update's activations is returned to the system and faulted in again, page by page, at
    every update. With another C library than glibc, nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and mallopt(M_MMAP_THRESHOLD, LARGEST):
        mallopt(M_TRIM_THRESHOLD, LARGEST)


@contextmanager
def only_new_objects_collected() -> Iterator[None]:
    """Exclude all objects that exist now (about 400,000 after imports) from garbage collection, which saves time.

    If the process has frozen its objects itself, they stay frozen afterwards: Python can only unfreeze all of them.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def require_memory_for_environments(settings: RunSettings, world: World) -> None:
    """Raise ValueError if the environments of training and evaluation need too much memory, or too long to make."""
    needs = envs.needs_of_one(world.name, world.atari) if world.atari else envs.needs_of_one(world.name)
    evaluated = settings.evaluated_at_once
    name = "num_envs" if settings.num_envs >= evaluated else "eval_episodes"
    count = settings.num_envs + evaluated
    given = f"{flag(name)} {getattr(settings, name)} given: {count:,} environments, evaluation's included, take about"
    require_memory(count * needs.bytes, given, torch.device("cpu"))
    if (minutes := count * needs.seconds / 60) > LONGEST_MAKING:
        raise ValueError(f"{given} {minutes:,.0f} minutes to make; allowed are {LONGEST_MAKING}")


def require_memory_for_learning(
    run: RunSettings, agent: AgentSettings, surroundings: Surroundings, device: torch.device
) -> None:
    """Raise ValueError if the networks, and the batches of all updates owed at a time, do not fit into memory.

    The message names the setting that takes most of the memory.
    """
    shape, actions = surroundings.observations.shape or (), surroundings.action_count
    itemsize = getattr(surroundings.observations.dtype, "itemsize", NUMBER)
    observation_bytes = math.prod(shape) * min(NUMBER, itemsize)

    def needed(run: RunSettings, agent: AgentSettings) -> int:
        transition = COPIES_OF_OBSERVATIONS * observation_bytes + 3 * NUMBER * actions + NOTE_BYTES * agent.n_steps
        updates = math.ceil(run.ratios[1] * run.num_envs)
        return agent.size(shape, actions).bytes + updates * agent.batch_size * transition

    total = needed(run, agent)
    without = {"num_envs": needed(replace(run, num_envs=1), agent)}
    if not isinstance(run.replay_ratio, str):
        without["replay_ratio"] = needed(replace(run, replay_ratio=1), agent)
    for field in fields(agent):
        if type(getattr(agent, field.name)) is int:
            least: dict[str, Any] = {field.name: 1}
            without[field.name] = needed(run, replace(agent, **least))
    name = min(without, key=lambda name: without[name])  # the setting that takes most of the memory
    value = getattr(run if hasattr(run, name) else agent, name)
    require_memory(total, f"{flag(name)} {value} given: networks and the batches of a decision take about", device)


def require_memory(needed: int, given: str, device: torch.device) -> None:
    """Raise ValueError if more memory is needed than is free, less a reserve; `given` begins the message."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_memory()
    if needed > SHARE_OF_FREE_MEMORY * free:
        kept = f"of which {1 - SHARE_OF_FREE_MEMORY:.0%} is kept for the rest"
        raise ValueError(f"{given} {gigabytes(needed)} of memory; {gigabytes(free)} are free, {kept}")


def gigabytes(size: float) -> str:
    """Return a number of bytes in words, such as `3.2 GB`."""
    number = size / 1e9
    return f"{number:,.1f} GB" if number < 100 else f"{number:,.0f} GB" if number < 1e9 else f"{number:.0e} GB"

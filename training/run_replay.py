"""The replay of a run of reinforcement learning: its kind, its size and where it is stored."""

import math

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from fire_rl import envs
from fire_rl.memory import SHARE_OF_FREE_MEMORY, available_memory
from fire_rl.replay import FrameReplay, TransitionReplay
from fire_rl.replay.frames import frame_replay_bytes

from .agent_run import AgentRun

Replay = TransitionReplay | FrameReplay


def make_replay(config: AgentRun, environment: VectorEnv, device: torch.device) -> tuple[Replay, str]:
    """Return the agent's replay, no larger than the run can fill, and a line that says where it is stored.

    If the run is resumed with a longer --steps, a larger replay can load it, because it has not overwritten anything.
    """
    settings, surroundings = config.run, config.surroundings(environment)
    held = min(settings.replay_capacity, settings.steps // settings.action_repeat + settings.num_envs)
    shape = surroundings.observations.shape or ()
    if not config.kind.frames:
        sizes = math.prod(shape), surroundings.action_count
        place, note = place_replay(4 * (2 * sizes[0] + sizes[1] + 2) * held, device)
        return TransitionReplay(held, *sizes, place), note
    # Each frame is stored once. For Atari games it is the newest frame of a stack, otherwise a whole observation.
    assert config.atari is not None  # an agent that learns from frames has these settings
    stack = config.atari.stack if envs.is_atari(settings.env) else 1
    frame = (shape[0] // stack, *shape[1:])
    dtype = torch.uint8 if surroundings.observations.dtype == np.uint8 else torch.float32
    place, note = place_replay(frame_replay_bytes(held, settings.num_envs, frame, dtype, stack), device)
    replay = FrameReplay(
        held, settings.num_envs, frame, stack=stack, dtype=dtype, first=config.atari.first_stack, device=place,
        n_steps=config.agent.n_steps, gamma=config.agent.gamma, actions=surroundings.action_count,
    )  # fmt: skip
    return replay, note


def place_replay(needed: int, device: torch.device) -> tuple[torch.device, str]:
    """Return where a replay of this many bytes fits, preferring the learner's device, and a line that reports it.

    Raise ValueError if it fits nowhere.
    """
    size = f"{needed / 1e9:.2f} GB"
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if needed < SHARE_OF_FREE_MEMORY * free:
            return device, f"replay: {size} on {device}"
    free = available_memory()
    if needed > SHARE_OF_FREE_MEMORY * free:
        raise ValueError(f"the replay needs {size} of memory and {free / 1e9:.2f} GB are free: lower --replay-capacity")
    reason = "" if device.type == "cpu" else f" ({device} has too little memory left)"
    return torch.device("cpu"), f"replay: {size} on the CPU{reason}"

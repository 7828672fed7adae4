"""Random streams across devices."""

import hashlib

import torch
from torch import Tensor


def restore_generator(generator: torch.Generator, state: Tensor) -> None:
    """Put a saved stream back; one saved on another kind of device cannot go on, so its bytes seed a new one."""
    if state.numel() == generator.get_state().numel():
        generator.set_state(state.cpu())
    else:
        digest = hashlib.sha256(state.cpu().numpy().tobytes()).digest()
        generator.manual_seed(int.from_bytes(digest[:8], "little"))

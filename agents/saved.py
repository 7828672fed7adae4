"""A saved agent's tensors back into the agent that is there, in place."""

from collections.abc import Mapping

import torch
from torch import Tensor


@torch.no_grad()
def copy_saved_(own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Everything or, where a name is missing or a shape another, nothing."""
    if missing := sorted(own.keys() - saved.keys()):
        raise ValueError(f"the saved agent lacks {missing[0]!r} and {len(missing) - 1} more; was it another size?")
    for name, value in own.items():
        if value.shape != saved[name].shape:
            raise ValueError(
                f"the saved agent's {name!r} has shape {tuple(saved[name].shape)}, this one's {tuple(value.shape)}"
            )
    for name, value in own.items():
        value.copy_(saved[name])

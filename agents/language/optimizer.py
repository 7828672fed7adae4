"""AdamW with two parameter groups: weight decay acts on matrices and embeddings, but not on the gains of norms."""

import torch
from torch import nn

from ..optimizers import begin_at_zero


def adamw_grouped(
    module: nn.Module,
    learning_rate: float = 6e-4,
    betas: tuple[float, float] = (0.9, 0.95),
    epsilon: float = 1e-8,
    weight_decay: float = 0.1,
) -> torch.optim.AdamW:
    """Return a fused AdamW of the trained parameters, with its state at zero.

    Weight decay acts on parameters with two or more dimensions. Defaults are those of the language experiments of FIRE
    (arXiv 2602.08040), which are nanoGPT's.
    """
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [each for each in learning if each.ndim >= 2], "weight_decay": weight_decay},
        {"params": [each for each in learning if each.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, learning_rate, betas, epsilon, weight_decay, fused=True, capturable=learning[0].is_cuda
    )
    begin_at_zero(optimizer)
    return optimizer

"""Make the learner of a GPT: the network, initialised by a seed, and its optimizer."""

import torch
from torch import nn

from ..learning import TrainedNetwork
from ..optimizers import begin_at_zero
from ..supervised import Supervised
from .gpt import ENCODER, HEAD, make_gpt
from .settings import LanguageModelSettings
from .sizes import GPTSizes


def make_learner(
    sizes: GPTSizes, settings: LanguageModelSettings, seed: int, device: torch.device, at_once: int | None = None
) -> Supervised:
    """Return the learner; `at_once` sequences of an update are in memory at the same time (None: all)."""
    module, betas = make_gpt(sizes, seed).to(device), (settings.beta1, settings.beta2)
    optimizer = adamw_grouped(module, settings.learning_rate, betas, settings.adam_epsilon, settings.weight_decay)
    trained = TrainedNetwork("gpt", module, optimizer, encoder=ENCODER, head=HEAD)
    return Supervised(trained, device, settings.largest_norm, at_once, counts_right=False)


def adamw_grouped(
    module: nn.Module,
    learning_rate: float = 6e-4,
    betas: tuple[float, float] = (0.9, 0.95),
    epsilon: float = 1e-8,
    weight_decay: float = 0.1,
) -> torch.optim.AdamW:
    """Return a fused AdamW of the trained parameters, with its state at zero.

    Weight decay acts on parameters with two or more dimensions, not on the gains of norms. Defaults are those of the
    language experiments of FIRE (arXiv 2602.08040), which are nanoGPT's.
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

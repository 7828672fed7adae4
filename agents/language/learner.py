"""Make the learner of a GPT: the network, initialised by a seed, and its optimizer."""

import torch

from ..learning import TrainedNetwork
from ..supervised import Supervised
from .gpt import ENCODER, HEAD, make_gpt
from .optimizer import adamw_grouped
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

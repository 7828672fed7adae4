"""Adam and AdamW whose state exists from the first day, so that saving, loading and renewing it are plain copies."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn


def adam(
    parameters: Sequence[Tensor], learning_rate: float, betas: tuple[float, float], epsilon: float
) -> torch.optim.Adam:
    """A fused Adam with its moments and step counts at zero; on a GPU one that a captured graph may hold."""
    optimizer = torch.optim.Adam(
        parameters, learning_rate, betas, epsilon, fused=True, capturable=parameters[0].is_cuda
    )
    begin_at_zero(optimizer)
    return optimizer


def adamw(
    parameters: Sequence[Tensor], learning_rate: float, betas: tuple[float, float], epsilon: float, weight_decay: float
) -> torch.optim.AdamW:
    """A fused AdamW with its moments and step counts at zero; on a GPU one that a captured graph may hold."""
    optimizer = torch.optim.AdamW(
        parameters,
        learning_rate,
        betas,
        epsilon,
        weight_decay,
        fused=True,
        capturable=parameters[0].is_cuda,
    )
    begin_at_zero(optimizer)
    return optimizer


def begin_at_zero(optimizer: torch.optim.Optimizer) -> None:
    """The state that Adam and AdamW would make at their first step."""
    for parameter in (each for group in optimizer.param_groups for each in group["params"]):
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of every piece of an optimizer's state; `names` are its parameters' in order."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, parameter in zip(names, parameters, strict=True):
        for key, value in optimizer.state[parameter].items():
            yield f"{key}.{name}", value


def trained_names(module: nn.Module) -> list[str]:
    """Names of the parameters an optimizer holds, in its order: frozen ones have no state."""
    return [name for name, parameter in module.named_parameters() if parameter.requires_grad]

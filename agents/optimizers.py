"""Adam and AdamW whose state exists from the start, so that it can be saved, loaded and reset by plain copies."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam as adam_step


def adam(
    parameters: Sequence[Tensor], learning_rate: float, betas: tuple[float, float], epsilon: float
) -> torch.optim.Adam:
    """Return a fused Adam with its moments and step counts at zero; on a GPU it can be captured in a graph."""
    optimizer = torch.optim.Adam(
        parameters, learning_rate, betas, epsilon, fused=True, capturable=parameters[0].is_cuda
    )
    begin_at_zero(optimizer)
    return optimizer


def adamw(
    parameters: Sequence[Tensor], learning_rate: float, betas: tuple[float, float], epsilon: float, weight_decay: float
) -> torch.optim.AdamW:
    """Return a fused AdamW with its moments and step counts at zero; on a GPU it can be captured in a graph."""
    optimizer = torch.optim.AdamW(
        parameters, learning_rate, betas, epsilon, weight_decay, fused=True, capturable=parameters[0].is_cuda
    )
    begin_at_zero(optimizer)
    return optimizer


def begin_at_zero(optimizer: torch.optim.Optimizer) -> None:
    """Create the state that Adam and AdamW would otherwise create at their first step."""
    for parameter in (each for group in optimizer.param_groups for each in group["params"]):
        optimizer.state[parameter] = {
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }


def let_go_of_gradients(parameters: Iterable[Tensor]) -> None:
    """Set all gradients to None, as `zero_grad` does."""
    for parameter in parameters:
        parameter.grad = None


@torch.no_grad()
def take_step(optimizer: torch.optim.Optimizer) -> None:
    """Take one step of an optimizer.

    For a fused Adam or AdamW on a CPU, call the function that its `step` calls, without the code around it: for a small
    network this code takes longer than the arithmetic. The numbers are the same, bit by bit. Hooks are not called.
    """
    if not _is_fused_on_a_cpu(optimizer):
        optimizer.step()
        return
    for group in optimizer.param_groups:
        moved = [parameter for parameter in group["params"] if parameter.grad is not None]
        states = [optimizer.state[parameter] for parameter in moved]
        adam_step(
            moved,
            [parameter.grad for parameter in moved],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
            decoupled_weight_decay=group["decoupled_weight_decay"],
        )


def _is_fused_on_a_cpu(optimizer: torch.optim.Optimizer) -> bool:
    return type(optimizer) in (torch.optim.Adam, torch.optim.AdamW) and all(
        group["fused"] and not group["amsgrad"] and group["params"][0].device.type == "cpu"
        for group in optimizer.param_groups
    )


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor of an optimizer's state with a name; `names` are those of its parameters, in order."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, parameter in zip(names, parameters, strict=True):
        for key, value in optimizer.state[parameter].items():
            yield f"{key}.{name}", value


def set_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set every group's learning rate to a share of its full rate, which is its rate at the first call."""
    for group in optimizer.param_groups:
        full = group.setdefault("full_lr", float(group["lr"]))
        if isinstance(group["lr"], Tensor):  # a captured graph reads this tensor
            group["lr"].fill_(share * full)
        else:
            group["lr"] = share * full

"""Whether tensors hold numbers only: a method of one's own may write anything."""

from collections.abc import Iterable

import torch
from torch import Tensor


@torch.no_grad()
def first_not_finite(tensors: Iterable[tuple[str, Tensor]]) -> tuple[str, float] | None:
    """The first floating-point tensor that holds NaN or infinity, and the first such value; None where none does.

    Smallest and largest entry are NaN where one entry is, which takes a tenth of the time of `isfinite` on a CPU. A
    device is waited for once.
    """
    named = [(name, tensor) for name, tensor in tensors if tensor.is_floating_point() and tensor.numel()]
    finite: dict[torch.device, list[Tensor]] = {}
    for _, tensor in named:
        finite.setdefault(tensor.device, []).append(torch.stack(torch.aminmax(tensor)).isfinite().all())
    if all(torch.stack(flags).all() for flags in finite.values()):
        return None
    for name, tensor in named:
        wrong = tensor[~tensor.isfinite()]
        if len(wrong):
            return name, float(wrong[0])
    raise AssertionError("an extreme is not finite, but no entry is")  # aminmax and isfinite disagree

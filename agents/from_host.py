"""Calls whose input comes from the host and whose result returns to it, such as the choice of actions."""

from collections.abc import Callable, Hashable

import numpy as np
import torch
from torch import Tensor

from .captured import Captured, Structure


class FromHost:
    """A captured call in float32 whose input comes from the host and whose result returns to it, by pinned memory."""

    def __init__(self, captured: Captured) -> None:
        self.captured = captured
        self._sent: dict[Hashable, tuple[Tensor, Tensor]] = {}  # on the host, and on the device
        self._results: dict[Hashable, Tensor] = {}
        self._taken: torch.cuda.Event | None = None

    def __call__(
        self, call: Callable[[Tensor], Tensor | None], array: np.ndarray, kind: Hashable, structure: Structure = tuple
    ) -> np.ndarray:
        """Return the result of `call` for the array, as a new array; empty if `call` returns None."""
        result = self.captured(call, (self._send(array),), kind, structure, precision="float32", copies=False)
        return np.empty(0) if result is None else self._fetch(result, kind)

    def _send(self, array: np.ndarray) -> Tensor:
        """Copy the array to the device. The same array is not copied twice, as `act` follows `observe`."""
        device = self.captured.device
        if device.type == "cpu":
            return torch.as_tensor(array)
        given = torch.from_numpy(np.ascontiguousarray(array))
        key = given.shape, given.dtype
        if key in self._sent:
            kept, moved = self._sent[key]
            if torch.equal(kept, given):
                return moved
            if self._taken is not None:
                self._taken.synchronize()  # the previous copy may still be reading from the pinned memory
        else:
            kept = torch.empty_like(given, pin_memory=device.type == "cuda")
            self._sent[key] = kept, torch.empty_like(given, device=device)
        kept, moved = self._sent[key]
        kept.copy_(given)
        moved.copy_(kept, non_blocking=True)
        if device.type == "cuda":
            self._taken = self._taken or torch.cuda.Event()
            self._taken.record(torch.cuda.current_stream(device))
        return moved

    def _fetch(self, result: Tensor, kind: Hashable) -> np.ndarray:
        device = self.captured.device
        if device.type != "cuda":
            return result.cpu().numpy()
        key = kind, result.shape, result.dtype
        if key not in self._results:
            self._results[key] = torch.empty_like(result, device="cpu", pin_memory=True)
        self._results[key].copy_(result, non_blocking=True)
        torch.cuda.current_stream(device).synchronize()
        return self._results[key].numpy().copy()

"""The parts on the card itself: versions, the bandwidth of copies, and the rate of products of our shapes."""

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from fire_rl.cores import processor

from ..timing import Call, best_on_device, one_of_many
from . import machine
from .part import NOT_A_CARD, Figures, Rows, Setting

Shape = tuple[int, int, int, int]  # members, rows, inner, columns
PRODUCTS: dict[str, Shape] = {  # products of SAC's update, those of ten critics at once, and a large one
    "critic in": (2, 256, 70, 512),
    "critic expand": (2, 256, 512, 2048),
    "critic contract": (2, 256, 2048, 512),
    "critic's weight gradient": (2, 512, 256, 2048),
    "actor expand": (1, 256, 128, 512),
    "ten agents' critics expand": (20, 256, 512, 2048),
    "large": (1, 8192, 8192, 8192),
}
BUSY = 50  # large products, about a second of work on a GPU
DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}


def versions(setting: Setting, rows: Rows) -> None:
    """Add rows for all versions and properties on which figures may depend."""
    rows.add("python", lambda: {"": platform.python_version()})
    for name, version in machine.versions().items():
        rows.say(name, version)
    rows.say("processor", f"{processor()}, {len(os.sched_getaffinity(0))} cores; torch takes {setting.threads}")
    rows.on_a_card(setting, "card", lambda: card(setting))
    rows.on_a_card(setting, "driver, clocks, power, MPS", lambda: state(setting.place))


def card(setting: Setting) -> Figures:
    """Return the properties of the card."""
    about = torch.cuda.get_device_properties(setting.place)
    return {
        "": about.name,
        "multiprocessors": about.multi_processor_count,
        "GiB": about.total_memory / 2**30,
        "MB of L2": getattr(about, "L2_cache_size", 0) / 1e6,
        "CUDA": str(torch.version.cuda),
        "cuDNN": str(torch.backends.cudnn.version()),
    }


def busy(device: torch.device) -> None:
    """Queue large products, so that the clocks rise from their idle values."""
    large = torch.randn(8192, 8192, device=device)
    for _ in range(BUSY):
        torch.mm(large, large)


def state(device: torch.device) -> Figures:
    """Return the driver, the clocks under load and the power limit of the card, and whether MPS is running."""
    query = "--query-gpu=driver_version,clocks.sm,clocks.mem,power.limit"
    call = ["nvidia-smi", query, "--format=csv,noheader"]
    busy(device)
    said = subprocess.run(call, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    return {"": said.replace("\n", "; "), "MPS": "yes" if runs("nvidia-cuda-mps") else "no"}


def runs(name: str) -> bool:
    """Return whether a process runs whose name begins so."""
    for path in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # it has ended since
            if path.read_text().startswith(name):
                return True
    return False


def copies(setting: Setting, rows: Rows) -> None:
    """Add rows for the bandwidth of copies, and for the time of small operations."""
    device = setting.place
    size = 2**22 if setting.quick else 2**30 if setting.card else 2**28
    source = torch.randint(256, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def bandwidth(moved: float, call: Call) -> Figures:
        return {"GB/s": moved / best_on_device([call], device) / 1e9}

    rows.add("copying, bytes read and written", lambda: bandwidth(2 * size, lambda: target.copy_(source)))
    rows.on_a_card(setting, "from pinned memory to the card", lambda: pinned(setting, target, to_card=True))
    rows.on_a_card(setting, "from the card to pinned memory", lambda: pinned(setting, target, to_card=False))
    small, number = torch.zeros(71), torch.zeros(1, device=device)
    for name, call in {
        "starting one small kernel after another": lambda: number.add_(1),
        "moving 71 numbers to the device": lambda: small.to(device),
        "reading one number": lambda: number.item(),
    }.items():
        rows.add(name, partial(microseconds, call, device))


def microseconds(call: Call, device: torch.device) -> Figures:
    """Return the microseconds of a call."""
    return {"us": 1e6 * one_of_many(call, device)}


def pinned(setting: Setting, tensor: Tensor, to_card: bool) -> Figures:
    """Return the bandwidth between pinned memory and the card."""
    host = torch.empty(min(2**28, len(tensor)), dtype=torch.uint8, pin_memory=True)
    part = tensor[: len(host)]
    target, source = (part, host) if to_card else (host, part)
    taken = one_of_many(lambda: target.copy_(source, non_blocking=True), setting.place)
    return {"GB/s": len(host) / taken / 1e9}


def products(setting: Setting, rows: Rows) -> None:
    """Add rows with the TFLOP/s of each shape; on a card without launches, which take longer than small products."""
    if setting.card:
        busy(setting.place)
    rows.say("members x rows x inner x columns", "TFLOP/s, then microseconds")
    for name, shape in PRODUCTS.items():
        if name == "large" and not setting.card:
            rows.say(name, NOT_A_CARD)
        else:
            smaller = 8 if setting.quick else 1
            members, height, inner, width = shape
            size = members, height // smaller, max(1, inner // smaller), width // smaller
            rows.add(f"{name} {' x '.join(map(str, size))}", partial(product, setting, size))


def product(setting: Setting, shape: Shape) -> Figures:
    """Return the rate and time of a product in each precision."""
    members, rows, inner, columns = shape
    work = 2.0 * members * rows * inner * columns
    found: dict[str, float | int | str] = {}
    for precision, dtype in DTYPES.items():
        if precision == "tf32" and not setting.card:
            found |= {"tf32": NOT_A_CARD, "us tf32": NOT_A_CARD}
            continue
        left = torch.randn(members, rows, inner, device=setting.place).to(dtype)
        right = torch.randn(members, inner, columns, device=setting.place).to(dtype)
        out = torch.empty(members, rows, columns, device=setting.place, dtype=dtype)
        with tf32_allowed(precision == "tf32"):
            taken = best_on_device([partial(torch.bmm, left, right, out=out)], setting.place)
        found |= {precision: work / taken / 1e12, f"us {precision}": 1e6 * taken}
    return found


@contextmanager
def tf32_allowed(allowed: bool) -> Iterator[None]:
    """Run the block with matrix products of float32 in tf32, or without it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)

"""The device on which a run trains."""

import torch


def choose_device(name: str) -> torch.device:
    """Return the device with this name; `auto` is a GPU if there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"--device {name!r} given; allowed are auto, cpu, cuda and cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"--device {name!r} given; allowed are auto, cpu, cuda and cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"--device {name!r} given; this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def notes_on_precision(precision: str, device: torch.device) -> tuple[str, ...]:
    """Return a note if a precision has no effect on a CPU, or makes it slower."""
    if device.type != "cpu":
        return ()
    if precision == "tf32":
        return ("--precision tf32 changes nothing on a CPU",)
    return notes_on_bfloat16("--precision bfloat16", device) if precision == "bfloat16" else ()


def notes_on_bfloat16(given: str, device: torch.device) -> tuple[str, ...]:
    """Return a note if what was given computes in bfloat16, and the device is a CPU that cannot."""
    if device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return ()
    return (f"{given}: this processor has no instructions for bfloat16, and updates take several times as long",)

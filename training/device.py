"""The device on which a run trains."""

import torch

from fire_rl.agents.agent import Agent
from fire_rl.agents.learning import CapturedAgent


def choose_device(name: str) -> torch.device:
    """Return the device with this name; `auto` is a GPU if there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = device_named(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ValueError(
            f"--device {name!r} is not here: this machine has {count} CUDA devices; allowed is --device auto"
        )
    return device


def device_named(name: str) -> torch.device:
    """Return the device with this name, which another machine may have; raise ValueError if there is no such name."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"--device {name!r} given; allowed are auto, cpu, cuda and cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"--device {name!r} given; allowed are auto, cpu, cuda and cuda:N")
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


def notes_on_updates(agent: Agent) -> tuple[str, ...]:
    """Return a note on how updates are done on a GPU, or on what the chosen precision means on a CPU."""
    if not isinstance(agent, CapturedAgent):
        return ()
    compiled = ("losses are compiled: the first updates take long",) if agent.compiled.on else ()
    if agent.device.type != "cuda":
        return (*notes_on_precision(agent.captured.precision, agent.device), *compiled)
    how = "captured as CUDA graphs" if agent.captured.records else "started kernel by kernel"
    name = torch.cuda.get_device_name(agent.device)
    return (f"updates: {how}, in {agent.captured.precision}, on {name}", *compiled)

"""What identifies the machine and the code: the device, versions of packages, the commit.

`fire_rl.training` describes a run's machine in the same way, but needs packages that a bare GPU machine lacks. This
module needs only torch.
"""

import subprocess
from contextlib import suppress
from pathlib import Path

import torch

from fire_rl.place import installed_versions

PACKAGES = ("torch", "triton", "numpy", "jax", "gymnasium", "mujoco", "ale-py", "MinAtar", "tyro", "msgspec")


def device_named(name: str) -> torch.device:
    """Return the device with this name; `auto` is a GPU if there is one. Raise ValueError if it does not exist."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with suppress(RuntimeError):
        device = torch.device(name)
        if device.type == "cpu" or (device.type == "cuda" and (device.index or 0) < torch.cuda.device_count()):
            return device
    found = f"this machine has {torch.cuda.device_count()} CUDA devices"
    raise ValueError(f"--device {name!r} given; allowed are auto, cpu, cuda and cuda:N; {found}")


def versions() -> dict[str, str]:
    """Return the versions of the installed packages on which figures may depend."""
    return installed_versions(PACKAGES)


def commit(folder: Path) -> str:
    """Return the commit of a checkout, with a mark if files were changed; `unknown` without git or its files."""
    call = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(call, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"

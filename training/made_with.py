"""What a checkpoint was made with: settings, which may not change, packages and machine, whose changes are reported."""

import platform
import subprocess
from typing import Any

import msgspec
import torch

from fire_rl import __version__
from fire_rl.cores import processor
from fire_rl.place import IN_A_CHECKOUT, ROOT, installed_versions

from .config import Config, Settings
from .device import choose_device
from .phased_settings import PhasedSettings
from .reinforcement_settings import RunSettings
from .settings import names_with

PACKAGES = (
    "torch", "numpy", "gymnasium", "mujoco", "ale-py", "MinAtar", "dm-control", "humanoid-bench", "safetensors",
)  # fmt: skip
KINDS = (RunSettings, PhasedSettings)  # their settings marked `machine` may change, and are reported


class MadeWith(msgspec.Struct, frozen=True):
    """The settings by group; the versions, commit, processor and GPU by name."""

    settings: Settings
    machine: dict[str, str]


def made_with(config: Config) -> MadeWith:
    """Return the settings and the machine of this process."""
    return MadeWith(as_json(config), machine(choose_device(config.run.device)))


def as_json(config: Config) -> Settings:
    """Return all settings as they are after writing and reading them as JSON."""
    return msgspec.json.decode(msgspec.json.encode(config.by_group()), type=Settings)


def machine(device: torch.device) -> dict[str, str]:
    """Return the versions of packages that affect the result, the commit, the processor, and the GPU used."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    others = {"fire-rl": __version__, "commit": commit(), "processor": processor(), "gpu": gpu}
    return {"python": platform.python_version()} | versions() | {name: text for name, text in others.items() if text}


def changed_setting(before: Settings, config: Config) -> tuple[str, Any, Any] | None:
    """Return the first setting that differs from the earlier ones and may not change, with both values, or None."""
    now, free = as_json(config), names_with(config.run, "resumable", "machine")
    for group, theirs in before.items():
        ours = now.get(group, {})
        for name, value in theirs.items():
            if name in ours and ours[name] != value and name not in free:
                return name, value, ours[name]
    return None


def differences_in_words(before: MadeWith, now: MadeWith) -> list[str]:
    """Describe the changes that are allowed, in the machine, packages and settings: `torch 2.13.0, now 2.14.1`."""
    names = dict.fromkeys((*before.machine, *now.machine))
    pairs: dict[str, Any] = {name: (before.machine.get(name), now.machine.get(name)) for name in names}
    ours, theirs = now.settings.get("run", {}), before.settings.get("run", {})
    pairs |= {
        name: (theirs[name], ours[name])
        for name in dict.fromkeys(name for kind in KINDS for name in names_with(kind, "machine"))
        if name in ours and name in theirs
    }
    return [f"{name} {then}, now {here}" for name, (then, here) in pairs.items() if then != here]


def versions() -> dict[str, str]:
    """Return the versions of the installed packages that affect the result."""
    return installed_versions(PACKAGES)


def commit() -> str | None:
    """Return the checkout's commit, with a mark if files were changed or if there is untracked code."""
    if not IN_A_CHECKOUT:
        return None
    try:
        described = _git("describe", "--always", "--dirty", "--abbrev=12").strip()
        untracked = _git("ls-files", "--others", "--exclude-standard", "--", "*.py").strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{described}, with untracked code" if untracked else described


def _git(*words: str) -> str:
    call = ["git", "-C", str(ROOT), *words]
    return subprocess.run(call, capture_output=True, text=True, check=True, timeout=10).stdout

"""Read a card: a folder with one policy and its description, as on model hubs.

CARD/   model.safetensors   config.json   README.md   curve.csv   curve.png

`config.json` is the run's own, with a record of the policy added. Weights are in the safetensors format. A card is not
trusted: the size of each file is limited, names and shapes have to be exactly those of the policy, and links are not
followed.
"""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import safetensors
import safetensors.torch
import torch
from msgspec import Meta
from torch import Tensor

from fire_rl.agents.agent import Agent
from fire_rl.envs.kept_spaces import KeptSpaces
from fire_rl.fire import first_not_finite, restore_structure

from .agent_run import AgentRun
from .durable import Damaged, read_regular
from .error_words import message_of
from .files import CONFIG_BYTES, read_json
from .folder import WEIGHTS
from .policy_module import BOUNDS, PolicyModule, module_of
from .progress import Count
from .spaces import surroundings_of

CONFIG = "config.json"
HEADER_BYTES = 1_000_000  # the longest header that is read
STORED = (torch.float16, torch.float32, torch.float64, torch.int64)

Text = Annotated[str, Meta(max_length=300)]


class Score(msgspec.Struct, frozen=True):
    """The measured score of a policy: the mean return, with a 95% confidence interval of the mean."""

    mean: float
    low: float
    high: float
    deviation: float  # standard deviation of the episodes' returns
    episodes: Count
    occasion: Text = ""  # how it was measured


class PolicyRecord(msgspec.Struct, frozen=True):
    """The record of the policy in a card's config.json."""

    step: Count
    spaces: KeptSpaces
    structure: dict[str, Any] = {}  # how events changed the networks' structure
    score: Score | None = None


class _Carded(msgspec.Struct, frozen=True):
    policy: PolicyRecord


def is_card(folder: Path) -> bool:
    """Whether the folder's config.json is readable and belongs to a card, not to a run."""
    try:
        return "policy" in read_json(folder / CONFIG, at_most=CONFIG_BYTES)
    except Damaged:
        return False


def read_record(folder: Path) -> PolicyRecord:
    """Return a card's record of its policy; raise ValueError in one line if the record is not valid."""
    return read_json(folder / CONFIG, _Carded, CONFIG_BYTES).policy


def read_agent(folder: Path, config: AgentRun, device: torch.device) -> tuple[Agent, PolicyRecord]:
    """Return the agent with the card's policy; everything else in the agent is as at the beginning of a run."""
    record = read_record(folder)
    agent = config.agent_for(surroundings_of(config, record.spaces), np.random.SeedSequence(config.run.seed), device)
    if record.structure:
        try:
            restore_structure(agent.plastic(), record.structure)
        except Exception as error:  # the record is not trusted and may cause any error
            raise Damaged(f"{folder / CONFIG} holds no structure of this agent: {message_of(error)}") from error
    load_weights(module_of(agent, record.spaces), folder / WEIGHTS)
    return agent, record


def load_weights(module: PolicyModule, path: Path) -> None:
    """Copy all tensors of a file into the module; raise Damaged, and copy none, if one does not fit."""
    most = sum(8 * value.numel() for value in module.state_dict().values()) + HEADER_BYTES
    load_tensors(module, bytes(read_regular(path, most)), path)


def load_tensors(module: PolicyModule, content: bytes, path: Path) -> None:
    """Do the same with the content of a file."""
    own, saved = module.state_dict(), tensors_of(content, path)
    require_same(own, saved, path)
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(saved[name])


def tensors_of(content: bytes, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; raise Damaged if its header is too long or not valid."""
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= HEADER_BYTES:
        raise Damaged(f"{path}: its header would have {length:,} bytes; {HEADER_BYTES:,} are read at most")
    try:
        return safetensors.torch.load(content)
    except Exception as error:  # the header may hold anything
        raise Damaged(f"{path} cannot be read as tensors: {message_of(error)}") from error


def require_same(own: dict[str, Tensor], saved: dict[str, Tensor], path: Path) -> None:
    """Raise Damaged if names, shapes or types differ, or if a number is not finite."""
    if missing := sorted(own.keys() - saved.keys()):
        raise Damaged(f"{path} lacks {missing[0]!r}, which the policy has")
    if foreign := sorted(saved.keys() - own.keys()):
        raise Damaged(f"{path} has {foreign[0][:80]!r}, which the policy does not have")
    for name, value in own.items():
        if saved[name].shape != value.shape:
            raise Damaged(f"{path}: {name!r} has shape {tuple(saved[name].shape)}, the policy's {tuple(value.shape)}")
        if saved[name].dtype not in STORED or saved[name].is_floating_point() != value.is_floating_point():
            raise Damaged(f"{path}: {name!r} holds {saved[name].dtype}, the policy's {value.dtype}")
        if name in BOUNDS and not torch.equal(saved[name].to(value.dtype), value.cpu()):
            raise Damaged(f"{path}: {name!r} is not the bound of actions that {CONFIG} has")
    if found := first_not_finite(sorted(saved.items())):
        raise Damaged(f"{path} holds {found[1]} in {found[0]}")

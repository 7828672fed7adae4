"""An update transfers nothing between host and device, and a recorded update does the same when it is replayed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from fire_rl.agents import DQN, SAC, DQNSettings, SACSettings
from fire_rl.agents.captured import WARM_UP, Captured, _Recording
from fire_rl.fire import Never, NoMethod, PlasticityManager, Position, parse_method, parse_regularizer
from fire_rl.fire.published import DQN as DQN_METHODS
from fire_rl.fire.published import SAC as SAC_METHODS
from fire_rl.replay import Batch
from tests.fixtures.pretend_device import METHODS, READS, REGULARIZERS
from tests.fixtures.stepwise import ask_no_number_of_the_host

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.fixtures.pretend_device"]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=one_thread, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return cast(dict[str, Any], json.loads(done.stdout))


def test_the_device_records_what_waits_or_moves_and_nothing_else(found: dict[str, Any]) -> None:
    seen = found["seen"]
    assert all(seen[name] for name in ("item", "branch", "mask", "constant", "out")), seen
    assert not seen["number"]
    assert not seen["made there"]


@pytest.mark.parametrize("agent", ["SAC", "DQN"])
@pytest.mark.parametrize("method", [*METHODS, *REGULARIZERS])
def test_nothing_is_transferred_in_a_block_of_updates(found: dict[str, Any], agent: str, method: str) -> None:
    assert found[f"{agent} {method}"]["updates"] == [[], []]


def test_units_were_replaced_meanwhile(found: dict[str, Any]) -> None:
    for agent in ("SAC", "DQN"):
        for method in METHODS:
            if "=" in method:
                assert sum(found[f"{agent} {method}"]["figures"].values()), (agent, method)


@pytest.mark.parametrize("agent", ["SAC", "DQN"])
def test_a_decision_transfers_the_observation_and_the_action(found: dict[str, Any], agent: str) -> None:
    assert found[f"{agent} decision"] == ["copy_", "_to_copy"]
    assert found[f"{agent} the same observation"] == ["_to_copy"], "it is already there"


class Played(TorchDispatchMode):
    """Records every operation of a call, to repeat it on the same tensors and numbers, as a CUDA graph does."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, Any, Any, list[Any]]] = []
        self.before: dict[int, tuple[Any, Any]] = {}  # older than the recording, and written to in it
        self.new: set[int] = set()
        self.kept: list[Any] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = operation.overloadpacket._qualified_op_name.partition("::")[2]
        masks = name.strip("_").startswith("index") and torch.bool in {one.dtype for one in tensors(args)[1:]}
        assert not masks, f"{name} with a mask asks how many there are"
        assert name not in READS, f"{name} reads on the host"
        for tensor in tensors((args, kwargs or {})) if operation._schema.is_mutable else ():
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self.new | self.before.keys():
                self.before[storage.data_ptr()] = storage, storage.clone()
        result = operation(*args, **(kwargs or {}))
        given = {one.untyped_storage().data_ptr() for one in tensors((args, kwargs or {}))}
        self.new |= {one.untyped_storage().data_ptr() for one in tensors(result)} - given - self.before.keys()
        # Lists may be changed by the caller; copies of the structure hold the same tensors.
        args, kwargs = tree_map_only(Tensor, lambda one: one, (args, kwargs or {}))
        self.done.append((operation, args, kwargs, tensors(result)))
        return result

    def undo(self) -> None:
        for storage, values in self.before.values():
            storage.copy_(values)

    @torch.no_grad()
    def play(self) -> None:
        for operation, args, kwargs, results in self.done:
            for old, new in zip(results, tensors(operation(*args, **kwargs)), strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor)]


class Recorded(Captured):
    """Behaves as on a GPU, except that the device is the CPU and a recording is a list of operations."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.device = cast(torch.device, SimpleNamespace(type="cuda"))
        self.on, self.recorded = True, 0

    def _aside(self, call: Callable[..., Any], inputs: Sequence[Tensor]) -> Any:
        return call(*inputs)

    def _record(self, call: Callable[..., Any], inputs: Sequence[Tensor], generators: Any) -> _Recording:
        self.recorded += 1
        static, streams = tuple(tensor.clone() for tensor in inputs), list(generators)
        states, played = [stream.get_state() for stream in streams], Played()
        with played:
            output = call(*static)
        played.undo()
        for stream, state in zip(streams, states, strict=True):
            stream.set_state(state)
        return _Recording(cast(Any, SimpleNamespace(replay=played.play)), static, output)


def sac() -> SAC:
    sizes = SACSettings(critic_width=8, actor_width=8, critic_blocks=2)
    return SAC(5, 2, sizes, seed=np.random.SeedSequence(0))


def dqn() -> DQN:
    sizes = DQNSettings(network="minatar", hidden_width=16, target_every=6)
    return DQN((4, 10, 10), 3, sizes, seed=np.random.SeedSequence(0))


def blocks(agent: SAC | DQN) -> Iterator[Batch]:
    lead = (2, 8)
    while True:
        if isinstance(agent, SAC):
            one, other, action = torch.randn(*lead, 5), torch.randn(*lead, 5), torch.rand(*lead, 2)
        else:
            one, other = (torch.randint(2, (*lead, 4, 10, 10), dtype=torch.uint8) for _ in range(2))
            action = torch.randint(3, lead)
        zeros = torch.zeros(lead)
        yield Batch(one, action, torch.randn(lead), other, zeros, steps=zeros + 1)


@pytest.mark.parametrize("make", [sac, dqn])
@pytest.mark.parametrize("text", [*METHODS, *REGULARIZERS])
def test_a_replayed_update_equals_an_ordinary_one(
    make: Callable[[], SAC | DQN], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_no_number_of_the_host(monkeypatch)
    states: list[dict[str, Tensor]] = []
    figures: list[dict[str, float]] = []
    recorded = 0
    for plays in (False, True):
        torch.manual_seed(0)
        agent = make()
        if plays:
            agent.captured = Recorded()
        regularizers = [parse_regularizer(text)] if text in REGULARIZERS else []
        presets = SAC_METHODS if isinstance(agent, SAC) else DQN_METHODS
        method = NoMethod() if regularizers else parse_method(text, presets)
        manager = PlasticityManager(agent.plastic(), method, Never(), regularizers)
        for number, batch in zip(range(WARM_UP + 5), blocks(agent), strict=False):
            agent.update(batch, manager)
            if method.acts_at_events and number == WARM_UP + 2:
                manager.act(Position(8, 8), agent.losses(Batch(*(tensor[0] for tensor in batch)), 0))
        states.append(agent.state_dict() | manager.tensors())
        figures.append(manager.figures())
        if plays:
            recorded = cast(Recorded, agent.captured).recorded
    assert recorded == 1
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    assert figures[0] == figures[1]
    assert ("=" not in text) or any(figures[0].values()), "units were replaced"


@pytest.mark.parametrize("make", [sac, dqn])
def test_a_replayed_update_in_bfloat16_equals_an_ordinary_one(make: Callable[[], SAC | DQN]) -> None:
    states = []
    for plays in (False, True):
        torch.manual_seed(0)
        agent = make()
        if plays:
            agent.captured = Recorded()
            agent.captured.mixed = lambda: torch.autocast("cpu", torch.bfloat16, cache_enabled=False)  # type: ignore[method-assign]
        agent.captured.precision = "bfloat16"
        for _, batch in zip(range(WARM_UP + 4), blocks(agent), strict=False):
            agent.update(batch)
        states.append(agent.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())

"""Every method and every regularizer on both agents: exact when restored in the middle, and active inside a block."""

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from fire_rl.agents import DQN, KINDS, SAC, DQNSettings, SACSettings
from fire_rl.fire import METHODS, Never, PlasticityManager, Position, parse_method, parse_regularizer
from fire_rl.fire.regularizers import REGULARIZERS
from fire_rl.replay import Batch

OBSERVATION, ACTIONS, BATCH = 5, 3, 16
# So frequent that they act within some tens of updates.
IN_A_HURRY = {
    "cbp": "cbp:replacement_rate=0.05,maturity=3",
    "redo": "redo:tau=0.5",
    "snr": "snr:longest=6,period=3,apply_every=1,rejection=0.3",
}
HURRIED = [IN_A_HURRY.get(name, name) for name in METHODS]


def make_agent(kind: str) -> Any:
    seed = np.random.SeedSequence(0)
    if kind == "sac":
        sizes = SACSettings(critic_width=8, critic_blocks=1, actor_width=8, batch_size=BATCH, learning_rate=3e-2)
        return SAC(OBSERVATION, ACTIONS, sizes, seed=seed)
    settings = DQNSettings(hidden_width=16, batch_size=BATCH, learning_rate=3e-2, target_every=7)
    return DQN((2, 5, 5), ACTIONS, settings, seed=seed)


def make_batch(kind: str, updates: int, seed: int) -> Batch:
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(seed))
    lead = (updates, BATCH)
    shape = (OBSERVATION,) if kind == "sac" else (2, 5, 5)
    actions = draw(*lead, ACTIONS).tanh() if kind == "sac" else draw(*lead, ACTIONS).argmax(-1)
    return Batch(draw(*lead, *shape), actions, draw(*lead), draw(*lead, *shape), torch.zeros(lead), torch.ones(lead))


def make(kind: str, method: str, regularizers: tuple[str, ...] = ()) -> tuple[Any, PlasticityManager]:
    agent = make_agent(kind)
    at_events = parse_method(method, KINDS[kind].published)
    others = [parse_regularizer(name) for name in regularizers]
    return agent, PlasticityManager(agent.plastic(), at_events, Never(), others, seed=11)


def go_on(kind: str, agent: Any, manager: PlasticityManager, first: int, last: int) -> None:
    """Make blocks of three updates. After every fifth, methods that have events act at one."""
    for block in range(first, last):
        agent.update(make_batch(kind, 3, seed=block), manager)
        if block % 5 == 4 and manager.method.acts_at_events:
            examples = Batch(*(tensor[0] for tensor in make_batch(kind, 1, seed=1000 + block)))
            manager.act(Position(block, block), agent.losses(examples, seed=block))


def saved(agent: Any, manager: PlasticityManager) -> tuple[dict[str, Tensor], str, dict[str, Tensor]]:
    def through_a_file(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return load(save(tensors))

    return (
        through_a_file(agent.state_dict()),
        json.dumps(manager.state_dict(), allow_nan=False),
        through_a_file(manager.tensors()),
    )


def assert_restored_runs_are_exact(kind: str, method: str, regularizers: tuple[str, ...] = ()) -> PlasticityManager:
    straight, stopped, resumed = (make(kind, method, regularizers) for _ in range(3))
    go_on(kind, *straight, 0, 14)
    go_on(kind, *stopped, 0, 8)
    tensors, values, kept = saved(*stopped)
    agent, manager = resumed
    manager.load_state_dict(json.loads(values))
    agent.load_state_dict(tensors)
    manager.load_tensors(kept)
    go_on(kind, agent, manager, 8, 14)
    for one, other in zip(saved(*straight)[::2], saved(agent, manager)[::2], strict=True):
        assert one.keys() == other.keys()
        assert [name for name, value in one.items() if not torch.equal(value, other[name])] == []
        assert all(value.isfinite().all() for value in one.values())
    return straight[1]


@pytest.mark.parametrize("kind", ["sac", "dqn"])
@pytest.mark.parametrize("method", HURRIED)
def test_a_run_of_any_method_restored_in_the_middle_continues_bit_by_bit(kind: str, method: str):
    manager = assert_restored_runs_are_exact(kind, method)
    if manager.method.acts_at_events:
        assert [event.position.updates for event in manager.events] == [4, 9]
    elif method != "none":
        assert sum(manager.figures().values()) > 0, "no unit was replaced, so the test shows nothing"


@pytest.mark.parametrize("kind", ["sac", "dqn"])
def test_a_run_with_every_regularizer_restored_in_the_middle_continues_bit_by_bit(kind: str):
    assert_restored_runs_are_exact(kind, "redo:tau=0.5", tuple(REGULARIZERS))


@pytest.mark.parametrize("name", ["cbp", "snr"])
def test_a_method_that_acts_after_every_step_does_so_inside_a_block_of_updates(name: str):
    one, other = make("dqn", IN_A_HURRY[name]), make("dqn", IN_A_HURRY[name])
    batches = make_batch("dqn", 30, seed=0)
    one[0].update(batches, one[1])
    for k in range(30):
        other[0].update(Batch(*(tensor[k : k + 1] for tensor in batches)), other[1])
    assert sum(one[1].figures().values()) > 0
    assert one[1].figures() == other[1].figures()
    for (name, value), same in zip(one[0].state_dict().items(), other[0].state_dict().values(), strict=True):
        assert torch.equal(value, same), name


@pytest.mark.parametrize("kind", ["sac", "dqn"])
def test_looking_at_a_network_leaves_the_run_as_it_is(kind: str):
    looked, left = make(kind, "none"), make(kind, "none")
    for block in range(3):
        for agent, manager in (looked, left):
            go_on(kind, agent, manager, block, block + 1)
        agent, manager = looked
        examples = Batch(*(tensor[0] for tensor in make_batch(kind, 1, seed=99)))
        values = manager.measure(agent.losses(examples, seed=5), hessian=block == 1)
        assert values == manager.measure(agent.losses(examples, seed=5), hessian=block == 1)
        assert all(np.isfinite(list(values.values())))
    for (name, value), same in zip(looked[0].state_dict().items(), left[0].state_dict().values(), strict=True):
        assert torch.equal(value, same), name

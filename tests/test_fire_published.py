"""DQN and its methods beside the authors' own code, run: before an event, right after it, and seven updates later.

`published_reference.json` holds figures of every tensor (`figures`), losses, and figures of the outputs on batch 11, by
code that ran unchanged; statements of a training loop were taken out of the loop and run. Weights and batches are
`weights` and `batch` below: the initial ones start at seed 0, the network's at 100, the target's at 200. Learning rate
0.001, Adam's epsilon 1.5e-4, discount 0.99, updates 1 to 10, the event after 3, the target copied after 4 and 8.
- fire_resume: isaac7778/FIRE (commit c37a0ac), rl/dqn/cleanrl/dqn_atari_resume.py: `QNetwork`, its `optimizer`, the
  branch `if global_step > args.learning_starts`, and for an event `apply_full_reset`, `apply_srdqn`, `apply_fire`, or
  the branch `if args.pi == 1` with `PlasticityInjectedQNetwork`.
- injection_torch: timoklein/plasticity-injection-torch (commit c51cd96), injection_dqn.py: the branches that inject and
  train, `dqn_loss` (double Q-learning), src/agent.py's `QNetwork`; its new heads, a draw there, were given the initial
  head. Both in float64 from numbers in float32: in float32 a unit at the edge of its ReLU may fall on either side, and
  updates enlarge that, to 2e-4 of the outputs.
- rl_with_resets: evgenii-nikishin/rl_with_resets (commit 502ec52), discrete_control/agents/rainbow_agent.py:
  `_build_networks_and_optimizer` and `reset_weights` of `JaxSPRAgent`, set as in SPR_with_resets.gin, on a tree of
  encoder, projection and head that holds a smaller network's tensors in our layout, and whose new draw is the initial
  weights. Updates 1 to 3, reset, updates 4 and 5 of its optimizer took `weights` from 2000 + 100 n as gradients, in
  float32. By optax 0.2.8; its pinned 0.1.2 does the same.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fire_rl.agents import DQN, DQNSettings
from fire_rl.agents.dqn import networks
from fire_rl.agents.optimizers import begin_at_zero
from fire_rl.fire import Never, PlasticityManager, Position, parse_method, published
from fire_rl.replay import Batch

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "published_reference.json").read_text())
SHAPE, ACTIONS, SIZE, EVENT, UPDATES = (4, 84, 84), 3, 8, 3, 10
TOLERANCE = 1e-6  # relative to a tensor's norm; relative to a loss
CONVOLUTION_BIASES = ("encoder.0.bias", "encoder.2.bias", "encoder.4.bias")


def numbers(shape: torch.Size, seed: int) -> Tensor:
    """Uniform numbers with Xavier's range; biases up to 0.1."""
    values = np.random.default_rng(seed).uniform(-1, 1, tuple(shape))
    spread = math.sqrt(6 / (math.prod(shape[1:]) + shape[0])) if len(shape) > 1 else 0.1
    return torch.from_numpy((spread * values).astype(np.float32)).double()


def weights(like: dict[str, Tensor], start: int) -> dict[str, Tensor]:
    return {name: numbers(value.shape, start + n) for n, (name, value) in enumerate(like.items())}


def batch(n: int) -> Batch:
    random = np.random.default_rng(1000 + n)
    observations, following = random.integers(256, size=(2, SIZE, *SHAPE), dtype=np.uint8)
    actions, rewards = random.integers(ACTIONS, size=SIZE), random.uniform(-1, 1, SIZE).astype(np.float32)
    ended = (np.arange(SIZE) % 4 == n % 4).astype(np.float32)
    arrays = (observations, actions, rewards, following, ended, np.ones(SIZE, np.float32))
    batch = Batch(*(torch.from_numpy(array).unsqueeze(0) for array in arrays))
    return batch._replace(rewards=batch.rewards.double(), terminated=batch.terminated.double())


def figures(value: Tensor) -> np.ndarray:
    """Return a tensor's norm, two of its products with fixed numbers, which depend on every entry, and four entries."""
    entries = value.detach().double().contiguous().flatten().numpy()
    fixed = np.random.default_rng(7).uniform(-1, 1, (2, entries.size))
    some = entries[np.linspace(0, entries.size - 1, 4).astype(int)]
    return np.array([np.linalg.norm(entries), *(fixed @ entries), *some])


def largest_difference(ours: dict[str, Tensor], theirs: dict[str, list[float]]) -> float:
    assert ours.keys() == theirs.keys()
    return max(float(np.abs(figures(ours[name]) - row).max()) / (row[0] or 1.0) for name, row in theirs.items())


@pytest.fixture(autouse=True)
def pixels_in_double(monkeypatch, one_thread):
    monkeypatch.setattr(networks, "pixels", lambda images, scale: images.double() * scale)


def make_agent(shape: tuple[int, ...] = SHAPE, width: int | None = None, double_q: bool = False) -> DQN:
    settings = DQNSettings(hidden_width=width, learning_rate=1e-3, target_every=4, double=double_q)
    agent = DQN(shape, ACTIONS, settings, seed=np.random.SeedSequence(0), gamma=0.99, scale=1 / 255)
    first = {name: value.double() for name, value in agent.trained.initial.items()}
    for module in (agent.network, agent.target_network):
        module.double()
    begin_at_zero(agent.optimizer)
    agent.network.load_state_dict(weights(first, 100))
    agent.target_network.load_state_dict(weights(first, 200))
    agent.trained.initial.update(weights(first, 0))
    return agent


def learn(agent: DQN, first: int, last: int) -> list[float]:
    return [agent.update(batch(n))["loss"].item() for n in range(first, last + 1)]


def act(agent: DQN, spelling: str) -> None:
    method = parse_method(spelling, presets=published.DQN)
    PlasticityManager(agent.plastic(), method, Never()).act(Position(0, 0))


def check(agent: DQN, reference: dict[str, Any]) -> None:
    assert largest_difference(agent.network.state_dict(), reference["network"]) < TOLERANCE
    assert largest_difference(agent.target_network.state_dict(), reference["target"]) < TOLERANCE


def check_run(agent: DQN, spelling: str, reference: dict[str, Any]) -> None:
    losses = learn(agent, 1, EVENT)
    if "before" in reference:
        check(agent, reference["before"])
    left = {name: agent.target_network.state_dict()[name].clone() for name in CONVOLUTION_BIASES}
    act(agent, spelling)
    if spelling == "fire":  # the one intended difference: our target is a complete copy, theirs keeps these
        for name, value in left.items():
            ours = agent.target_network.get_parameter(name)
            assert torch.equal(ours, agent.network.get_parameter(name))
            ours.copy_(value)
    if "after" in reference:
        check(agent, reference["after"])
    losses += learn(agent, EVENT + 1, UPDATES)
    check(agent, reference["end"])
    assert losses == pytest.approx(reference["losses"], rel=TOLERANCE)
    outputs = agent.network(batch(UPDATES + 1).observations[0])
    assert largest_difference({"outputs": outputs}, {"outputs": reference["outputs"]}) < TOLERANCE


@pytest.mark.parametrize("method", ["none", "reset", "shrink-perturb", "fire", "injection"])
def test_a_run_equals_that_of_the_fire_papers_code(method):
    check_run(make_agent(), method, REFERENCE["fire_resume"][method])


def test_an_injection_that_keeps_the_optimizer_equals_the_public_double_dqn():
    check_run(make_agent(double_q=True), "injection:optimizer=keep", REFERENCE["injection_torch"])


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        ("reset", "reset:optimizer=renew,target=copy"),
        ("shrink-perturb", "shrink-perturb:target=copy"),
        ("fire", "fire:solver=exact"),
        ("injection", "injection:optimizer=keep"),
    ],
)
def test_the_reference_distinguishes_the_variants(method, wrong):
    agent = make_agent()
    learn(agent, 1, EVENT)
    act(agent, wrong)
    learn(agent, EVENT + 1, UPDATES)
    end = REFERENCE["fire_resume"][method]["end"]["network"]
    assert largest_difference(agent.network.state_dict(), end) > 1000 * TOLERANCE


def optimizer_step(agent: DQN, n: int) -> None:
    gradients = weights(agent.trained.initial, 2000 + 100 * n)
    for name, parameter in agent.network.named_parameters():
        parameter.grad = torch.empty_like(parameter).copy_(gradients[name])  # in the memory layout of the parameter
    agent.optimizer.step()


def states(agent: DQN) -> dict[str, dict[str, Tensor]]:
    return {name: agent.optimizer.state[parameter] for name, parameter in agent.network.named_parameters()}


def check_optimizer(agent: DQN, reference: dict[str, Any]) -> None:
    assert largest_difference(agent.network.state_dict(), reference["network"]) < TOLERANCE
    ours = states(agent)
    assert {name: int(state["step"]) for name, state in ours.items()} == reference["step"]
    for key in ("exp_avg", "exp_avg_sq"):
        moments = {name: state[key] for name, state in ours.items()}
        assert largest_difference(moments, reference[key]) < TOLERANCE, key


def test_reset_head_resets_what_spr_with_resets_resets():
    """Its optimizer state is wrapped in tuples, which its `copy_params` does not look into, so all of it is new."""
    reference = REFERENCE["rl_with_resets"]
    agent = make_agent((4, 36, 36), width=32)
    for n in (1, 2, 3):
        optimizer_step(agent, n)
    check_optimizer(agent, reference["before"])
    act(agent, "reset-head")
    check_optimizer(agent, reference["after"])
    for n in (4, 5):
        optimizer_step(agent, n)
    check_optimizer(agent, reference["end"])

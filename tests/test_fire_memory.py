"""A method's memory, random draws and observed units are its own, saved with the run, and created when it is new."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fire_rl.fire import Injection, Method, Network, Never, NoMethod, PlasticityManager, Position, Reset, Spectral


@dataclass(frozen=True, kw_only=True)
class Wander(Method):
    """Adds noise at every step, and counts the active units that it saw."""

    acts_at_events, acts_every_step, watches_units = False, True, True

    def begin(self, network):
        network.memory["steps"] = torch.zeros(())
        for name in network.activations or ("0",):
            network.memory[f"seen.{name}"] = torch.zeros(())

    @torch.no_grad()
    def after_step(self, network):
        network.memory["steps"] += 1
        for parameter in network.module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=network.generator))
        for values in network.activations.values():
            network.memory["seen.0"] += (values > 0).sum()

    def figures(self, network):
        return {"steps": network.memory["steps"]}


@dataclass(frozen=True, kw_only=True)
class Pull(Method):
    """A penalty."""

    acts_at_events, has_penalty = False, True
    strength: float = 1.0

    def penalty(self, network):
        return self.strength * sum(parameter.square().sum() for parameter in network.module.parameters())


class PullAgain(Pull):
    """Another penalty."""


@dataclass(frozen=True, kw_only=True)
class Look(Method):
    """Records the loss on the examples."""

    needs_loss = True

    def act(self, network):
        return {"loss": float(network.loss())}


def make_network(name: str = "critic", seed: int = 0) -> Any:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
    initial = {key: value.clone() for key, value in module.state_dict().items()}
    return Network(name, module, initial, torch.optim.Adam(module.parameters()), head=("2",))


def run(manager: PlasticityManager, steps: int) -> None:
    for _ in range(steps):
        for name, network in manager.networks.items():
            network.module(torch.ones(2, 6))
            manager.after_step(name)


def weights(manager: PlasticityManager) -> list[Tensor]:
    return [value.clone() for network in manager.networks.values() for value in network.module.state_dict().values()]


def saved(manager: PlasticityManager) -> tuple[str, dict[str, Tensor], list[Tensor]]:
    tensors = {name: value.clone() for name, value in manager.tensors().items()}
    return json.dumps(manager.state_dict(), allow_nan=False), tensors, weights(manager)


def restore(manager: PlasticityManager, state: tuple[str, dict[str, Tensor], list[Tensor]]) -> None:
    manager.load_state_dict(json.loads(state[0]))
    own = [value for network in manager.networks.values() for value in network.module.state_dict().values()]
    for value, kept in zip(own, state[2], strict=True):
        value.copy_(kept)
    manager.load_tensors(state[1])


def two(method: Method, seed: int = 5) -> PlasticityManager:
    return PlasticityManager([make_network("actor"), make_network("critic")], method, Never(), seed=seed)


def test_a_run_restored_in_the_middle_continues_bit_by_bit():
    straight, first, second = two(Wander()), two(Wander()), two(Wander())
    run(straight, 7)
    run(first, 3)
    restore(second, saved(first))
    run(second, 4)
    assert all(map(torch.equal, weights(straight), weights(second)))
    assert straight.tensors().keys() == second.tensors().keys()
    assert all(torch.equal(value, second.tensors()[name]) for name, value in straight.tensors().items())
    assert straight.figures() == {"actor/steps": 7.0, "critic/steps": 7.0}


def test_each_network_and_each_seed_has_its_own_random_generator():
    manager, other = two(Wander()), two(Wander(), seed=9)
    run(manager, 1)
    run(other, 1)
    actor, critic = (network.module.get_parameter("0.weight") for network in manager.networks.values())
    assert not torch.equal(actor, critic)
    assert not torch.equal(actor, other.networks["actor"].module.get_parameter("0.weight"))


def test_methods_see_what_units_did_in_the_last_forward_pass():
    network = make_network()
    manager = PlasticityManager([network], Wander(), Never())
    inputs = torch.randn(3, 6)
    network.module(torch.randn(50, 6))
    hidden = network.module[1](network.module[0](inputs))
    network.module(inputs)
    manager.after_step("critic")
    assert float(manager.tensors()["method.test_fire_memory:Wander.critic.memory.seen.0"]) == (hidden > 0).sum()


def test_a_method_that_is_new_to_a_run_begins_there():
    trunk, branch = two(NoMethod()), two(Wander())
    trunk.act(Position(10, 5))
    restore(branch, saved(trunk))
    run(branch, 2)
    assert branch.figures() == {"actor/steps": 2.0, "critic/steps": 2.0}
    assert branch.event_count == 1
    assert branch.latest("none") == Position(10, 5)


def test_a_generator_that_has_not_moved_is_not_saved():
    assert two(NoMethod()).tensors() == {}


def test_the_weights_after_the_last_event_are_kept_and_restored():
    manager = two(Reset())
    manager.act(Position(1, 1))
    after = weights(manager)
    with torch.no_grad():
        manager.networks["critic"].module.get_parameter("0.weight").add_(1.0)
    other = two(Reset())
    restore(other, saved(manager))
    kept = [value for reference in other.references.values() for value in reference.values()]
    assert all(map(torch.equal, kept, after))
    assert other.measure({})["critic/sfe"] == pytest.approx(48.0)
    assert other.measure({})["actor/sfe"] == 0.0


def test_a_method_that_looks_at_examples_is_refused_without_them_and_records_what_it_found():
    manager = two(Look())
    with pytest.raises(ValueError, match="needs examples: give `act` the network's loss"):
        manager.act(Position(1, 1))
    event = manager.act(Position(1, 1), {"actor": lambda: torch.tensor(2.5), "critic": lambda: torch.tensor(3.5)})
    assert [dict(report.outcome) for report in event.networks] == [{"loss": 2.5}, {"loss": 3.5}]
    assert "loss: 3.5" in str(event)
    assert type(event).from_json(json.loads(json.dumps(event.to_json()))).networks[1].outcome == {"loss": 3.5}


def test_regularizers_act_beside_a_method_and_with_each_other():
    network = make_network()
    manager = PlasticityManager([network], Wander(), Never(), [Pull(), PullAgain(strength=0.5)])
    squares = sum(float(parameter.detach().square().sum()) for parameter in network.module.parameters())
    penalty: Any = manager.penalty("critic")
    assert float(penalty.detach()) == pytest.approx(1.5 * squares, rel=1e-6)
    assert manager.acts_every_step
    assert manager.has_penalty
    assert two(Wander()).penalty("critic") is None


def test_a_regularizer_that_is_new_to_a_run_begins_with_the_weights_it_finds():
    trunk = two(NoMethod())
    for network in trunk.networks.values():
        with torch.no_grad():
            network.module.get_parameter("0.weight").mul_(0.1).add_(torch.ones(8, 6))
    networks = [make_network("actor"), make_network("critic")]
    branch = PlasticityManager(networks, NoMethod(), Never(), [Spectral()])
    restore(branch, saved(trunk))
    weight = networks[1].module[0].weight.detach()
    left = branch.tensors()["method.spectral.critic.memory.0.weight"]
    assert float((torch.linalg.svd(weight).U[:, 0] @ left).abs()) > 0.9999


def test_the_same_regularizer_twice_is_refused():
    with pytest.raises(ValueError, match="spectral is given twice"):
        PlasticityManager([make_network()], NoMethod(), Never(), [Spectral(), Spectral(k=1)])


def test_memory_is_created_again_for_a_new_structure_and_in_the_same_way_when_it_is_loaded():
    def injected() -> PlasticityManager:
        return PlasticityManager([make_network()], Injection(), Never(), [Wander()])

    straight, first, second = injected(), injected(), injected()
    for manager in (straight, first):
        run(manager, 2)
        manager.act(Position(2, 2))
    restore(second, saved(first))
    run(straight, 3)
    run(second, 3)
    assert straight.figures() == second.figures() == {"critic/steps": 3.0}
    assert all(map(torch.equal, weights(straight), weights(second)))

"""Hidden units of the agents' networks: ensembles, actors, and Q-networks with injections."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fire_rl.agents.dqn.networks import make_network
from fire_rl.agents.sac.networks import Actor, Critic
from fire_rl.fire import Injection, Network, hidden_layers
from tests.fixtures.units import activations, check, names


def test_members_of_an_ensemble_have_units_of_their_own():
    torch.manual_seed(0)
    critic = Critic(3, 2, width=6, blocks=2, members=2)
    for parameter in critic.parameters():
        nn.init.normal_(parameter)
    observations, actions = torch.randn(5, 3), torch.randn(5, 2)
    layers = hidden_layers(critic)
    assert [layer.name for layer in layers] == [f"encoder.blocks.{index}.activation" for index in range(2)]
    assert [layer.shape for layer in layers] == [(2, 24), (2, 24)]
    check(critic, lambda: critic(observations, actions))

    block: Any = critic.encoder.blocks[0]
    embedded = critic.encoder.embed(torch.cat((observations, actions), -1))
    hidden = block.expand(block.norm(embedded)).clamp(min=0)
    seen = activations(critic, layers[0], lambda: critic(observations, actions))
    torch.testing.assert_close(seen, hidden.detach().transpose(1, 2))


def test_an_actor_s_units_have_one_dimension():
    actor = Actor(3, 2, width=6, blocks=1)
    for parameter in actor.parameters():
        nn.init.normal_(parameter, std=0.3)
    observations = torch.randn(5, 3)
    (layer,) = hidden_layers(actor)
    assert layer.shape == (24,)
    check(actor, lambda: actor(observations))


def q_network(kind: str) -> tuple[Network, Tensor]:
    torch.manual_seed(0)
    shape = (5,) if kind == "mlp" else (2, 5, 5)
    module, target = (make_network(kind, shape, 3, width=8) for _ in range(2))
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    target.load_state_dict(module.state_dict())
    initial = {name: value.clone() for name, value in module.state_dict().items()}
    network = Network("q", module, initial, torch.optim.Adam(module.parameters()), target, (), ("encoder",), ("head",))
    return network, torch.randn(4, *shape)


@pytest.mark.parametrize("kind", ["minatar", "mlp"])
@pytest.mark.parametrize("injections", [0, 1, 2])
def test_units_of_a_q_network_before_and_after_injections(kind: str, injections: int):
    network, observations = q_network(kind)
    for count in range(injections):
        Injection().restructure(network)
        with torch.no_grad():
            for parameter in network.module.get_submodule("head.trained").parameters():
                parameter.normal_(generator=torch.Generator().manual_seed(count))
    trained = "head.trained" if injections else "head"
    readers = {0: ["head"], 1: ["head.old", "head.frozen", trained]}
    readers[2] = ["head.old.old", "head.old.frozen", "head.old.trained", "head.frozen", trained]
    found = names(network.module)
    assert list(found) == ["encoder.1", f"{trained}.1"]
    assert sorted(found["encoder.1"][1]) == sorted(f"{reader}.0.weight" for reader in readers[injections])
    assert found[f"{trained}.1"] == ([f"{trained}.0.weight", f"{trained}.0.bias"], [f"{trained}.2.weight"])
    check(network.module, lambda: network.module(observations))


def test_views_are_of_any_tensor_of_the_parameter_s_shape():
    """Moments, targets and initial values are read and written through the same views."""
    network, _ = q_network("minatar")
    (layer, _) = hidden_layers(network.module)
    for weights in (*layer.incoming, *layer.outgoing):
        values = torch.zeros_like(network.module.get_parameter(weights.name))
        seen = weights.by_unit(values)
        assert seen.shape[0] == 16
        seen[3] = 1.0
        assert values.sum() == values.numel() / 16


def test_declarations_of_a_module_have_the_names_that_its_parent_uses():
    class Parent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = make_network("mlp", (4,), 2, width=6)

    assert names(Parent()) == {
        "inner.encoder.1": (["inner.encoder.0.weight", "inner.encoder.0.bias"], ["inner.head.0.weight"]),
        "inner.head.1": (["inner.head.0.weight", "inner.head.0.bias"], ["inner.head.2.weight"]),
    }

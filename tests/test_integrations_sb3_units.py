"""The hidden units of Stable-Baselines3's networks, and the parts of its grouped heads."""

import numpy as np
import pytest
import torch
from torch import nn

from fire_rl.fire import hidden_layers

sb3 = pytest.importorskip("stable_baselines3")

from fire_rl.fire.integrations.stable_baselines3 import PlasticityCallback  # noqa: E402
from fire_rl.fire.integrations.stable_baselines3_networks import declare_units, group_heads  # noqa: E402
from tests.fixtures.sb3_models import KINDS, Pictures, make  # noqa: E402


def layers_of(module: nn.Module) -> dict[str, list[str]]:
    return {layer.name: [weights.name for weights in layer.outgoing] for layer in hidden_layers(module)}


def test_units_of_vectors():
    sac, td3, dqn = (make(kind) for kind in KINDS)
    for model in (sac, td3, dqn):
        declare_units(model)
    assert layers_of(sac.actor) == {
        "latent_pi.1": ["latent_pi.2.weight"],
        "latent_pi.3": ["mu.weight", "log_std.weight"],
    }
    assert layers_of(td3.actor) == {"mu.1": ["mu.2.weight"], "mu.3": ["mu.4.weight"]}
    assert layers_of(dqn.q_net) == {"q_net.1": ["q_net.2.weight"], "q_net.3": ["q_net.4.weight"]}
    assert list(layers_of(sac.critic)) == ["qf0.1", "qf0.3", "qf1.1", "qf1.3"]


def test_units_and_parts_of_pictures():
    model = sb3.DQN("CnnPolicy", Pictures(discrete=True), buffer_size=50, learning_starts=5, device="cpu")
    callback = PlasticityCallback("fire", at=8)
    model.learn(9, callback=callback)
    extractor = [f"features_extractor.cnn.{index}" for index in range(6)]
    assert layers_of(model.q_net) == {
        extractor[1]: [f"{extractor[2]}.weight"],
        extractor[3]: [f"{extractor[4]}.weight"],
        extractor[5]: ["features_extractor.linear.0.weight"],
        "features_extractor.linear.1": ["q_net.0.weight"],
    }
    (network,) = callback.manager.networks.values()
    assert (network.encoder, network.head) == (("features_extractor.cnn",), ("features_extractor.linear", "q_net"))
    deviations = {row.name: row.deviation_after for row in callback.events[0].networks[0].matrices}
    assert deviations["features_extractor.cnn.0.weight"] < 1e-2 < deviations["q_net.0.weight"]


@pytest.mark.parametrize("pictures", [False, True])
def test_a_grouped_head_computes_the_same(pictures: bool):
    model = sb3.DQN("CnnPolicy", Pictures(True), buffer_size=5, device="cpu") if pictures else make("DQN")
    observations = torch.as_tensor(np.stack([model.observation_space.sample() for _ in range(4)]))
    before, parameters = model.q_net(observations), [id(parameter) for parameter in model.q_net.parameters()]
    group_heads(model)
    declare_units(model)
    assert torch.equal(model.q_net(observations), before)
    assert [id(parameter) for parameter in model.q_net.parameters()] == parameters
    assert list(layers_of(model.q_net))[-1] == "q_net.1"
    assert len(layers_of(model.q_net)) == (4 if pictures else 2)


def test_units_of_a_continuous_actor_that_sees_pictures():
    kwargs = {"net_arch": [8], "features_extractor_kwargs": {"features_dim": 16}}
    model = sb3.SAC("CnnPolicy", Pictures(discrete=False), buffer_size=5, device="cpu", policy_kwargs=kwargs)
    declare_units(model)
    assert layers_of(model.actor)["features_extractor.linear.1"] == ["latent_pi.0.weight"]
    # the reader takes features and actions side by side
    assert list(layers_of(model.critic))[-3:] == ["features_extractor.cnn.5", "qf0.1", "qf1.1"]

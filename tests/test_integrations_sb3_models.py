"""Models of Stable-Baselines3 with a method: saved, loaded and trained further; hidden units and grouped heads."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fire_rl.fire import Position, hidden_layers
from fire_rl.fire.record import KEPT

sb3 = pytest.importorskip("stable_baselines3")

from fire_rl.fire.integrations.stable_baselines3 import PlasticityCallback, load  # noqa: E402
from fire_rl.fire.integrations.stable_baselines3_networks import declare_units, group_heads  # noqa: E402
from tests.fixtures.sb3_models import KINDS, Pictures, Pull, make, weights  # noqa: E402


def main_module(model: Any) -> Any:
    return model.q_net if isinstance(model, sb3.DQN) else model.critic


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_keeps_its_initial_weights_and_its_record(kind: str, tmp_path: Path):
    model = make(kind)
    first = weights(model)
    model.learn(25, callback=PlasticityCallback(Pull()))
    model.save(tmp_path / "model")
    loaded = getattr(sb3, kind).load(tmp_path / "model", env=model.get_env())
    assert all(torch.equal(value, weights(loaded)[name]) for name, value in weights(model).items())
    callback = PlasticityCallback(Pull())
    loaded.learn(5, callback=callback, reset_num_timesteps=False)
    assert callback.manager.figures()[f"{'q' if kind == 'DQN' else 'critic'}/steps"] == 20
    loaded.save(tmp_path / "model")
    again = getattr(sb3, kind).load(tmp_path / "model", env=model.get_env(), learning_rate=0.0)
    again.save(tmp_path / "model")  # without a callback in between
    again = getattr(sb3, kind).load(tmp_path / "model", env=model.get_env(), learning_rate=0.0)
    reset = PlasticityCallback("reset", at=31)
    again.learn(3, callback=reset, reset_num_timesteps=False)
    assert [event.position.progress for event in reset.events] == [31]
    for name, value in weights(again).items():
        torch.testing.assert_close(value, first[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_saved_by_an_earlier_version_can_be_trained_further(kind: str, tmp_path: Path):
    """Its record consists of all events in full."""
    model = make(kind)
    model.learn(30, callback=PlasticityCallback("injection", every=7))
    state = vars(model)["plasticity"].state()
    events = state["events"]
    vars(model)["plasticity"] = {key: state[key] for key in ("initial", "tensors", "grouped", "events")}
    model.save(tmp_path / "model")
    loaded = load(getattr(sb3, kind), tmp_path / "model", env=model.get_env())
    assert all(torch.equal(value, weights(loaded)[name]) for name, value in weights(model).items())
    callback = PlasticityCallback("injection", every=7)
    loaded.learn(7, callback=callback, reset_num_timesteps=False)
    assert [event.to_json() for event in callback.events][: len(events)] == events
    assert len(events) < len(callback.events) == callback.manager.event_count
    loaded.save(tmp_path / "model")
    again = load(getattr(sb3, kind), tmp_path / "model", env=model.get_env())
    assert all(torch.equal(value, weights(again)[name]) for name, value in weights(loaded).items())


def test_a_saved_model_does_not_grow_with_the_events():
    model, callback = make("DQN"), PlasticityCallback("none", every=20)
    model.learn(31, callback=callback)
    for number in range(2 * KEPT):
        callback.manager.events.append(replace(callback.events[-1], position=Position(number, number)))
    state = vars(model)["plasticity"].state()
    assert len(state["events"]) == len(callback.events) == KEPT
    assert state["event_count"] == 2 * KEPT + 1
    other = PlasticityCallback("none", every=20)
    model.learn(20, callback=other, reset_num_timesteps=False)
    assert other.manager.event_count == 2 * KEPT + 2
    assert model.logger.name_to_value["plasticity/events"] == 2 * KEPT + 2


def test_initial_weights_that_were_not_kept_lead_to_a_warning():
    model = make("DQN")
    model.learn(20)
    with pytest.warns(UserWarning, match="already trained for 10 updates"):
        model.learn(5, callback=PlasticityCallback("fire", every=100))


@pytest.mark.parametrize("kind", KINDS)
def test_injection_keeps_outputs_and_models_can_be_loaded_again(kind: str, tmp_path: Path):
    model = (
        make(kind, learning_rate=0.0, target_update_interval=1000) if kind == "DQN" else make(kind, learning_rate=0.0)
    )
    observations = torch.as_tensor(np.stack([model.observation_space.sample() for _ in range(8)]))
    before = model.policy(observations, deterministic=True).clone()
    main_before = main_module(model)(*((observations,) if kind == "DQN" else (observations, before)))
    callback = PlasticityCallback("injection", every=15)
    model.learn(30, callback=callback)
    assert len(callback.events) == 1
    main_after = main_module(model)(*((observations,) if kind == "DQN" else (observations, before)))
    torch.testing.assert_close(main_after, main_before)
    torch.testing.assert_close(model.policy(observations, deterministic=True), before)

    model.save(tmp_path / "model")
    loaded = load(getattr(sb3, kind), tmp_path / "model", env=model.get_env(), learning_rate=0.01)
    assert isinstance(loaded, getattr(sb3, kind))
    assert all(torch.equal(value, weights(loaded)[name]) for name, value in weights(model).items())
    with pytest.raises(RuntimeError, match=r"Missing key|Unexpected key"):
        getattr(sb3, kind).load(tmp_path / "model", env=model.get_env())
    callback = PlasticityCallback("injection", every=15)
    loaded.learn(15, callback=callback, reset_num_timesteps=False)
    assert len(callback.events) == 2
    assert any(name.count("old") == 2 for name in weights(loaded))
    loaded.save(tmp_path / "model")
    again = load(getattr(sb3, kind), tmp_path / "model", env=model.get_env())
    assert all(torch.equal(value, weights(again)[name]) for name, value in weights(loaded).items())


def test_a_trunk_of_another_method_can_be_injected(tmp_path: Path):
    model = make("DQN")
    first = list(weights(model).values())
    model.learn(30, callback=PlasticityCallback("none", every=100))
    model.save(tmp_path / "model")
    loaded = sb3.DQN.load(tmp_path / "model", env=model.get_env())
    callback = PlasticityCallback("injection", at=31)
    loaded.learn(3, callback=callback, reset_num_timesteps=False)
    frozen = loaded.q_net.q_net.frozen.state_dict()
    torch.testing.assert_close(list(frozen.values()), first[2:6], rtol=0, atol=0)


def test_the_last_layer_of_a_head_can_be_reset_alone():
    model = make("DQN", learning_rate=0.01)
    first = weights(model)
    model.learn(40, callback=PlasticityCallback("reset-head:layers=last,optimizer=renew", at=40))
    far = {name: float((value - first[name]).abs().max()) for name, value in weights(model).items()}
    assert far["q_net.q_net.4.weight"] < 0.011 < far["q_net.q_net.2.weight"]


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


def test_an_actor_with_state_dependent_exploration():
    model = make("SAC", use_sde=True)
    callback = PlasticityCallback("shrink-perturb", at=20)
    model.learn(22, callback=callback)
    assert [event.position.updates > 0 for event in callback.events] == [True]
    assert callback.manager.networks["actor"].head == ("mu",)

"""Methods in other people's training code: torch's optimizer hooks, and Stable-Baselines3's callback."""

import copy
import re
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fire_rl.fire import (
    Method,
    MethodNetwork,
    Network,
    Never,
    NoMethod,
    PlasticityManager,
    Position,
    hidden_layers,
    parse_method,
    published,
)
from fire_rl.fire.integrations.hooks import attach
from fire_rl.fire.record import KEPT

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, kw_only=True)
class Pull(Method):
    """Half the sum of squared weights as a penalty, and a memory of how many steps and samples there were."""

    has_penalty: ClassVar[bool] = True
    acts_every_step: ClassVar[bool] = True
    acts_at_events: ClassVar[bool] = False
    watches_units: ClassVar[bool] = True

    def begin(self, network: MethodNetwork) -> None:
        network.memory["steps"] = torch.zeros(())
        network.memory["seen"] = torch.zeros(())

    def penalty(self, network: MethodNetwork) -> Tensor:
        return 0.5 * sum((parameter.square().sum() for parameter in network.module.parameters()), torch.zeros(()))

    def after_step(self, network: MethodNetwork) -> None:
        network.memory["steps"] += 1
        network.memory["seen"] += sum(values.sum() for values in network.activations.values())

    def figures(self, network: MethodNetwork) -> dict[str, float | Tensor]:
        return dict(network.memory)


def make_manager(method: Method) -> tuple[nn.Sequential, torch.optim.Optimizer, PlasticityManager]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    return model, optimizer, PlasticityManager([Network("model", model, initial, optimizer)], method, Never())


def test_hooks_do_what_a_loop_that_asks_the_manager_does():
    """The gradient of a sum is the sum of the gradients, up to rounding; memories agree too."""
    inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))
    weights, figures = [], []
    for hooked in (False, True):
        model, optimizer, manager = make_manager(Pull())
        if hooked:
            attach(manager)
        for _ in range(5):
            optimizer.zero_grad()
            loss = model(inputs).square().mean()
            penalty = manager.penalty("model")
            assert penalty is not None
            (loss if hooked else loss + penalty).backward()
            optimizer.step()
            if not hooked:
                manager.after_step("model")
        weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
        figures.append(manager.figures())
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-5, atol=1e-7)
    assert figures[1] == pytest.approx(figures[0], rel=1e-4)
    assert figures[1]["model/steps"] == 5


def test_detached_hooks_do_nothing():
    model, optimizer, manager = make_manager(Pull())
    attached = attach(manager)
    attached.detach()
    model(torch.ones(1, 4)).sum().backward()
    gradient = copy.deepcopy(model[0].weight.grad)
    optimizer.step()
    assert torch.equal(model[0].weight.grad, gradient)  # type: ignore[arg-type]
    assert manager.figures()["model/steps"] == 0


def test_nothing_is_hung_on_optimizers_where_nothing_acts_at_every_step():
    _, optimizer, manager = make_manager(NoMethod())
    attach(manager)
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_hooks_refuse_what_they_cannot_follow():
    model, optimizer, manager = make_manager(Pull())
    attach(manager)
    with pytest.raises(ValueError, match="closure"):
        optimizer.step(lambda: 0.0)
    network = Network("model", model, {name: value.clone() for name, value in model.state_dict().items()})
    with pytest.raises(ValueError, match="no optimizer"):
        attach(PlasticityManager([network], Pull(), Never()))


def test_fire_does_not_import_stable_baselines3():
    imports = re.compile(r"^\s*(from|import) [\w.]*(stable_baselines3|integrations)", re.MULTILINE)
    importing = {path.name for path in (ROOT / "fire").rglob("*.py") if imports.search(path.read_text())}
    assert importing == {"stable_baselines3.py", "stable_baselines3_networks.py"}


# Stable-Baselines3

sb3 = pytest.importorskip("stable_baselines3")

from fire_rl.agents import KINDS as AGENTS  # noqa: E402
from fire_rl.fire.integrations.stable_baselines3 import PlasticityCallback, load  # noqa: E402
from fire_rl.fire.integrations.stable_baselines3_networks import declare_units, group_heads, losses  # noqa: E402

KINDS = {"SAC": "Pendulum-v1", "TD3": "Pendulum-v1", "DQN": "CartPole-v1"}
SMALL: dict[str, Any] = {"learning_starts": 10, "batch_size": 8, "buffer_size": 200, "train_freq": 1, "seed": 0}


def make(kind: str, **changes: Any) -> Any:
    arguments = SMALL | {"device": "cpu", "policy_kwargs": {"net_arch": [8, 8]}} | changes
    return getattr(sb3, kind)("MlpPolicy", KINDS[kind], **arguments)


def main_module(model: Any) -> Any:
    return model.q_net if isinstance(model, sb3.DQN) else model.critic


def weights(model: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["fire", "reset-head", "shrink-perturb", "injection", "redo", "dash"])
def test_every_method_acts_when_it_is_due(kind: str, method: str):
    model, callback = make(kind, learning_starts=5), PlasticityCallback(method, every=7, at=(15, 16))
    model.learn(20, callback=callback)
    # An update after each environment step from the sixth on.
    positions = [(event.position.updates, event.position.progress) for event in callback.events]
    assert positions == [(7, 12), (9, 15), (10, 16), (14, 19)]
    expected = ["q"] if kind == "DQN" else ["actor", "critic"]
    assert [report.name for report in callback.events[0].networks] == expected
    assert all(report.matrices for report in callback.events[0].networks)
    assert all(value.isfinite().all() for value in weights(model).values())


@pytest.mark.parametrize(("agent", "presets"), [("dqn", published.DQN), ("sac", published.SAC), ("sac", None)])
def test_presets_are_those_of_our_own_agents(agent: str, presets: Any):
    ours = AGENTS[agent].published
    assert {name: parse_method(name, presets) for name in ours} == ours


def test_an_event_does_what_was_published_with_dqn():
    """The first layer projected, the other two put back, the target a copy, Adam's moments kept."""
    model = make("DQN", target_update_interval=1000)
    first = weights(model)
    model.learn(40, callback=PlasticityCallback("fire:solver=exact", at=40))
    after = weights(model)
    # SB3 does one more update after the last environment step; Adam moves a weight by no more than a few rates.
    for name in ("q_net.q_net.2.weight", "q_net.q_net.4.weight"):
        assert (after[name] - first[name]).abs().max() < 1e-3
    scaled = after["q_net.q_net.0.weight"] / (8 / 4) ** 0.5
    torch.testing.assert_close(scaled.T @ scaled, torch.eye(4), rtol=0, atol=0.01)
    assert (after["q_net.q_net.0.weight"] - first["q_net.q_net.0.weight"]).abs().max() > 0.1
    torch.testing.assert_close(after["q_net_target.q_net.0.weight"], after["q_net.q_net.0.weight"], rtol=0, atol=1e-3)
    assert all(state["step"] == 30 for state in model.policy.optimizer.state.values())


def test_sac_s_temperature_and_optimizers_start_anew():
    model = make("SAC", learning_rate=0.01)
    model.learn(40, callback=PlasticityCallback("reset", at=40))
    model_without = make("SAC", learning_rate=0.01)
    model_without.learn(40)
    assert abs(float(model.log_ent_coef.detach())) < 0.02 < abs(float(model_without.log_ent_coef.detach()))
    for optimizer in (model.actor.optimizer, model.critic.optimizer, model.ent_coef_optimizer):
        assert all(state["step"] == 1 for state in optimizer.state.values())
    for name, value in make("SAC").critic.state_dict().items():
        assert (model.critic.state_dict()[name] - value).abs().max() < 0.02
        assert (model.critic_target.state_dict()[name] - value).abs().max() < 0.02


def test_a_fixed_temperature_is_no_companion():
    callback = PlasticityCallback("reset", every=10)
    make("SAC", ent_coef=0.1).learn(25, callback=callback)
    assert callback.manager.networks["actor"].companions == ()


@pytest.mark.parametrize("method", ["none", "redo:tau=0"])
@pytest.mark.parametrize("kind", KINDS)
def test_looking_changes_nothing(kind: str, method: str):
    """Neither the callback nor the examples of a method that finds nothing to do move a random stream of SB3's."""
    alive = {"net_arch": [8, 8], "activation_fn": nn.Tanh}  # no unit of which is ever silent
    plain = make(kind, policy_kwargs=alive).learn(25)
    callback = PlasticityCallback(method, every=5, measure_every=2)
    watched = make(kind, policy_kwargs=alive).learn(25, callback=callback)
    assert len(callback.events) == 3
    for name, value in weights(plain).items():
        assert torch.equal(weights(watched)[name], value), name


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_those_that_sb3_steps_on(kind: str, monkeypatch: pytest.MonkeyPatch):
    """On the same examples, without learning and without noise, SB3 logs the same numbers."""
    monkeypatch.setattr(torch.distributions.Normal, "rsample", lambda self, shape=(): self.mean)
    quiet = {"policy_delay": 1, "target_policy_noise": 0.0} if kind == "TD3" else {}
    model = make(kind, learning_starts=1000, learning_rate=0.0, **quiet)
    model.learn(60)
    samples: list[Any] = []
    sample = model.replay_buffer.sample

    def sample_once(*arguments: Any, **named: Any) -> Any:
        samples.append(samples[0] if samples else sample(*arguments, **named))
        return samples[0]

    monkeypatch.setattr(model.replay_buffer, "sample", sample_once)
    found = {name: loss().item() for name, loss in losses(model, seed=3).items()}
    model.train(gradient_steps=1, batch_size=256)
    assert len(samples) == 2
    logged = model.logger.name_to_value
    wanted = {"q": "train/loss"} if kind == "DQN" else {name: f"train/{name}_loss" for name in ("actor", "critic")}
    assert found == pytest.approx({name: logged[key] for name, key in wanted.items()}, rel=1e-5)


def test_methods_that_look_at_examples_need_some():
    with pytest.raises(ValueError, match="replay buffer is still empty"):
        make("DQN").learn(5, callback=PlasticityCallback("redo", at=1))


def test_activations_are_those_of_the_batch_that_was_stepped_on(monkeypatch: pytest.MonkeyPatch):
    """SB3's SAC runs the actor on the next observations too, before its step."""
    seen, wanted = [], []

    class Look(Pull):
        def after_step(self, network: MethodNetwork) -> None:
            if network.name == "actor":
                seen.append({name: values.clone() for name, values in network.activations.items()})

    model = make("SAC", learning_rate=0.0)
    sample = model.replay_buffer.sample

    def sample_and_keep(*arguments: Any, **named: Any) -> Any:
        wanted.append(sample(*arguments, **named))
        return wanted[-1]

    monkeypatch.setattr(model.replay_buffer, "sample", sample_and_keep)
    model.learn(13, callback=PlasticityCallback(Look()))
    seen = [values for values in seen if values]  # at its trial it sees nothing
    assert len(seen) == len(wanted) == 3
    for values, batch in zip(seen, wanted, strict=True):
        torch.testing.assert_close(values["latent_pi.3"], model.actor.latent_pi(batch.observations).detach().T)


@pytest.mark.parametrize("kind", KINDS)
def test_regularizers_act_until_training_ends(kind: str):
    model = make(kind).learn(35)
    callback = PlasticityCallback(Pull(), regularizers=["weight-decay"])
    pulled = make(kind).learn(35, callback=callback)
    lengths = [sum(float(value.square().sum()) for value in weights(each).values()) for each in (pulled, model)]
    assert lengths[0] < lengths[1]
    name = "q" if kind == "DQN" else "critic"
    assert callback.manager.figures()[f"{name}/steps"] == 25
    for network in callback.manager.networks.values():
        assert network.optimizer is not None
        assert not network.optimizer._optimizer_step_pre_hooks
        assert not network.optimizer._optimizer_step_post_hooks


def test_an_interrupted_run_leaves_no_second_set_of_hooks():
    class Interrupt(sb3.common.callbacks.BaseCallback):  # type: ignore[misc, name-defined]
        def _on_step(self) -> bool:
            if self.num_timesteps == 20:
                raise KeyboardInterrupt
            return True

    model = make("DQN")
    with pytest.raises(KeyboardInterrupt):
        model.learn(30, callback=[PlasticityCallback(Pull()), Interrupt()])
    callback = PlasticityCallback(Pull())
    model.learn(10, callback=callback, reset_num_timesteps=False)
    assert callback.manager.figures()["q/steps"] == model._n_updates == 19


def test_events_come_at_the_end_of_a_block_of_updates():
    callback = PlasticityCallback("none", every=3)
    make("SAC", gradient_steps=4).learn(14, callback=callback)
    assert [event.position.updates for event in callback.events] == [4, 8, 12, 16]


def test_training_that_goes_on_counts_on():
    model, callback = make("DQN"), PlasticityCallback("none", every=20, at=45)
    model.learn(40, callback=callback)
    model.learn(30, callback=callback, reset_num_timesteps=False)
    assert [event.position.updates for event in callback.events] == [20, 34, 40, 60]
    other = PlasticityCallback("none", every=20)
    model.learn(30, callback=other, reset_num_timesteps=False)
    assert [event.position.updates for event in other.events] == [20, 34, 40, 60, 80]
    model.learn(20, callback=callback, reset_num_timesteps=False)
    assert [event.position.updates for event in callback.events] == [20, 34, 40, 60, 80, 100]


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
def test_a_model_saved_by_an_earlier_version_goes_on(kind: str, tmp_path: Path):
    """Its record was all events in full, and nothing else."""
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


def test_initial_weights_that_were_not_kept_are_warned_of():
    model = make("DQN")
    model.learn(20)
    with pytest.warns(UserWarning, match="already trained for 10 updates"):
        model.learn(5, callback=PlasticityCallback("fire", every=100))


@pytest.mark.parametrize("kind", KINDS)
def test_injection_keeps_outputs_and_models_load_again(kind: str, tmp_path: Path):
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


def test_a_head_s_last_layer_can_be_put_back_alone():
    model = make("DQN", learning_rate=0.01)
    first = weights(model)
    model.learn(40, callback=PlasticityCallback("reset-head:layers=last,optimizer=renew", at=40))
    far = {name: float((value - first[name]).abs().max()) for name, value in weights(model).items()}
    assert far["q_net.q_net.4.weight"] < 0.011 < far["q_net.q_net.2.weight"]


# Units and parts


class Pictures:
    """The smallest pictures that NatureCNN takes."""

    def __new__(cls, discrete: bool) -> Any:
        import gymnasium
        from gymnasium import spaces

        class Environment(gymnasium.Env[Any, Any]):
            observation_space = spaces.Box(0, 255, (1, 36, 36), np.uint8)
            action_space = spaces.Discrete(3) if discrete else spaces.Box(-1, 1, (2,), np.float32)

            def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
                return self.observation_space.sample(), {}

            def step(self, action: Any) -> Any:
                return self.observation_space.sample(), 0.0, False, False, {}

        return Environment()


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
    # Features and actions are read side by side.
    assert list(layers_of(model.critic))[-3:] == ["features_extractor.cnn.5", "qf0.1", "qf1.1"]


# What is said


def test_events_are_logged_and_printed(capsys: pytest.CaptureFixture[str]):
    model, callback = make("SAC"), PlasticityCallback("redo", every=20, verbose=1)
    model.learn(35, callback=callback)
    logged = model.logger.name_to_value
    assert logged["plasticity/events"] == 1
    assert logged["plasticity/critic_deviation_before"] > 0
    assert logged["plasticity/critic/units qf0.1"] == 8
    assert capsys.readouterr().out.startswith("redo after 20 updates, 30 environment steps")


def test_a_measure_that_crosses_its_threshold_makes_an_event_and_is_logged():
    model = make("DQN")
    callback = PlasticityCallback("redo:tau=0.2", when="q.dormant>0", cooldown=20, measure_every=5)
    model.learn(70, callback=callback)
    logged = model.logger.name_to_value
    assert 0 < logged["plasticity/q/effective_rank"] <= 8
    assert not any(name.count("/") > 2 and "dormant" in name for name in logged), "layers by themselves"
    dormant = [event.position.updates for event in callback.events]
    assert dormant, "no event at all: the test shows nothing"
    assert all(updates % 5 == 0 for updates in dormant)
    assert all(later - earlier >= 20 for earlier, later in pairwise([0, *dormant]))


def test_other_algorithms_are_refused():
    with pytest.raises(ValueError, match="PPO given; allowed are"):
        sb3.PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu").learn(
            8, callback=PlasticityCallback("fire", every=1)
        )


def test_a_shared_extractor_is_refused():
    kwargs = {"share_features_extractor": True, "net_arch": [8]}
    model = sb3.SAC("CnnPolicy", Pictures(discrete=False), buffer_size=5, device="cpu", policy_kwargs=kwargs)
    with pytest.raises(ValueError, match=r"share 'features_extractor\.cnn\.0\.weight'"):
        model.learn(1, callback=PlasticityCallback("fire", every=1))


@pytest.mark.parametrize(
    ("arguments", "named", "message"),
    [
        (("fire",), {}, "give every=UPDATES, at=STEPS"),
        (("cbp",), {"every": 5}, "give neither every, at nor when"),
        (("redo",), {"every": 5, "scope": "encoder"}, "redo has no scope"),
        (("fire",), {"every": 5, "scope": "encoders"}, "scope=encoders is not one of"),
        (("fires",), {"every": 5}, "nearest is fire"),
        (("fire",), {"every": 0}, "allowed is 1 or more"),
        (("snr",), {"when": "dormant>0.1"}, "give neither every, at nor when"),
        (("fire",), {"when": "dormant"}, "such as dormant>0.25"),
        (("fire",), {"when": "dormant>0.1", "measure_every": 0}, "measure_every=0 given"),
        (("fire",), {"at": 0}, "each 1 or more"),
        (("fire",), {"every": 5, "regularizers": ["l2"]}, "nearest is"),
    ],
)
def test_wrong_arguments_end_in_one_line(arguments: tuple[str, ...], named: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message) as error:
        PlasticityCallback(*arguments, **named)
    assert "\n" not in str(error.value)

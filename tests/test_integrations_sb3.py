"""Methods, regularizers and measures in Stable-Baselines3's training."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from fire_rl.agents import KINDS as AGENTS
from fire_rl.fire import MethodNetwork, parse_method, published

sb3 = pytest.importorskip("stable_baselines3")

from fire_rl.fire.integrations.stable_baselines3 import PlasticityCallback  # noqa: E402
from fire_rl.fire.integrations.stable_baselines3_networks import losses  # noqa: E402
from tests.fixtures.sb3_models import KINDS, Pictures, Pull, make, weights  # noqa: E402


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["fire", "reset-head", "shrink-perturb", "injection", "redo", "dash"])
def test_every_method_acts_when_it_is_due(kind: str, method: str):
    model, callback = make(kind, learning_starts=5), PlasticityCallback(method, every=7, at=(15, 16))
    model.learn(20, callback=callback)
    # one update after each environment step from the sixth on
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
    """The first layer is projected, the other two are reset, the target is a copy, and Adam's moments are kept."""
    model = make("DQN", target_update_interval=1000)
    first = weights(model)
    model.learn(40, callback=PlasticityCallback("fire:solver=exact", at=40))
    after = weights(model)
    # SB3 makes one more update after the last environment step. Adam moves a weight by at most a few learning rates.
    for name in ("q_net.q_net.2.weight", "q_net.q_net.4.weight"):
        assert (after[name] - first[name]).abs().max() < 1e-3
    scaled = after["q_net.q_net.0.weight"] / (8 / 4) ** 0.5
    torch.testing.assert_close(scaled.T @ scaled, torch.eye(4), rtol=0, atol=0.01)
    assert (after["q_net.q_net.0.weight"] - first["q_net.q_net.0.weight"]).abs().max() > 0.1
    torch.testing.assert_close(after["q_net_target.q_net.0.weight"], after["q_net.q_net.0.weight"], rtol=0, atol=1e-3)
    assert all(state["step"] == 30 for state in model.policy.optimizer.state.values())


def test_sac_s_temperature_and_optimizers_are_reset():
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
def test_observing_changes_nothing(kind: str, method: str):
    """Neither the callback nor the examples of a method with nothing to do move a random generator of SB3."""
    alive = {"net_arch": [8, 8], "activation_fn": nn.Tanh}  # no unit is ever silent
    plain = make(kind, policy_kwargs=alive).learn(25)
    callback = PlasticityCallback(method, every=5, measure_every=2)
    watched = make(kind, policy_kwargs=alive).learn(25, callback=callback)
    assert len(callback.events) == 3
    for name, value in weights(plain).items():
        assert torch.equal(weights(watched)[name], value), name


@pytest.mark.parametrize("kind", KINDS)
def test_losses_equal_those_that_sb3_steps_on(kind: str, monkeypatch: pytest.MonkeyPatch):
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


class PullAtEventsToo(Pull):
    acts_at_events = True


def test_a_method_that_acts_at_steps_and_at_events_needs_a_schedule():
    with pytest.raises(ValueError, match="acts at events: give every=UPDATES"):
        PlasticityCallback(PullAtEventsToo())
    callback = PlasticityCallback(PullAtEventsToo(), every=5)
    make("DQN").learn(30, callback=callback)
    assert len(callback.events) == callback.manager.figures()["q/steps"] // 5 > 0


def test_methods_that_look_at_examples_need_some():
    with pytest.raises(ValueError, match="replay buffer is still empty"):
        make("DQN").learn(5, callback=PlasticityCallback("redo", at=1))


def test_activations_are_those_of_the_batch_that_was_stepped_on(monkeypatch: pytest.MonkeyPatch):
    """SB3's SAC also runs the actor on the next observations before its step."""
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
    seen = [values for values in seen if values]  # during the trial it sees nothing
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


def test_training_that_continues_counts_on():
    model, callback = make("DQN"), PlasticityCallback("none", every=20, at=45)
    model.learn(40, callback=callback)
    model.learn(30, callback=callback, reset_num_timesteps=False)
    assert [event.position.updates for event in callback.events] == [20, 34, 40, 60]
    other = PlasticityCallback("none", every=20)
    model.learn(30, callback=other, reset_num_timesteps=False)
    assert [event.position.updates for event in other.events] == [20, 34, 40, 60, 80]
    model.learn(20, callback=callback, reset_num_timesteps=False)
    assert [event.position.updates for event in callback.events] == [20, 34, 40, 60, 80, 100]


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
    assert not any(name.count("/") > 2 and "dormant" in name for name in logged), "each layer separately"
    dormant = [event.position.updates for event in callback.events]
    assert dormant, "there is no event, so the test shows nothing"
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

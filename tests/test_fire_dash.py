"""DASH on our networks: which weights shrink, by which factors, and what is refused."""

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fire_rl.agents.sac.networks import Critic
from fire_rl.fire import Dash, Injection, Matrix, Never, PlasticityManager, Position, parse_method
from tests.fixtures.method_networks import at_event, network_of, trained_q_network
from tests.fixtures.small_q_network import values


def cosine(one: Any, other: Any) -> float:
    product = np.linalg.norm(one.astype(np.float64)) * np.linalg.norm(other.astype(np.float64))
    return float((one.astype(np.float64) * other.astype(np.float64)).sum() / product) if product else 0.0


def test_factors_are_those_of_the_equation_row_by_row_and_kernel_by_kernel():
    network = trained_q_network()
    before = {name: value.numpy() for name, value in values(network.module).items()}
    gradients = torch.autograd.grad(network.loss(), list(network.module.parameters()))
    downhill = {name: -g.numpy() for (name, _), g in zip(network.module.named_parameters(), gradients, strict=True)}
    at_event(Dash(least=0.1), network)
    wanted, seen = {name: value.copy() for name, value in before.items()}, []
    for out in range(16):
        for into in range(2):
            seen.append(
                max(0.1, cosine(before["encoder.0.weight"][out, into], downhill["encoder.0.weight"][out, into]))
            )
            wanted["encoder.0.weight"][out, into] *= seen[-1]
    for name in ("head.0.weight", "head.2.weight"):
        for row in range(len(before[name])):
            seen.append(max(0.1, cosine(before[name][row], downhill[name][row])))
            wanted[name][row] *= seen[-1]
    for name in ("encoder.0.bias", "head.0.bias", "head.2.bias"):
        wanted[name] *= max(0.1, cosine(before[name], downhill[name]))
    assert len({factor for factor in seen if factor > 0.1}) > 5
    for name, value in network.module.named_parameters():
        torch.testing.assert_close(value.detach(), torch.tensor(wanted[name]), msg=name, rtol=1e-5, atol=1e-7)


def test_every_member_shrinks_as_it_would_alone():
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(16, 5, generator=generator), torch.randn(16, 2, generator=generator)
    critic = Critic(5, 2, width=6, blocks=1, members=2)
    critic.initialise(torch.Generator().manual_seed(0))
    nn.init.uniform_(critic.get_parameter("encoder.embed.bias"), generator=generator)
    before = values(critic)
    at_event(Dash(), network_of(critic, lambda: (critic(*inputs) - 3.0).square().mean(1).sum()))
    for member in range(2):
        alone = Critic(5, 2, width=6, blocks=1, members=1)
        alone.load_state_dict({name: value[member : member + 1] for name, value in before.items()})
        at_event(Dash(), network_of(alone, lambda alone=alone: (alone(*inputs) - 3.0).square().mean()))
        for name, value in alone.named_parameters():
            torch.testing.assert_close(critic.get_parameter(name)[member], value[0], msg=name)
    weight, old = critic.get_parameter("encoder.blocks.0.expand.weight"), before["encoder.blocks.0.expand.weight"]
    factors = weight / old  # (members, in, out): one factor for each output
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), rtol=1e-4, atol=1e-4)
    assert ((factors > 0.31) & (factors < 0.99)).any()
    for name in ("encoder.norm.weight", "encoder.norm.bias", "encoder.blocks.0.norm.weight"):
        assert torch.equal(critic.get_parameter(name), before[name])


def test_by_default_the_target_is_a_copy_and_everything_else_stays():
    network = trained_q_network()
    at_event(Dash(), network)
    assert all(torch.equal(a, b) for a, b in zip(network.module.parameters(), network.target.parameters(), strict=True))
    assert all(state["step"] == 1 and state["exp_avg"].any() for state in network.optimizer.state.values())
    assert network.companions[0].parameters[0] == 1
    before = values(network.target)
    at_event(Dash(optimizer="renew", companions="renew", target="keep"), network)
    assert all(torch.equal(value, before[name]) for name, value in network.target.state_dict().items())
    assert not any(state["exp_avg"].any() for state in network.optimizer.state.values())
    assert network.companions[0].parameters[0] == 0


def test_a_scope_is_kept_and_the_rest_may_be_reset():
    network = trained_q_network()
    before = values(network.module)
    at_event(Dash(scope="encoder", outside="reset"), network)
    after = values(network.module)
    assert not torch.equal(after["encoder.0.weight"], before["encoder.0.weight"])
    assert all(torch.equal(after[name], network.initial[name]) for name in after if name.startswith("head"))


def test_what_an_injection_froze_stays_unchanged():
    network = trained_q_network()
    Injection().restructure(network)
    before = values(network.module)
    at_event(Dash(), network)
    for name, value in network.module.state_dict().items():
        frozen = name.startswith(("head.old", "head.frozen"))
        assert torch.equal(value, before[name]) == frozen, name


def test_writes_are_in_place_and_repeatable_and_gradients_stay():
    one, other = trained_q_network(), trained_q_network()
    addresses = [parameter.data_ptr() for parameter in one.module.parameters()]
    gradients = [parameter.grad.clone() for parameter in one.module.parameters()]
    for network in (one, other):
        at_event(Dash(), network)
    assert addresses == [parameter.data_ptr() for parameter in one.module.parameters()]
    for a, b, gradient in zip(one.module.parameters(), other.module.parameters(), gradients, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a.grad, gradient)


def test_weights_that_the_loss_does_not_reach_shrink_to_the_least_factor():
    module = nn.ModuleDict({"used": nn.Linear(3, 1), "unused": nn.Linear(3, 1)})
    before = values(module)
    at_event(Dash(least=0.25), network_of(module, lambda: module["used"](torch.ones(2, 3)).square().mean()))
    assert torch.equal(module.get_parameter("unused.weight"), 0.25 * before["unused.weight"])


def test_the_manager_passes_the_loss_and_refuses_one_without_a_finite_gradient():
    network = trained_q_network()
    manager = PlasticityManager([network], parse_method("dash:least=0.05"), Never())
    assert manager.act(Position(0, 0), {"q": network.loss}).method == "dash:least=0.05"
    before = values(network.module)
    with pytest.raises(ValueError, match=r"'q'.*no finite gradient for 'encoder\.0\.weight'"):
        manager.act(Position(1, 0), {"q": lambda: network.loss() * torch.inf})
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())


class Kernels(nn.Module):
    """A module that declares kernel positions, but not which dimension they are."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 9, 4, 3))

    def plastic_matrices(self) -> Any:
        yield Matrix("weight", self.weight, 4, 3, kernel_positions=9)


def test_wrong_settings_and_unknown_layouts_are_refused():
    with pytest.raises(ValueError, match=r"least=1\.5 must lie between 0 and 1"):
        Dash(least=1.5)
    with pytest.raises(ValueError, match="target=same is not one of copy, keep"):
        Dash(target=cast(Any, "same"))
    with pytest.raises(ValueError, match=r"alpha=0\.0 must be above 0"):
        Dash(alpha=0.0)
    with pytest.raises(ValueError, match=r"'table'"):
        Dash().check(network_of(nn.ParameterDict({"table": nn.Parameter(torch.ones(3, 4))}), None))
    with pytest.raises(ValueError, match="'weight' does not say which dimensions"):
        Dash().check(network_of(Kernels(), None))


def test_an_event_computes_the_gradient_once():
    network, passes = trained_q_network(), []

    def loss() -> Tensor:
        passes.append(1)
        return cast(Tensor, network.loss())

    PlasticityManager([network], Dash(), Never()).act(Position(0, 0), {"q": loss})
    assert len(passes) == 1


class Tokens(nn.Module):
    """A recurrent layer and two kinds of attention, with a bias in the module itself."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 6, batch_first=True)
        self.one = nn.MultiheadAttention(6, 2, batch_first=True)
        self.other = nn.MultiheadAttention(6, 2, kdim=3, vdim=4, batch_first=True, add_bias_kv=True)
        self.shift = nn.Parameter(torch.randn(6))
        for attention in (self.one, self.other):
            nn.init.normal_(attention.in_proj_bias)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden, _ = self.lstm(inputs)
        hidden, _ = self.one(hidden, hidden, hidden)
        return self.other(hidden, inputs[..., :3], inputs[..., :4])[0] + self.shift


def test_biases_of_gates_and_of_attention_shrink_each_by_its_own_factor_and_others_are_named():
    torch.manual_seed(3)
    module = Tokens()
    inputs = torch.randn(4, 7, 5)
    network = network_of(module, lambda: (module(inputs) - 1.0).square().mean())
    gradients = torch.autograd.grad(network.loss(), list(module.parameters()))
    downhill = {name: -g.numpy() for (name, _), g in zip(module.named_parameters(), gradients, strict=True)}
    before = {name: value.numpy() for name, value in values(module).items()}
    at_event(Dash(least=0.01), network)
    for name in ("lstm.bias_ih_l0", "lstm.bias_hh_l0", "one.in_proj_bias", "other.in_proj_bias"):
        after, factors = module.get_parameter(name).detach().numpy(), []
        for start in range(0, len(after), 6):
            rows = slice(start, start + 6)
            factors.append(max(0.01, cosine(before[name][rows], downhill[name][rows])))
            np.testing.assert_allclose(after[rows], before[name][rows] * factors[-1], rtol=1e-5, atol=1e-7)
        assert len(set(factors)) > 1, name
    named = "left as they were, not known to belong to a weight matrix: shift, other.bias_k, other.bias_v"
    assert Dash().notes(network) == [named]
    assert Dash().notes(trained_q_network()) == []


@pytest.mark.parametrize(
    ("module", "loss", "said"),
    [
        (nn.Linear(2, 2), lambda: torch.ones(()), "the loss has no gradient: give a function that returns one number"),
        (nn.Linear(2, 2), lambda: torch.ones(3, requires_grad=True), "the loss has no gradient"),
        (nn.Linear(2, 2), lambda: None, "the loss has no gradient"),
        (nn.Linear(2, 2, dtype=torch.complex64), None, "'weight' holds complex64 numbers; allowed are real ones"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), None, r"pass; remove it \(.*'weight'\)\)$"),
    ],
)
def test_networks_and_losses_that_dash_cannot_use_are_refused_with_fitting_advice(module, loss, said):
    network = network_of(module, loss)
    with pytest.raises(ValueError, match=said) as caught:
        (Dash().check if loss is None else Dash().ready)(network)
    assert "exclude" not in str(caught.value)

"""Plasticity injection: the head learns from its initial values, and outputs do not change."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fire_rl.fire import Injected, Injection, Never, PlasticityManager
from tests.fixtures.small_q_network import FRAMES, QNetwork, act, injected, make_network, train, trained_network, values


@pytest.mark.parametrize("times", [1, 2, 3])
def test_outputs_of_network_and_target_are_the_same_bit_by_bit(times):
    network: Any = trained_network()
    for _ in range(times):
        train(network)
        before = network.module(FRAMES), network.target(FRAMES)
        assert not torch.equal(*before), "the target is another network"
        act(network, Injection())
        assert torch.equal(network.module(FRAMES), before[0])
        assert torch.equal(network.target(FRAMES), before[1])


def test_the_head_is_the_old_one_frozen_and_two_initial_copies_of_which_one_learns():
    network: Any = trained_network()
    before, target_before = values(network.module), values(network.target)
    act(network, Injection())
    first = make_network().initial
    for module, own in ((network.module, before), (network.target, target_before)):
        for name, value in module.state_dict().items():
            part = name.removeprefix("head.").partition(".")[0]
            key = name.replace(f".{part}.", ".", 1)
            wanted = own[name] if name.startswith("encoder") else own[key] if part == "old" else first[key]
            assert torch.equal(value, wanted), name
    learning = {name for name, parameter in network.module.named_parameters() if parameter.requires_grad}
    assert learning == {name for name in values(network.module) if name.startswith(("encoder.", "head.trained."))}
    assert not any(parameter.requires_grad for parameter in network.target.parameters())
    addresses = [value.data_ptr() for module in (network.module, network.target) for value in module.parameters()]
    assert len(set(addresses)) == len(addresses), "no tensor is shared"


def test_frozen_parts_stay_while_the_rest_learns():
    network: Any = trained_network()
    act(network, Injection())
    before = values(network.module)
    train(network)
    for name, value in network.module.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith(("head.old.", "head.frozen.")), name


@pytest.mark.parametrize(
    "kind",
    [
        torch.optim.Adam,
        lambda parameters, lr: torch.optim.AdamW(parameters, lr, fused=True, weight_decay=0.1),
        lambda parameters, lr: torch.optim.SGD(parameters, lr, momentum=0.9),
        lambda parameters, lr: torch.optim.RMSprop(parameters, lr, centered=True),
        lambda parameters, lr: torch.optim.Adam(parameters, lr, amsgrad=True),
    ],
)
@pytest.mark.parametrize("times", [1, 2])
def test_the_optimizer_becomes_a_new_one_of_what_learns(kind: Callable[..., Any], times: int):
    network: Any = trained_network(kind)
    lists = [group["params"] for group in network.optimizer.param_groups]
    for _ in range(times):
        train(network)
        act(network, Injection())
    assert all(group["params"] is held for group, held in zip(network.optimizer.param_groups, lists, strict=True))
    twin = copy.deepcopy(network)
    learning = [parameter for parameter in twin.module.parameters() if parameter.requires_grad]
    object.__setattr__(twin, "optimizer", kind(learning, lr=1e-2))
    train(network, seed=5)
    train(twin, seed=5)
    for name, value in network.module.state_dict().items():
        assert torch.equal(value, twin.module.state_dict()[name]), name
    held = {id(parameter) for parameter in network.optimizer.param_groups[0]["params"]}
    assert {id(parameter) for parameter in network.optimizer.state} == held, "nothing is left of the old head"


def test_the_learning_copy_replaces_the_old_head_in_its_parameter_group():
    network: Any = make_network()
    groups = [{"params": network.module.head.parameters(), "lr": 0.5}, {"params": network.module.encoder.parameters()}]
    network = copy.copy(network)
    object.__setattr__(network, "optimizer", torch.optim.SGD(groups, lr=0.1))
    act(network, Injection())
    head, encoder = network.optimizer.param_groups
    assert [id(p) for p in head["params"]] == [id(p) for p in network.module.head.trained.parameters()]
    assert [id(p) for p in encoder["params"]] == [id(p) for p in network.module.encoder.parameters()]
    assert head["lr"] == 0.5


def test_a_kept_optimizer_keeps_the_encoders_state_and_starts_again_for_the_head():
    network: Any = trained_network()
    before = copy.deepcopy([network.optimizer.state[parameter] for parameter in network.module.encoder.parameters()])
    act(network, Injection(optimizer="keep"))
    for parameter, state in zip(network.module.encoder.parameters(), before, strict=True):
        assert all(torch.equal(network.optimizer.state[parameter][key], value) for key, value in state.items())
        assert state["step"] == 3
    for parameter in network.module.head.trained.parameters():
        state = network.optimizer.state[parameter]
        assert sorted(state) == ["exp_avg", "exp_avg_sq", "step"]
        assert not any(value.any() for value in state.values())


def test_companions_stay_unless_asked_otherwise():
    network: Any = trained_network()
    before = network.companions[0].parameters[0].clone()
    act(network, Injection())
    assert torch.equal(network.companions[0].parameters[0], before)
    act(network, Injection(companions="renew"))
    assert network.companions[0].parameters[0].item() == pytest.approx(-4.6)
    assert not any(value.any() for value in network.companions[0].optimizer.state.popitem()[1].values())


class Published(nn.Module):
    """The published form, written from its equation: q = old + trained - frozen, on an encoder that learns."""

    def __init__(self, module: QNetwork, first: dict[str, Tensor]) -> None:
        super().__init__()
        self.convolution = copy.deepcopy(module.encoder[0])
        self.heads = nn.ModuleDict({name: copy.deepcopy(module.head) for name in ("old", "trained", "frozen")})
        for name in ("trained", "frozen"):
            self.heads[name].load_state_dict({key.removeprefix("head."): first[key] for key in first if "head" in key})

    def forward(self, frames: Tensor) -> Tensor:
        features = torch.relu(self.convolution(frames)).flatten(1)
        return self.heads["old"](features) + self.heads["trained"](features) - self.heads["frozen"](features)

    def learning(self) -> list[Tensor]:
        return [*self.convolution.parameters(), *self.heads["trained"].parameters()]

    def renamed(self) -> dict[str, Tensor]:
        names = {"convolution": "encoder.0", "heads": "head"}
        return {name.replace(key := name.partition(".")[0], names[key]): v for name, v in self.state_dict().items()}


class PlainAdam:
    """Adam from its equations (Kingma and Ba 2015)."""

    def __init__(self, parameters: list[Tensor], rate: float) -> None:
        self.parameters, self.rate, self.step = parameters, rate, 0
        self.first = [torch.zeros_like(parameter) for parameter in parameters]
        self.second = [torch.zeros_like(parameter) for parameter in parameters]

    @torch.no_grad()
    def update(self, gradients: tuple[Tensor, ...]) -> None:
        self.step += 1
        for parameter, gradient, first, second in zip(self.parameters, gradients, self.first, self.second, strict=True):
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            ahead = first / (1 - 0.9**self.step)
            parameter -= self.rate * ahead / ((second / (1 - 0.999**self.step)).sqrt() + 1e-8)


def test_updates_after_it_equal_those_of_the_published_form():
    network: Any = trained_network()
    for module in (network.module, network.target):
        module.double()
    network.initial.update({name: value.double() for name, value in network.initial.items()})
    network.optimizer.state.clear()
    published, target = (Published(module, network.initial) for module in (network.module, network.target))
    adam = PlainAdam(published.learning(), rate=1e-2)
    act(network, Injection())
    generator = torch.Generator().manual_seed(3)
    for step in range(8):
        frames, following = torch.randn(2, 16, 2, 6, 6, generator=generator, dtype=torch.float64)
        rewards, actions = torch.randn(16, generator=generator), torch.randint(3, (16, 1), generator=generator)
        network.optimizer.zero_grad()
        q_loss(network.module(frames), actions, rewards, network.target(following)).backward()
        network.optimizer.step()
        with torch.no_grad():
            values_behind = target(following)
        loss = q_loss(published(frames), actions, rewards, values_behind)
        adam.update(torch.autograd.grad(loss, published.learning()))
        if step == 4:  # the periodic copy
            network.target.load_state_dict(network.module.state_dict())
            target.load_state_dict(published.state_dict())
        for module, reference in ((network.module, published), (network.target, target)):
            for name, value in reference.renamed().items():
                torch.testing.assert_close(module.state_dict()[name], value, rtol=1e-9, atol=1e-12)


def q_loss(q: Tensor, actions: Tensor, rewards: Tensor, following: Tensor) -> Tensor:
    return nn.functional.smooth_l1_loss(q.gather(1, actions).squeeze(1), rewards + 0.99 * following.amax(1))


def test_the_second_injection_freezes_the_first_as_a_whole():
    network: Any = injected()
    before, target_before = values(network.module.head), values(network.target.head)
    act(network, Injection())
    first = make_network().initial
    for module, own in ((network.module, before), (network.target, target_before)):
        assert isinstance(module.head, Injected)
        assert isinstance(module.head.old, Injected)
        assert all(torch.equal(value, own[name]) for name, value in module.head.old.state_dict().items())
        assert not any(parameter.requires_grad for parameter in module.head.old.parameters())
        for part in (module.head.trained, module.head.frozen):
            assert all(torch.equal(value, first[f"head.{name}"]) for name, value in part.state_dict().items())
    assert network.initial.keys() == network.module.state_dict().keys()


class Unknown(torch.optim.Adam):
    """An optimizer whose state may start at any value."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head": ()}, "injection: network 'q' names no head"),
        ({"head": ("haed",)}, "network 'q': its head 'haed' is not the name of a module; nearest is head"),
        ({"initial": {}}, "network 'q' has no initial value for 'encoder.0.bias'"),
        ({"optimizer": Unknown}, "optimizer Unknown cannot be renewed in place; known are Adam,"),
        ({"tied": True}, "injection: head 'head.2' of network 'q' shares a weight with 'encoder.3.weight'"),
    ],
)
def test_networks_that_cannot_be_injected_are_refused_in_one_line_before_the_run(change, message):
    network: Any = make_network(change.get("optimizer", torch.optim.Adam))
    if "tied" in change:
        network.module.encoder.append(nn.Linear(8, 3))
        network.module.encoder[3].weight = network.module.head[2].weight
        change = {"head": ("head.2",)}
    for name, value in change.items():
        if name != "optimizer":
            object.__setattr__(network, name, value)
    for method in (Injection(), Injection(optimizer="keep")):
        with pytest.raises(ValueError, match=message) as caught:
            PlasticityManager([network], method, Never())
        assert "\n" not in str(caught.value)
        assert "choose optimizer" not in str(caught.value)

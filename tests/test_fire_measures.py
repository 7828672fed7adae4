"""Each measure beside a library, an explicit computation or the public code it comes from; and what it leaves alone.

`measures_reference.json` holds figures of public code, run on the small inputs that stand beside them:
dormant: google/dopamine 5873f54, labs/redo/weight_recyclers.py, BaseRecycler.log_dead_neurons_count at thresholds 0 and
0.1 and estimate_neuron_score, on three layers' activations (examples, [height, width,] units);
active: Guozheng-Ma/Adaptive-Replay-Ratio dae0d09, drqv2_adapt_rr.py, Critic(6, (2,), 4, 8).forward_with_FAU;
rank: shibhansh/loss-of-plasticity 63c35f3, lop/incremental_cifar/post_run_analysis.py, compute_stable_rank, which is
Kumar et al.'s effective rank under another name, on numpy's singular values of the features.
`python -m tests.fixtures.make_measures` makes the file anew from clones of these.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fire_rl import fire
from fire_rl.agents.sac.networks import Critic
from fire_rl.fire import Injection, Matrix, MethodNetwork, hidden_layers, measure, take_inventory
from fire_rl.fire.activity import dormancy_scores, feature_measures, unit_measures
from fire_rl.fire.curvature import top_eigenvalue
from fire_rl.fire.spectra import gram_measures

REFERENCE = json.loads((Path(__file__).parent / "fixtures" / "measures_reference.json").read_text())


def make_module(seed: int = 0) -> Any:
    """Two convolutions and two linear layers, the last two of which are the head."""
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 2), nn.ReLU(inplace=True), nn.Flatten())
    return nn.Sequential(encoder, nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)))


def make_network(module: Any = None, **fields: Any) -> Any:
    module = make_module() if module is None else module
    images = torch.randn(32, 2, 5, 5, generator=torch.Generator().manual_seed(1))
    wanted = torch.randn(32, 3, generator=torch.Generator().manual_seed(2))
    defaults: dict[str, Any] = {
        "initial": {key: value.clone() for key, value in module.state_dict().items()},
        "optimizer": torch.optim.Adam(module.parameters(), 1e-3),
        "encoder": ("0",),
        "head": ("1",),
        "loss": lambda: (module(images) - wanted).square().mean(),
    }
    return MethodNetwork("q", module, **(defaults | fields))


def measured(network: Any, reference: Any = None, hessian: bool = False) -> dict[str, float]:
    """Every measure of a network whose loss stands beside it."""
    return measure(network, reference, hessian, network.loss)


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach() for name, weight in module.named_parameters()}


class Ensemble(nn.Module):
    """Members' linear layers in one weight (members, in, out)."""

    def __init__(self, members: int, d_in: int, d_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(members, d_in, d_out))

    def plastic_matrices(self) -> Iterable[Matrix]:
        yield Matrix("weight", self.weight.mT, self.weight.shape[2], self.weight.shape[1])


# Units


def reference_layers() -> dict[str, Tensor]:
    """The recorded activations as (units, samples)."""
    recorded = REFERENCE["dormant"]
    layers = {name: torch.tensor(recorded[name]) for name in ("dense", "conv", "silent")}
    return {name: values.movedim(-1, 0).flatten(1) for name, values in layers.items()}


def test_dormant_units_are_counted_as_by_the_public_code_of_redo():
    layers, reference = reference_layers(), REFERENCE["dormant"]["reference"]
    found = unit_measures(layers)
    for name, values in layers.items():
        torch.testing.assert_close(dormancy_scores(values), torch.tensor(reference["scores"][name]))
        for measured, tau in (("dead", "0.0"), ("dormant", "0.1")):
            share = reference[tau][f"dead_feature_percentage/{name}"] / 100
            assert float(found[f"{measured}/{name}"]) == pytest.approx(share)
    assert float(found["dead"]) == pytest.approx(reference["0.0"]["dead_feature_percentage"] / 100)
    assert float(found["dormant"]) == pytest.approx(reference["0.1"]["dead_feature_percentage"] / 100)
    assert 0 < found["dead"] < found["dormant"] < 1


class PublishedCritic(nn.Module):
    """The critic of Ma et al.: a trunk, and two chains of two hidden layers on features and actions."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(6, 4), nn.LayerNorm(4), nn.Tanh())
        self.Q1, self.Q2 = (
            nn.Sequential(nn.Linear(6, 8), nn.ReLU(True), nn.Linear(8, 8), nn.ReLU(True), nn.Linear(8, 1))
            for _ in range(2)
        )

    def forward(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        inputs = torch.cat((self.trunk(observations), actions), -1)
        return self.Q1(inputs), self.Q2(inputs)


def test_active_units_are_counted_as_by_the_public_code_of_ma_et_al():
    recorded, critic = REFERENCE["active"], PublishedCritic()
    critic.load_state_dict(
        {name: torch.tensor(recorded["weights"][name]).view_as(value) for name, value in critic.state_dict().items()}
    )
    observations, actions = torch.tensor(recorded["observations"]), torch.tensor(recorded["actions"])
    torch.testing.assert_close(critic(observations, actions)[0].flatten(), torch.tensor(recorded["q1"]))
    network = MethodNetwork("critic", critic, {}, loss=lambda: torch.cat(critic(observations, actions)).mean())
    found = measured(network)
    assert found["active"] == pytest.approx(recorded["fau"], abs=1e-12)
    layers = {name.removeprefix("active/") for name in found if name.startswith("active/")}
    assert layers == {"Q1.1", "Q1.3", "Q2.1", "Q2.3"}


def test_units_that_are_killed_are_counted_in_their_layer_and_in_the_network():
    module = make_module()
    with torch.no_grad():
        for layer in (module[0][0], module[0][2], module[1][0]):
            layer.bias += 1.0  # so that every unit is awake
    healthy = measured(make_network(module))
    assert healthy["dead"] == healthy["dead/0.1"] == 0.0
    with torch.no_grad():
        for layer, unit in ((module[0][0], 2), (module[1][0], 0), (module[1][0], 5)):
            layer.weight[unit], layer.bias[unit] = 0.0, -1.0
    found = measured(make_network(module))
    assert found["dead/0.1"] == pytest.approx(1 / 6)
    assert found["dead/1.1"] == pytest.approx(2 / 8)
    assert found["dead"] == pytest.approx(3 / 18)
    assert found["dormant"] >= found["dead"]
    assert found["active"] < healthy["active"]


def test_shares_of_units_equal_explicit_loops():
    sizes = torch.tensor([1, 2, 0.1, 0.02, 0])
    values = torch.randn(5, 40, generator=torch.Generator().manual_seed(0)).relu() * sizes[:, None]
    means = [sum(abs(float(value)) for value in unit) / 40 for unit in values]
    layer_mean = sum(means) / 5
    found = unit_measures({"layer": values})
    assert float(found["dormant"]) == sum(mean / layer_mean <= 0.1 for mean in means) / 5 == 2 / 5
    assert float(found["dead"]) == 1 / 5
    assert float(found["active"]) == pytest.approx(sum(float(value) > 0 for unit in values for value in unit) / 200)


def test_each_members_units_are_compared_with_their_own_layer():
    loud = torch.rand(4, 30, generator=torch.Generator().manual_seed(0)) + 1
    found = unit_measures({"layer": torch.stack((loud, 1e-3 * loud))})
    assert float(found["dormant"]) == 0.0
    assert float(unit_measures({"layer": torch.cat((loud, 1e-3 * loud))})["dormant"]) == 0.5


def test_a_unit_that_one_of_sacs_critics_lost_is_counted():
    critic: Any = Critic(5, 2, width=4, blocks=2, members=2)
    critic.initialise(torch.Generator().manual_seed(0))
    draw = torch.Generator().manual_seed(1)
    observations, actions = torch.randn(64, 5, generator=draw), torch.randn(64, 2, generator=draw)
    network = MethodNetwork(
        "critic", critic, {}, head=("value",), loss=lambda: critic(observations, actions).square().mean(1).sum()
    )
    with torch.no_grad():
        for block in critic.encoder.blocks:
            block.expand.bias += 2.0
        assert measured(network)["dead"] == 0.0
        critic.encoder.blocks[1].expand.bias[1, 0, 7] = -100.0
    found = measured(network)
    assert found["dead/encoder.blocks.1.activation"] == pytest.approx(1 / 32)
    assert found["dead"] == pytest.approx(1 / 64)


# Features


def test_effective_rank_equals_the_public_code():
    features = torch.tensor(REFERENCE["rank"]["features"])
    assert float(feature_measures(features)["effective_rank"]) == REFERENCE["rank"]["srank"] == 5


@pytest.mark.parametrize("shape", [(40, 12), (12, 40)])
def test_ranks_and_norms_of_features_equal_numpys(shape):
    features = torch.randn(shape, generator=torch.Generator().manual_seed(3)) @ torch.diag(
        torch.logspace(0, -3, shape[1])
    )
    values = np.linalg.svd(features.double().numpy(), compute_uv=False)
    shares = [values[:k].sum() / values.sum() for k in range(1, len(values) + 1)]
    found = feature_measures(features)
    assert float(found["effective_rank"]) == next(k for k, share in enumerate(shares, 1) if share >= 0.99)
    assert float(found["stable_rank"]) == pytest.approx((values**2).sum() / values[0] ** 2, rel=1e-12)
    assert float(found["feature_norm"]) == pytest.approx(np.linalg.norm(features.double().numpy(), axis=1).mean())
    scaled = feature_measures(1e-4 * features)
    assert float(scaled["effective_rank"]) == float(found["effective_rank"])
    assert float(scaled["stable_rank"]) == pytest.approx(float(found["stable_rank"]), rel=1e-5)
    assert float(scaled["feature_norm"]) == pytest.approx(1e-4 * float(found["feature_norm"]))


def test_features_that_are_one_direction_have_rank_one_and_none_rank_zero():
    line = torch.outer(torch.rand(9) + 1, torch.rand(5) + 1)
    assert float(feature_measures(line)["effective_rank"]) == 1.0
    assert float(feature_measures(line)["stable_rank"]) == pytest.approx(1.0)
    assert [float(value) for value in feature_measures(torch.zeros(9, 5)).values()] == [0.0, 0.0, 0.0]


def test_features_of_members_are_measured_apart_and_of_images_flat():
    stack = torch.randn(3, 20, 6, generator=torch.Generator().manual_seed(4))
    stack[1, :, 2:] = 0
    parts = [feature_measures(member) for member in stack]
    for name, value in feature_measures(stack).items():
        assert float(value) == pytest.approx(sum(float(part[name]) for part in parts) / 3)
    images = torch.randn(20, 2, 3, 4)
    assert feature_measures(images) == feature_measures(images.flatten(1))


def test_features_are_what_the_last_layer_is_given_in_the_pass_that_is_differentiated():
    module = make_module()
    images, others = torch.randn(32, 2, 5, 5), 9 * torch.randn(32, 2, 5, 5)

    def loss() -> Tensor:
        with torch.no_grad():
            module(others)
        values = module(images)
        with torch.no_grad():  # a target taken from the network itself
            wanted = module(others).amax(1, keepdim=True)
        return (values - wanted).square().mean()

    found = measured(make_network(module, loss=loss))
    for name, value in feature_measures(module[1][:-1](module[0](images))).items():
        assert found[name] == pytest.approx(float(value))


class Doubling(nn.Linear):
    """Writes over what it is given."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs.mul_(2))


def test_features_are_measured_as_they_were_before_the_last_layer_wrote_over_them():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 6), Doubling(6, 1))
    inputs = torch.randn(20, 3)
    found = measured(MethodNetwork("q", module, {}, head=("1",), loss=lambda: module(inputs).square().mean()))
    assert found["feature_norm"] == pytest.approx(float(module[0](inputs).detach().norm(dim=1).mean()))


# Matrices


def test_deviation_and_spread_equal_explicit_computations():
    torch.manual_seed(5)
    linear = [nn.Linear(12, 7), nn.Linear(7, 12), nn.Linear(12, 7)]
    matrices = take_inventory(nn.ModuleList([*linear, nn.Conv2d(5, 8, 3), Ensemble(3, 7, 12)])).matrices
    found = gram_measures(matrices)
    for matrix in matrices:
        each = [one.double().numpy() / matrix.scale for one in matrix.view.reshape(-1, matrix.d_out, matrix.d_in)]
        narrow = [one if one.shape[0] >= one.shape[1] else one.T for one in each]
        worst = max(((one.T @ one - np.eye(one.shape[1])) ** 2).sum() for one in narrow)
        deviation = float(found[f"deviation/{matrix.name}"])
        assert deviation == pytest.approx(worst, rel=1e-12)
        assert deviation == pytest.approx(fire.deviation_from_isometry(matrix), rel=1e-12)
        condition = max(np.linalg.cond(one) for one in each)
        assert float(found[f"spread/{matrix.name}"]) == pytest.approx(condition, rel=1e-9)
    total = sum(float(found[f"deviation/{matrix.name}"]) for matrix in matrices)
    assert float(found["deviation"]) == pytest.approx(total)
    assert float(found["spread"]) == max(float(found[f"spread/{matrix.name}"]) for matrix in matrices)


def test_fire_leaves_deviation_zero_and_spread_one():
    module = make_module()
    assert measured(make_network(module))["deviation"] > 1
    fire.fire_(module, solver="exact")
    found = measured(make_network(module))
    assert found["deviation"] < 1e-6
    assert found["spread"] == pytest.approx(1.0, abs=1e-5)


def test_a_null_direction_has_the_largest_spread_and_a_weight_that_is_nan_has_none():
    layers = [nn.Linear(6, 6) for _ in range(4)]
    with torch.no_grad():
        layers[1].weight[3] = 0.0
        layers[2].weight.zero_()
        layers[3].weight[0, 0] = math.nan
    measured = gram_measures(take_inventory(nn.ModuleList(layers)).matrices)
    found = {name: float(value) for name, value in measured.items()}
    assert 1 < found["spread/0.weight"] < 1e6
    assert found["spread/1.weight"] == found["spread/2.weight"] == pytest.approx(1e8)
    for name in ("spread/3.weight", "deviation/3.weight", "spread", "deviation"):
        assert math.isnan(found[name]), name
    assert math.isfinite(found["deviation/0.weight"])  # of the same shape, in the same product


# Weights and gradients


def test_norms_and_squared_frobenius_error_equal_sums_over_parameters():
    network = make_network()
    before = weights_of(make_module(seed=9))
    found = measured(network, before)
    named, first = weights_of(network.module), network.initial
    assert found["weight_norm"] == pytest.approx(math.sqrt(sum(float((w**2).sum()) for w in named.values())))
    assert found["sfe"] == pytest.approx(sum(float(((named[name] - before[name]) ** 2).sum()) for name in named))
    name = "1.0.weight"
    assert found[f"sfe/{name}"] == pytest.approx(fire.squared_frobenius_error(before[name], named[name]))
    assert found[f"weight_norm/{name}"] == pytest.approx(float(named[name].norm()))
    assert measured(network)["sfe"] == 0.0
    network.module[1][0].weight.data += 0.5
    assert measured(network)["sfe"] == pytest.approx(128 * 0.25)
    assert first[name].shape == (8, 16)
    with pytest.raises(ValueError, match=r"network 'q': the reference has no value for '0\.0\.bias'"):
        measured(network, {})


def test_gradient_norm_equals_that_of_a_backward_pass():
    network = make_network()
    found = measured(network)
    network.loss().backward()
    gradients = {name: weight.grad for name, weight in network.module.named_parameters()}
    assert found["gradient_norm"] == pytest.approx(math.sqrt(sum(float((g**2).sum()) for g in gradients.values())))
    assert found["gradient_norm/0.2.weight"] == pytest.approx(float(gradients["0.2.weight"].norm()))
    assert "gradient_norm/0.2.bias" not in found


@pytest.mark.parametrize(("optimizer", "power"), [(torch.optim.Adam, 1), (torch.optim.SGD, 2)])
def test_effective_learning_rate_is_the_rate_over_the_weights_length(optimizer, power):
    module = make_module()
    groups = [
        {"params": module[0].parameters(), "lr": torch.tensor(0.25)},
        {"params": module[1].parameters(), "lr": 0.5},
    ]
    found = measured(make_network(module, optimizer=optimizer(groups)))
    rates = {"0.0.weight": 0.25, "0.2.weight": 0.25, "1.0.weight": 0.5, "1.2.weight": 0.5}
    wanted = {name: rate / float(weights_of(module)[name].norm()) ** power for name, rate in rates.items()}
    for name, value in wanted.items():
        assert found[f"effective_learning_rate/{name}"] == pytest.approx(value)
    assert found["effective_learning_rate"] == pytest.approx(sum(wanted.values()) / 4)


def test_the_effective_learning_rate_says_how_far_a_step_turns_a_normalised_weight():
    """Twice the weight of a layer that is normalised turns half as far under Adam, a quarter as far under SGD."""
    for optimizer, factor in ((torch.optim.Adam, 2), (torch.optim.SGD, 4)):
        turns, rates = [], []
        for scale in (1.0, 2.0):
            torch.manual_seed(0)
            layers = [nn.Linear(4, 8, bias=False), nn.LayerNorm(8, eps=0.0), nn.Linear(8, 1)]
            module: Any = nn.Sequential(*layers).double()
            module[0].weight.data *= scale
            inputs, before = torch.randn(16, 4).double(), module[0].weight.detach() / scale
            step: Any = optimizer([module[0].weight], 1e-6)
            rates.append(measured(MethodNetwork("q", module, {}, step))["effective_learning_rate"])
            module(inputs).square().mean().backward()
            step.step()
            turns.append(float((module[0].weight.detach() / scale - before).norm()))
        assert turns[0] / turns[1] == pytest.approx(factor, rel=1e-3)
        assert rates[0] / rates[1] == pytest.approx(factor)


def test_parts_of_one_weight_are_matrices_of_their_own():
    found = measured(MethodNetwork("attention", nn.MultiheadAttention(8, 2), {}))
    assert found["deviation/in_proj_weight.query"] != found["deviation/in_proj_weight.value"]
    assert "weight_norm/in_proj_weight" in found


def test_what_is_frozen_is_not_measured():
    network = make_network()
    Injection().restructure(network)
    found = measured(network)
    assert "deviation/1.trained.0.weight" in found
    assert not [name for name in found if ".frozen." in name or ".old." in name]
    trained = [weight.detach() for weight in network.module.parameters() if weight.requires_grad]
    assert found["weight_norm"] == pytest.approx(math.sqrt(sum(float((weight**2).sum()) for weight in trained)))
    assert found["sfe"] == 0.0
    assert "effective_rank" in found


# Curvature


def small_module() -> Any:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()


def small_loss(function: Any) -> Tensor:
    grid = torch.arange(60, dtype=torch.float64)
    return (function(grid.view(20, 3).sin()) - 5 * grid[:40].view(20, 2).cos()).square().mean()


def test_the_top_eigenvalue_equals_that_of_the_whole_hessian():
    module = small_module()
    weights = dict(module.named_parameters())
    sizes = [weight.numel() for weight in weights.values()]

    def loss(flat: Tensor) -> Tensor:
        parts = zip(weights.items(), flat.split(sizes), strict=True)
        named = {name: part.view_as(weight) for (name, weight), part in parts}
        return small_loss(lambda inputs: torch.func.functional_call(module, named, (inputs,)))

    hessian = torch.func.jacrev(torch.func.grad(loss))(
        torch.cat([weight.detach().flatten() for weight in weights.values()])
    )
    top = float(torch.linalg.eigvalsh(hessian)[-1])
    network = MethodNetwork("q", module, {}, loss=lambda: small_loss(module))
    found = measured(network, hessian=True)["hessian"]
    assert found == pytest.approx(top, rel=1e-4)
    assert found == measured(network, hessian=True)["hessian"]


@pytest.mark.parametrize("values", [[-9.0, 1.0, 2.0], [0.0, 0.0, 0.0], [-3.0, -2.0, -1.0], [4.0] * 30])
def test_the_top_eigenvalue_is_the_largest_and_not_the_longest(values):
    point = torch.randn(len(values), dtype=torch.float64, requires_grad=True)
    loss = 0.5 * (torch.tensor(values, dtype=torch.float64) * point.square()).sum()
    gradients = torch.autograd.grad(loss, [point], create_graph=True)
    assert top_eigenvalue(gradients, [point]) == pytest.approx(max(values), abs=1e-9)


def test_a_linear_loss_bends_nowhere_and_a_diverged_one_has_no_eigenvalue():
    module = nn.Linear(3, 1)
    linear = MethodNetwork("q", module, {}, loss=lambda: module(torch.ones(4, 3)).mean())
    assert measured(linear, hessian=True)["hessian"] == 0.0
    diverged = small_module()
    diverged[0].weight.data[0, 0] = math.nan
    assert math.isnan(
        measured(MethodNetwork("q", diverged, {}, loss=lambda: small_loss(diverged)), hessian=True)["hessian"]
    )


# What measuring leaves alone, and what it cannot ask


class Noisy(nn.Module):
    """Batch statistics and dropout, both of which a pass in training moves."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(6, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.body(inputs))


@pytest.mark.parametrize("fails", [False, True])
def test_training_is_not_disturbed(fails):
    torch.manual_seed(0)
    module = Noisy()
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.randn(8, 4)).mean().backward()
    optimizer.step()
    module.head.bias.requires_grad_(False)

    def loss() -> Tensor:
        value = module(torch.randn(8, 4)).square().mean()
        if fails:
            raise RuntimeError("no examples")
        return value

    def everything() -> list[Any]:
        states = [value for state in optimizer.state.values() for value in state.values()]
        tensors = [*module.state_dict().values(), *(weight.grad for weight in module.parameters()), *states]
        flags = [weight.requires_grad for weight in module.parameters()] + [part.training for part in module.modules()]
        hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()]
        return [[tensor.clone() for tensor in tensors], torch.get_rng_state(), flags, hooks, torch.is_grad_enabled()]

    before = everything()
    network = MethodNetwork("q", module, {}, optimizer, head=("head",), loss=loss)
    with torch.no_grad():
        if fails:
            with pytest.raises(RuntimeError, match="no examples"):
                measured(network, hessian=True)
        else:
            found = measured(network, hessian=True)
            assert found["gradient_norm"] > 0
            assert found == measured(network, hessian=True)  # the same random numbers again
    after = everything()
    for old, new in zip(before[0], after[0], strict=True):
        assert torch.equal(old, new)
    assert torch.equal(before[1], after[1])
    assert before[2:] == after[2:]


def test_values_come_from_the_device_at_once(monkeypatch):
    fetched = []
    tolist = Tensor.tolist

    def refuse(self: Tensor, *arguments: Any) -> Any:
        raise AssertionError("the host waited for the device")

    def fetch(self: Tensor) -> Any:
        fetched.append(self.shape)
        return tolist(self)

    network = make_network()
    with monkeypatch.context() as patched:
        for name in ("item", "cpu", "numpy", "__float__", "__int__", "__bool__"):
            patched.setattr(Tensor, name, refuse)
        patched.setattr(Tensor, "tolist", fetch)
        found = measured(network)
    assert fetched == [(len(found),)]


def test_a_diverged_network_is_measured_and_nan_stays_nan():
    network = make_network()
    network.module[0][0].weight.data[0, 0, 0, 0] = math.nan
    found = measured(network)
    for name in ("dormant", "dead", "active", "effective_rank", "stable_rank", "feature_norm", "gradient_norm"):
        assert math.isnan(found[name]), name
    assert math.isnan(found["deviation/0.0.weight"])
    assert math.isfinite(found["deviation/1.0.weight"])
    network.module[0][0].weight.data.fill_(math.inf)
    assert not math.isfinite(measured(network)["weight_norm"])


def test_what_cannot_be_asked_of_a_network_is_absent():
    network = make_network()
    everything = measured(network)
    without_loss = measured(replace(network, loss=None))
    assert {"deviation", "spread", "weight_norm", "sfe", "effective_learning_rate"} <= without_loss.keys()
    assert not {"dormant", "active", "effective_rank", "gradient_norm"} & without_loss.keys()
    assert {name: everything[name] for name in without_loss} == without_loss
    assert "effective_rank" not in measured(replace(network, head=()))
    assert "effective_learning_rate" not in measured(replace(network, optimizer=None))
    assert "sfe" not in measured(replace(network, initial={}))
    module = nn.Linear(3, 1)
    plain = measured(MethodNetwork("q", module, {}, loss=lambda: module(torch.ones(2, 3)).mean()))
    assert not hidden_layers(module)
    assert "gradient_norm" in plain
    assert "dormant" not in plain
    frozen = make_network().module.requires_grad_(False)
    assert "gradient_norm" not in measured(make_network(frozen, optimizer=None))
    with pytest.raises(ValueError, match="network 'q' has no loss"):
        measured(replace(network, loss=None), hessian=True)


def test_every_measure_that_a_trigger_may_name_is_there():
    assert fire.MEASURES.keys() == {name for name in measured(make_network(), hessian=True) if "/" not in name}

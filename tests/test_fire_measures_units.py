"""Measures of units and of features, compared with public code, numpy and explicit loops.

`measures_reference.json` holds figures of public code on small inputs, which it also holds:
dormant: google/dopamine 5873f54, labs/redo/weight_recyclers.py, BaseRecycler.log_dead_neurons_count at thresholds 0 and
0.1 and estimate_neuron_score, on the activations (examples, [height, width,] units) of three layers;
active: Guozheng-Ma/Adaptive-Replay-Ratio dae0d09, drqv2_adapt_rr.py, Critic(6, (2,), 4, 8).forward_with_FAU;
rank: shibhansh/loss-of-plasticity 63c35f3, lop/incremental_cifar/post_run_analysis.py, compute_stable_rank, which is
Kumar et al.'s effective rank under another name, on numpy's singular values of the features.
`python -m tests.fixtures.make_measures` records the figures again from clones of these.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fire_rl.agents.sac.networks import Critic
from fire_rl.fire import MethodNetwork
from fire_rl.fire.activity import dormancy_scores, feature_measures, unit_measures
from tests.fixtures.measured import make_module, make_network, measured

REFERENCE = json.loads((Path(__file__).parent / "fixtures" / "measures_reference.json").read_text())


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
        for kind, tau in (("dead", "0.0"), ("dormant", "0.1")):
            share = reference[tau][f"dead_feature_percentage/{name}"] / 100
            assert float(found[f"{kind}/{name}"]) == pytest.approx(share)
    assert float(found["dead"]) == pytest.approx(reference["0.0"]["dead_feature_percentage"] / 100)
    assert float(found["dormant"]) == pytest.approx(reference["0.1"]["dead_feature_percentage"] / 100)
    assert 0 < found["dead"] < found["dormant"] < 1


class PublishedCritic(nn.Module):
    """The critic of Ma et al.: a trunk, and two sequences of two hidden layers on features and actions."""

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
            layer.bias += 1.0  # so that every unit is active
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


def test_units_of_each_member_are_compared_with_their_own_layer():
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


def test_features_in_one_direction_have_rank_one_and_zero_features_rank_zero():
    line = torch.outer(torch.rand(9) + 1, torch.rand(5) + 1)
    assert float(feature_measures(line)["effective_rank"]) == 1.0
    assert float(feature_measures(line)["stable_rank"]) == pytest.approx(1.0)
    assert [float(value) for value in feature_measures(torch.zeros(9, 5)).values()] == [0.0, 0.0, 0.0]


def test_features_of_members_are_measured_separately_and_of_images_flattened():
    stack = torch.randn(3, 20, 6, generator=torch.Generator().manual_seed(4))
    stack[1, :, 2:] = 0
    parts = [feature_measures(member) for member in stack]
    for name, value in feature_measures(stack).items():
        assert float(value) == pytest.approx(sum(float(part[name]) for part in parts) / 3)
    images = torch.randn(20, 2, 3, 4)
    assert feature_measures(images) == feature_measures(images.flatten(1))


def test_features_are_the_inputs_of_the_last_layer_in_the_pass_that_is_differentiated():
    module = make_module()
    images, others = torch.randn(32, 2, 5, 5), 9 * torch.randn(32, 2, 5, 5)

    def loss() -> Tensor:
        with torch.no_grad():
            module(others)
        values = module(images)
        with torch.no_grad():  # a target computed by the network itself
            wanted = module(others).amax(1, keepdim=True)
        return (values - wanted).square().mean()

    found = measured(make_network(module, loss=loss))
    for name, value in feature_measures(module[1][:-1](module[0](images))).items():
        assert found[name] == pytest.approx(float(value))


class Doubling(nn.Linear):
    """Overwrites its inputs."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs.mul_(2))


def test_features_are_measured_before_the_last_layer_overwrites_them():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 6), Doubling(6, 1))
    inputs = torch.randn(20, 3)
    found = measured(MethodNetwork("q", module, {}, head=("1",), loss=lambda: module(inputs).square().mean()))
    assert found["feature_norm"] == pytest.approx(float(module[0](inputs).detach().norm(dim=1).mean()))

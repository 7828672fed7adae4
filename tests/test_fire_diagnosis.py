"""What a diagnosis says of networks whose state is known, and that looking changes nothing."""

import copy
import json
import math
from typing import Any

import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn.utils import prune

from benchmarks.diagnosis import dormant, fired, offset, ruined
from fire_rl.fire import Network, Probe, Score, diagnose
from fire_rl.fire.diagnosis import _judge, _sentence, headed
from fire_rl.fire.matrices import last_layers
from fire_rl.fire.probe import (
    Data,
    Task,
    curve,
    initialised_again,
    learned_share,
    outputs_of,
    plain_optimizer,
    plain_run,
    standardised,
)
from fire_rl.fire.scores import Reading, student

QUICK = Probe(updates=60, rates=(3e-3,), seeds=4, points=6)


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def batches():
    return list(torch.randn(16, 32, 6, generator=torch.Generator().manual_seed(1)))


@pytest.fixture(scope="module")
def worn(batches):
    return ruined(network(50), Data.of(batches), plain_run, seed=0, rounds=10, updates=60, rate=3e-2)


def test_a_fresh_network_is_said_to_have_lost_nothing(batches):
    found = diagnose(network(50), batches, probe=QUICK)
    assert found.lost == "nothing"
    for reading in found.readings.values():
        assert reading.best.low < 1 < reading.best.high
        assert 0.8 < reading.best.value < 1.2
    assert "nothing is lost" in found.sentence


def test_random_labels_ruin_a_network_and_fire_mends_it(batches, worn):
    found = diagnose(worn, batches, probe=QUICK)
    assert (found.lost, found.where) == ("fitting", "hidden layers")
    assert found.readings["fit"].best.value < 0.6
    mended = diagnose(fired(worn), batches, probe=QUICK)
    assert mended.readings["fit"].best.value > found.readings["fit"].best.value + 0.3


def test_dormant_units_are_found_below_the_last_layer(batches):
    found = diagnose(dormant(network(50)), batches, probe=QUICK)
    assert (found.lost, found.where) == ("fitting", "hidden layers")


def test_an_offset_of_the_outputs_is_told_from_what_features_can_learn(batches):
    found = diagnose(offset(network(50)), batches, probe=QUICK)
    assert (found.lost, found.where) == ("unlearning", "last layer")
    assert found.readings["fit"].best.value == pytest.approx(
        diagnose(network(50), batches, probe=QUICK).readings["fit"].best.value, abs=1e-3
    )


def test_a_low_score_with_a_wide_interval_is_not_settled():
    def reading(value: float, low: float, high: float, own: Score | None = None) -> Reading:
        return Reading("", Score(value, low, high, 1e-3, 1e-3), own, (), (), {}, {})

    good, wide, lost = reading(1.0, 0.9, 1.1), reading(0.59, -0.22, 1.4), reading(0.5, 0.4, 0.6)
    assert _judge({"fit": good, "replace": good}) == ("nothing", "")
    assert _judge({"fit": good, "replace": wide}) == _judge({"fit": wide, "replace": good}) == ("not settled", "")
    assert _judge({"fit": wide, "replace": lost}) == ("unlearning", "")
    for mixed, where in ((good, "last layer"), (wide, "not settled"), (lost, "hidden layers")):
        assert _judge({"fit": lost, "replace": wide, headed("fit"): mixed}) == ("fitting", where)
    said = _sentence("q", "not settled", "", {"fit": good, "replace": wide}, None)
    assert "0.59 (-0.22 to 1.40)" in said
    assert "nothing is lost" not in said
    own = Score(0.7, 0.3, 1.1, 1e-4, 1e-4)
    both = {"fit": reading(1.0, 0.9, 1.1, own), "replace": reading(1.0, 0.9, 1.1, own)}
    assert "not settled: fit 0.70 (0.30 to 1.10), replace" in _sentence("q", "nothing", "", both, 1e-4)
    assert "fresh networks learn too little to compare" in _sentence(
        "q", "nothing", "", {"fit": good, "replace": good}, 1
    )


def test_looking_changes_neither_network_nor_random_streams(batches):
    given = network(50).eval()
    before, stream = copy.deepcopy(given.state_dict()), torch.get_rng_state()
    probe = Probe(updates=5, rates=(1e-2,), seeds=3, points=2)
    first, second = (diagnose(given, batches, probe=probe, seed=3).to_json() for _ in range(2))
    assert first == second
    assert not given.training
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(value, before[name]) for name, value in given.state_dict().items())
    assert all(parameter.grad is None for parameter in given.parameters())
    json.dumps(first, allow_nan=False)


def test_the_run_own_learning_rate_is_probed_too(batches):
    found = diagnose(network(50), batches, probe=QUICK, rate=1e-3)
    reading = found.readings["fit"]
    assert set(reading.shares) == {1e-3, 3e-3}
    assert reading.own is not None
    assert reading.own.rate == 1e-3


@pytest.mark.parametrize("count", range(3, 12))
def test_intervals_are_those_of_one_more_draw_by_students_t(count):
    shares = torch.rand(count, generator=torch.Generator().manual_seed(count)).add(0.5).tolist()
    fresh = torch.rand(count, generator=torch.Generator().manual_seed(99)).add(0.5).tolist()
    score = Score.of(shares, fresh, 1e-3, 1e-3)
    ratios = [a / b for a, b in zip(shares, fresh, strict=True)]
    half = stats.t.ppf(0.975, count - 1) * stats.tstd(ratios) * math.sqrt(1 + 1 / count)
    assert score.value == pytest.approx(sum(ratios) / count)
    assert (score.low, score.high) == pytest.approx((score.value - half, score.value + half), abs=1e-3)


@pytest.mark.parametrize("freedom", [*range(1, 40), 100, 999])
def test_quantiles_of_students_t(freedom):
    assert student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=1e-3)


def test_a_curve_is_that_of_an_ordinary_loop(batches):
    data, probe = Data.of(batches), Probe(updates=4, points=2)
    new = standardised(outputs_of(network(7), plain_run, data))
    found = curve(network(1), plain_run, data, new, 1.0, probe, plain_optimizer, 1e-2, seed=5)
    learner = network(1)
    optimizer = torch.optim.Adam(learner.parameters(), 1e-2, fused=True)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(5)).tolist()
    held, goals = torch.cat(batches[12:]), torch.cat(new.held_out)
    expected = []
    for update in range(5):
        if update in (0, 2, 4):
            expected.append(float((learner(held) - goals).detach().square().mean()))
        place = order[-1 - update]
        optimizer.zero_grad()
        (learner(batches[place]) - new.targets[place]).square().mean().backward()
        optimizer.step()
    assert found == pytest.approx(expected, rel=1e-4)
    assert learned_share([2.0, 0.5, 1.5]) == pytest.approx(0.25)
    assert learned_share([1.0, math.inf, 0.2]) == pytest.approx(0.4)


def test_targets_are_standardised_and_constant_outputs_are_left_out():
    values = torch.randn(30, 2) * 7 + 3
    task = standardised(Task((torch.cat([values, torch.ones(30, 1)], 1),), (torch.zeros(2, 3),)))
    assert task.targets[0].mean(0) == pytest.approx(torch.zeros(3).numpy(), abs=1e-5)
    assert task.targets[0].std(0) == pytest.approx(torch.tensor([1.0, 1.0, 0.0]).numpy(), abs=1e-5)
    assert torch.equal(task.held_out[0][:, 2], torch.zeros(2))


class Recurrent(nn.Module):
    """A network with a norm, dropout and an output that is no tensor."""

    def __init__(self):
        super().__init__()
        self.lstm, self.norm = nn.LSTM(6, 8, batch_first=True), nn.BatchNorm1d(8)
        self.drop, self.out = nn.Dropout(0.1), nn.Linear(8, 2)

    def forward(self, inputs):
        return {"value": self.out(self.drop(self.norm(self.lstm(inputs)[0][:, -1])))}


def test_any_module_can_be_examined_through_a_function_that_runs_it():
    sequences = list(torch.randn(8, 32, 5, 6, generator=torch.Generator().manual_seed(0)))
    torch.manual_seed(0)
    module = Recurrent()
    statistics = {name: value.clone() for name, value in module.norm.state_dict().items()}
    probe = Probe(updates=30, rates=(1e-2,), seeds=3, points=3)
    found = diagnose(module, sequences, run=lambda each, batch: each(batch)["value"], probe=probe)
    assert found.lost == "nothing"
    assert all(torch.equal(value, statistics[name]) for name, value in module.norm.state_dict().items())
    assert tuple(last_layers(module)) == ("out",)
    with pytest.raises(ValueError, match="give run="):
        diagnose(module, sequences, probe=probe)


def test_mistakes_are_said_in_one_line(batches):
    with pytest.raises(ValueError, match="3 batches given; allowed are 4"):
        diagnose(network(), batches[:3], probe=QUICK)
    with pytest.raises(ValueError, match="seeds=2 given; allowed are 3 to 11"):
        Probe(seeds=2)
    with pytest.raises(ValueError, match="learning rates above 0"):
        Probe(rates=(0.0,))
    with pytest.raises(ValueError, match="points <= updates"):
        Probe(updates=5)
    with pytest.raises(ValueError, match="nearly the same outputs"):
        diagnose(network(), [torch.zeros(8, 6)] * 8, probe=QUICK)
    with pytest.raises(ValueError, match="fresh networks learn only 0%"):
        diagnose(network(), batches, probe=Probe(updates=10, rates=(1e-9,), seeds=3))
    broken = network()
    broken[0].weight.data[0, 0] = math.nan
    given = Network("q", broken, broken.state_dict())
    with pytest.raises(ValueError, match=r"'q' holds nan in 0\.weight: it has diverged"):
        diagnose(given, batches, probe=QUICK)

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(2))

    with pytest.raises(ValueError, match="Own '' cannot be initialised again: give fresh="):
        initialised_again(Own(), 0)


def test_a_fresh_network_has_the_values_of_a_new_one():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, add_bias_kv=True)
    for parameter in attention.parameters():
        nn.init.normal_(parameter)
    fresh = initialised_again(attention, 0)
    assert not fresh.get_parameter("out_proj.bias").any()
    assert not fresh.get_parameter("in_proj_bias").any()
    transformer = nn.Transformer(32, 2, 1, 1, 32)
    name = "encoder.layers.0.linear1.weight"
    spread = initialised_again(transformer, 0).get_parameter(name).std()
    assert float(spread) == pytest.approx(float(transformer.get_parameter(name).std()), rel=0.1)


def test_a_module_is_initialised_again_with_the_draws_of_its_constructor():
    def make() -> nn.Module:
        return nn.Sequential(
            nn.Embedding(5, 3), nn.Sequential(nn.Linear(3, 4), nn.MultiheadAttention(4, 2)), nn.Conv1d(4, 2, 1)
        )

    torch.manual_seed(3)
    wanted = make().state_dict()
    fresh = initialised_again(make(), 3).state_dict()
    assert all(torch.equal(fresh[name], value) for name, value in wanted.items())


class WithTable(nn.Linear):
    """A layer with a constant table, which its reset_parameters does not write to."""

    def __init__(self) -> None:
        super().__init__(3, 2)
        self.table = nn.Parameter(torch.ones(2, 2), requires_grad=False)


class Scaled(nn.Sequential):
    """A sequence whose reset_parameters needs an argument."""

    def reset_parameters(self, std: float) -> None:
        nn.init.normal_(self.get_parameter("0.weight"), std=std)


def test_a_constant_table_is_kept_in_a_fresh_network():
    fresh = initialised_again(WithTable(), 0)
    assert torch.equal(fresh.get_parameter("table"), torch.ones(2, 2))


def test_a_reset_parameters_that_needs_arguments_is_refused():
    with pytest.raises(ValueError, match=r"Scaled '' .*, as its reset_parameters needs arguments: give fresh="):
        initialised_again(Scaled(nn.Linear(3, 2)), 0)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
@pytest.mark.parametrize("change", [nn.utils.weight_norm, lambda one: prune.random_unstructured(one, "weight", 0.5)])
def test_a_weight_that_is_computed_at_each_pass_cannot_be_initialised_again(change):
    with torch.no_grad():
        module: Any = nn.Sequential(change(nn.Linear(3, 3)), nn.ReLU(), nn.Linear(3, 2))
    module[0].weight = module[0].weight.detach()
    with pytest.raises(ValueError, match=r"'0\.weight_(g|orig)' cannot be initialised again, .*: give fresh="):
        initialised_again(module, 0)

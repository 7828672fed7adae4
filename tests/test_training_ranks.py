"""The rank of features uses four times as many examples where that costs little; otherwise a run says so."""

from pathlib import Path

import pytest
import torch

from fire_rl.commands.train import train_dqn as train
from fire_rl.fire.activity import feature_measures
from fire_rl.fire.measures import feature_width, measure
from fire_rl.training.agent_run import AgentRun
from fire_rl.training.checkpoint import read_checkpoint
from fire_rl.training.learners import LEARNERS
from fire_rl.training.lines import read_lines
from fire_rl.training.ranks import affordable, notes_on_ranks
from tests.fixtures.small_q_network import FRAMES, make_network

CPU = torch.device("cpu")
TINY = [
    *("--env", "CartPole-v1", "--learning-starts", "40", "--batch-size", "64", "--eval-every", "400"),
    *("--eval-episodes", "1", "--replay-capacity", "500", "--threads", "1", "--device", "cpu"),
]


def test_features_are_those_of_the_given_examples():
    network = make_network()
    assert feature_width(network) == 8
    more = torch.cat([FRAMES, 2 * FRAMES, FRAMES.flip(0)])
    found = measure(network, loss=lambda: network.module(FRAMES).square().mean(), run=lambda: network.module(more))
    encoder, head = network.module.get_submodule("encoder"), network.module.get_submodule("head")
    with torch.no_grad():
        features = head.get_submodule("1")(head.get_submodule("0")(encoder(more)))
    assert found["feature_examples"] == 48
    for name, value in feature_measures(features).items():
        assert found[name] == pytest.approx(float(value), rel=1e-6)
    few = measure(network, loss=lambda: network.module(FRAMES).square().mean())
    assert "feature_examples" not in few
    assert {name: value for name, value in few.items() if name.startswith("dormant")} == {
        name: value for name, value in found.items() if name.startswith("dormant")
    }, "units are observed on the loss's examples as before"


@pytest.mark.parametrize(
    ("agent", "preset", "widths", "taken"),
    [
        ("sac", "paper", {"actor": 128, "critic": 512}, {"actor", "critic"}),
        ("sac", "quick", {"actor": 64, "critic": 128}, {"actor", "critic"}),
        ("dqn", "paper", {"q": 512}, set()),
        ("dqn", "quick", {"q": 128}, {"q"}),
    ],
)
def test_published_sizes_use_enough_examples_or_a_note_says_that_they_do_not(agent, preset, widths, taken):
    config = LEARNERS[agent].presets[preset].config
    assert isinstance(config, AgentRun)
    batch_size, every = config.agent.batch_size, config.run.measure_every
    wanted = {name: 4 * width for name, width in widths.items()}
    found = affordable(wanted, batch_size, every, CPU)
    assert set(found) == taken
    assert affordable(wanted, batch_size, every, torch.device("cuda")) == wanted
    notes = notes_on_ranks(wanted, found, 256, batch_size)
    assert len(notes) == len(wanted) - len(taken)
    for note in notes:
        assert "q/effective_rank is measured on 256 examples, and so is at most 256, for 512 features" in note
        assert note.endswith("with --measure-every 3,840 it is measured on 2,048")
        assert affordable(wanted, batch_size, 3_840, CPU) == wanted
        assert affordable(wanted, batch_size, 3_839, CPU) == {}


@pytest.mark.usefixtures("unrendered")
def test_a_run_records_the_number_of_examples_and_is_the_same_without_measures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    flags = [*TINY, "--steps", "400", "--hidden-width", "16"]
    train([*flags, "--measure-every", "100", "--run-dir", str(tmp_path / "some")])
    said = capsys.readouterr()
    assert "ranks of features need 64 transitions: they are too low while the replay holds" not in said.out + said.err
    lines = [line for line in read_lines(tmp_path / "some" / "metrics.jsonl") if line["kind"] == "measures"]
    assert lines
    for line in lines:
        assert line["q/feature_examples"] == 64
        assert 1 <= line["q/effective_rank"] <= 16
    train([*flags, "--measure-every", "0", "--run-dir", str(tmp_path / "none")])
    some, none = (read_checkpoint(tmp_path / name, 400) for name in ("some", "none"))
    assert some.learner.keys() == none.learner.keys()
    for name, value in some.learner.items():
        assert torch.equal(value, none.learner[name]), name
    assert torch.equal(some.tensors["generator.replay"], none.tensors["generator.replay"])

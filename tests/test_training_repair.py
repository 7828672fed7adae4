"""Runs whose events are repaired: resumed bit by bit, refused in one line, recorded, reported, tried by a diagnosis."""

import shutil
from typing import Any

import pytest
import torch

from benchmarks.differences import differences
from fire_rl.commands.train import train
from fire_rl.experiments.analysis.records import read_run
from fire_rl.experiments.diagnosis.loaded_run import load_run
from fire_rl.experiments.diagnosis.remedies import RemedyTests, methods_of
from fire_rl.training.lines import read_lines
from fire_rl.training.probes import networks_of
from fire_rl.training.work import Work
from tests.test_experiments_diagnosis import WORDS

METHODS = {"sac": "fire:repair=head,scale=true", "dqn": "fire:scope=all,repair=distil,updates=4"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each agent with two events, of which one is after its last checkpoint but one."""
    threads, made = torch.get_num_threads(), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fire_rl.training.curve.draw_curve", lambda *_: None)
        for kind in METHODS:
            made[kind] = tmp_path_factory.mktemp(kind) / "whole"
            train(kind, [*words(kind), "--run-dir", str(made[kind])])
    yield made
    torch.set_num_threads(threads)


def words(kind: str) -> list[str]:
    middle = {"sac": ("80", "130"), "dqn": ("120", "250")}[kind]
    fixed = ["--exploration-steps", "100"] if kind == "dqn" else []  # otherwise a share of the run's length
    return [*WORDS[kind], *fixed, "--reinit", METHODS[kind], "--reinit-at", *middle]


@pytest.mark.parametrize("kind", METHODS)
def test_a_resumed_run_repairs_bit_by_bit_the_same(kind, runs, tmp_path, monkeypatch):
    monkeypatch.setattr("fire_rl.training.curve.draw_curve", lambda *_: None)
    shorter, (end,) = words(kind), {"sac": ("100",), "dqn": ("200",)}[kind]
    shorter[shorter.index("--steps") + 1] = end
    train(kind, [*shorter, "--run-dir", str(tmp_path / "run")])
    train(kind, ["--resume", str(tmp_path / "run"), "--steps", WORDS[kind][WORDS[kind].index("--steps") + 1]])
    assert differences(runs[kind], tmp_path / "run") == []


@pytest.mark.parametrize("kind", METHODS)
def test_each_event_says_what_its_repair_did_and_the_report_reads_it(kind, runs):
    events = [line for line in read_lines(runs[kind] / "metrics.jsonl") if line["kind"] == "event"]
    assert len(events) == 2
    changes = [network for event in read_run(runs[kind]).events for network in event.networks]
    figures = [network["figures"] for event in events for network in event["networks"]]
    assert len(figures) == len(changes) == 2 * (2 if kind == "sac" else 1)
    for found, change in zip(figures, changes, strict=True):
        assert {"output error before repair", "output error after repair", "deviation after repair"} <= found.keys()
        assert change.error_unrepaired == found["output error before repair"] > 0
        assert change.error_repaired == found["output error after repair"] >= 0


def test_a_diagnosis_tries_it_on_a_copy(runs, tmp_path):
    loaded = load_run(shutil.copytree(runs["dqn"], tmp_path / "run"), None, trusted=False)
    before = {name: value.clone() for name, value in loaded.learner.state_dict().items()}
    texts = ["fire:scope=all", "fire:scope=all,repair=head"]
    methods = methods_of(loaded, texts)
    seen: dict[str, Any] = {}

    class Watching(RemedyTests):
        def _measured(self, name, learner, event, known=None):
            seen[name] = networks_of(learner)["q"].module, event
            return seen[name]

    tests = Watching(loaded, (), {}, {}, 0, 0)
    for name in texts:
        tests.tried(name, methods[name])
    observations = loaded.work.inputs()["q"](torch.Generator().manual_seed(3))
    with torch.no_grad():
        old = networks_of(loaded.learner)["q"].module(*observations)
        changed = {name: float((module(*observations) - old).square().mean()) for name, (module, _) in seen.items()}
    assert changed[texts[1]] < changed[texts[0]]
    assert all(torch.equal(value, before[name]) for name, value in loaded.learner.state_dict().items())


def test_a_work_without_inputs_is_refused_when_the_run_starts(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("fire_rl.training.reinforcement.Reinforcement.inputs", Work.inputs)
    with pytest.raises(ValueError, match=r"^fire:.*repair=head needs inputs of network 'q'"):
        train("dqn", [*WORDS["dqn"], "--reinit", "fire:repair=head", "--run-dir", str(tmp_path / "run")])
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_stable_baselines3_refuses_it_at_once():
    module = pytest.importorskip("fire_rl.fire.integrations.stable_baselines3")
    with pytest.raises(ValueError, match=r"^fire:.*repair=head given; Stable-Baselines3 has no repair"):
        module.PlasticityCallback("fire:repair=head", every=10)

"""--reinit-when trainability<X in whole runs: exact when resumed and branched, and without effect on the run itself."""

import contextlib
import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.differences import differences, without_clocks
from fire_rl.commands.train import train_dqn, train_language, train_sac, train_vision
from fire_rl.fire import Probe
from fire_rl.training.checkpoint import read_checkpoint, steps_of
from fire_rl.training.command_line import read_command_line
from fire_rl.training.learners import LEARNERS, build
from fire_rl.training.lines import read_lines
from fire_rl.training.probes import cost_in_words
from fire_rl.training.work import Rates

DQN = [
    *("--env", "CartPole-v1", "--num-envs", "2", "--learning-starts", "40", "--hidden-width", "16"),
    *("--batch-size", "8", "--target-every", "50", "--eval-every", "300", "--eval-episodes", "2", "--log-every", "100"),
    *("--checkpoint-every", "130", "--exploration-steps", "60", "--threads", "1", "--device", "cpu"),
    *("--learning-rate", "1e-2"),
]
SAC = [
    *("--env", "Pendulum-v1", "--learning-starts", "40", "--critic-width", "8", "--actor-width", "8"),
    *("--batch-size", "16", "--eval-every", "300", "--eval-episodes", "2", "--threads", "1", "--device", "cpu"),
    *("--replay-ratio", "1"),
]
pytestmark = pytest.mark.usefixtures("unrendered", "short")
MEASURED = ("--measure-every", "50", "--trainability-every", "100")
TRIGGER = ("--reinit", "redo:tau=0.3", "--reinit-when", "q.trainability<3", "--reinit-cooldown", "150")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe(updates=10, rates=(1e-2,), seeds=3, points=2)
    monkeypatch.setattr("fire_rl.fire.trainability.SHORT", probe)
    monkeypatch.setattr("fire_rl.training.probes.SHORT", probe)


def quietly(kind: str, *arguments: str) -> str:
    """Train a small run and return what it printed."""
    given, output = {*arguments}, io.StringIO()
    tiny = [] if given & {"--resume", "--branch-from"} else DQN if kind == "dqn" else SAC
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        assert (train_dqn if kind == "dqn" else train_sac)([*tiny, *arguments]) == 0, output.getvalue()
    return output.getvalue()


def lines_of(run: Path, kind: str) -> list[dict[str, Any]]:
    return [line for line in read_lines(run / "metrics.jsonl") if line["kind"] == kind]


def without_trainability(run: Path) -> list[dict[str, Any]]:
    """The lines of measures without the clocks, and without what is measured besides."""
    return [
        {name: value for name, value in line.items() if "trainability" not in name}
        for line in read_lines(run / "metrics.jsonl")
        if line["kind"] in ("measures", "event", "evaluation", "episode")
    ]


def test_a_resumed_run_and_a_branch_are_exact_and_the_cost_is_said(tmp_path: Path):
    whole, parts, trunk, branch = (tmp_path / name for name in ("whole", "parts", "trunk", "branch"))
    output = quietly("dqn", *MEASURED, *TRIGGER, "--steps", "400", "--run-dir", str(whole))
    said = re.search(
        r"trainability: every 100 updates, 120 updates on copies of q, in batches of at most 64; about .* s", output
    )
    assert said, output
    assert "which adds about" in output
    quietly("dqn", *MEASURED, *TRIGGER, "--steps", "270", "--run-dir", str(parts))
    quietly("dqn", "--resume", str(parts), "--steps", "400")
    assert differences(whole, parts) == []
    events = [line["updates"] for line in lines_of(whole, "event")]
    assert events == [200], "the cool-down ends after update 150, and the next measurement is at update 200"
    measured = {line["updates"]: "q/trainability" in line for line in lines_of(whole, "measures")}
    assert [updates for updates, there in measured.items() if there] == [100, 200, 300]
    quietly("dqn", *MEASURED, "--steps", "400", "--checkpoint-at", "130", "--run-dir", str(trunk))
    quietly("dqn", "--branch-from", f"{trunk}@130", "--run-dir", str(branch))
    later = [without_clocks(line) for line in lines_of(trunk, "measures") if line["environment_steps"] > 130]
    assert [without_clocks(line) for line in lines_of(branch, "measures")][-len(later) :] == later
    assert sum("q/trainability" in line for line in later) == 3
    one, other = (read_checkpoint(run, steps_of(run)[-1]).learner for run in (trunk, branch))
    assert all(one[name].equal(other[name]) for name in one)


def test_a_share_of_the_time_is_given_only_where_the_speed_of_updates_is_known(monkeypatch: pytest.MonkeyPatch):
    config = read_command_line([*DQN, *MEASURED], LEARNERS["dqn"]).config
    work = build(config)
    monkeypatch.setattr(type(work), "rates", lambda work: Rates(100.0, 1.0))
    assert "to the time of the updates" in (cost_in_words(config.run, work) or "")
    pretended: Any = SimpleNamespace(probes=work.probes, rates=work.rates, steps=0, device=torch.device("cuda"))
    assert (cost_in_words(config.run, pretended) or "").endswith(" s each time")


@pytest.mark.parametrize("method", ["none", "cbp:replacement_rate=0.05,maturity=5"])
def test_measuring_does_not_change_the_run(method: str, tmp_path: Path):
    with_it, without = tmp_path / "with", tmp_path / "without"
    common = ("--reinit", method, "--measure-every", "50", "--steps", "260")
    quietly("dqn", *common, "--trainability-every", "50", "--run-dir", str(with_it))
    quietly("dqn", *common, "--run-dir", str(without))
    assert without_trainability(with_it) == without_trainability(without)
    one, other = (read_checkpoint(run, steps_of(run)[-1]) for run in (with_it, without))
    for left, right in ((one.learner, other.learner), (one.tensors, other.tensors)):
        assert left.keys() == right.keys()
        assert all(left[name].equal(right[name]) for name in left)
    assert all("q/trainability" in line for line in lines_of(with_it, "measures"))


def test_both_networks_of_sac_are_measured(tmp_path: Path):
    quietly("sac", *MEASURED, "--steps", "360", "--run-dir", str(tmp_path / "run"))
    lines = [line for line in lines_of(tmp_path / "run", "measures") if "actor/trainability" in line]
    assert [line["updates"] for line in lines] == [100]
    assert {"actor/trainability", "critic/trainability"} <= lines[0].keys()


WARM_START = [
    *("--preset", "quick", "--data", "digits", "--device", "cpu", "--threads", "1", "--first-epochs", "10"),
    *("--epochs", "2", "--measure-every", "5", "--trainability-every", "10"),
]


def test_a_phase_with_few_images_is_measured_in_smaller_batches(tmp_path: Path):
    assert train_vision([*WARM_START, "--images", "600", "--run-dir", str(tmp_path / "run")]) == 0
    lines = [line for line in lines_of(tmp_path / "run", "measures") if "classifier/trainability" in line]
    assert lines[0]["updates"] == 10
    assert lines[0]["classifier/trainability"] is not None
    with pytest.raises(ValueError, match="on 8 or more images; there are only 6 here"):
        train_vision([*WARM_START, "--images", "60", "--run-dir", str(tmp_path / "few")])
    assert not (tmp_path / "few").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trainability-every", "50"], "--trainability-every 50 given; allowed is --measure-every 1000 or above"),
        (["--trainability-every", "5000", "--measure-every", "0"], "--trainability-every needs measures"),
        (["--reinit", "fire", "--reinit-when", "trainabilty<1"], "nearest is trainability"),
        (["--reinit", "fire", "--reinit-when", "trainability/head.1<1"], "for whole networks, not for 'head.1'"),
    ],
)
def test_a_mistake_is_one_line_and_creates_nothing(words: list[str], said: str, tmp_path: Path):
    with pytest.raises(ValueError, match=said):
        train_dqn(["--env", "CartPole-v1", "--device", "cpu", *words, "--run-dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_a_run_whose_network_cannot_be_probed_is_refused(tmp_path: Path):
    words = ["--preset", "quick", "--device", "cpu", "--reinit", "fire", "--reinit-when", "trainability<0.7"]
    with pytest.raises(ValueError, match="trainability is measured only for SAC, DQN and image classifiers"):
        train_language([*words, "--run-dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()

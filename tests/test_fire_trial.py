"""A user's own method is tried before a run begins: a mistake is refused in one line, and the run is left unchanged."""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fire_rl.commands.train import train_dqn as train
from fire_rl.fire import Method, MethodNetwork, Network, Never, NoMethod, PlasticityManager, Position, parse_method
from fire_rl.fire.in_place import values_of
from fire_rl.fire.streams import moved, noting
from fire_rl.fire.undisturbed import global_streams, restore_streams
from tests.fixtures.right_methods import (
    DeviceNoise,
    Downhill,
    FixedStart,
    Flat,
    Foreign,
    ForgetsToReturn,
    Forks,
    Hooked,
    Idle,
    LeavesAlone,
    Noise,
    Regenerative,
    Rewrites,
)
from tests.fixtures.small_q_network import FRAMES, make_network, trained_network
from tests.fixtures.wrong_methods import WRONG


@pytest.mark.parametrize("wrong", WRONG, ids=lambda kind: kind.__name__)
def test_a_mistake_is_refused_at_once_in_one_line(wrong: type[Method]):
    network = trained_network()
    before = values_of(MethodNetwork.of(network))
    acts_every_step = not wrong.acts_at_events
    with pytest.raises(ValueError) as caught:
        PlasticityManager(
            [network], NoMethod() if acts_every_step else wrong(), Never(), [wrong()] if acts_every_step else []
        )
    assert WRONG[wrong] in str(caught.value)
    assert f":{wrong.__name__}" in str(caught.value)
    assert "\n" not in str(caught.value)
    for name, value in values_of(MethodNetwork.of(network)).items():
        assert torch.equal(value, before[name]), "the trial is on a copy"


TINY = [
    *("--env", "CartPole-v1", "--steps", "60", "--learning-starts", "20", "--batch-size", "8", "--eval-every", "60"),
    *("--eval-episodes", "1", "--replay-capacity", "100", "--threads", "1", "--device", "cpu", "--measure-every", "0"),
]


@pytest.mark.parametrize("wrong", [kind for kind in WRONG if kind.acts_at_events], ids=lambda kind: kind.__name__)
def test_a_run_with_a_mistake_does_not_begin(wrong: type[Method], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "run"
    method = f"{wrong.__module__}:{wrong.__name__}"
    with pytest.raises(ValueError, match=wrong.__name__) as caught:  # ends in exit code 2 on the command line
        train([*TINY, "--reinit", method, "--run-dir", str(folder)])
    assert WRONG[wrong] in str(caught.value)
    assert not folder.exists() or not any(path.name != "lock" for path in folder.iterdir())


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (ForgetsToReturn(), "penalty() returns None for every network, which adds nothing"),
        (Foreign(), "depends on none of the network's own parameters"),
        (Flat(), "has a gradient of zero on the initial networks, which may be right"),
        (Regenerative(), ""),
    ],
)
def test_a_penalty_without_effect_is_noted(method: Method, said: str):
    notes = PlasticityManager([make_network()], NoMethod(), Never(), [method], rehearsal=rehearsal).notes
    assert [said in note for note in notes] == ([True] if said else [])


def test_the_message_for_a_class_that_is_not_frozen_says_how_to_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "not_frozen.py").write_text(
        "import dataclasses\nimport fire_rl\n\n\n@dataclasses.dataclass\nclass Mine(fire_rl.Method):\n    a: int = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ValueError, match=r"frozen one .*: write @dataclass\(frozen=True, kw_only=True\) above the class"
    ):
        parse_method("not_frozen:Mine")


def test_numpys_numbers_can_be_stored():
    event = PlasticityManager([make_network()], Forks(), Never()).act(Position(0, 0))
    assert json.loads(json.dumps(event.to_json()))["networks"][0]["figures"]["count"] == 1


def rehearsal() -> tuple[list[Network], dict[str, Any]]:
    network = make_network()

    def loss() -> Tensor:
        noise = torch.rand(FRAMES.shape) + torch.rand(FRAMES.shape, generator=torch.Generator().manual_seed(0))
        return network.module(FRAMES * noise).square().mean()

    return [network], {"q": loss}


@pytest.mark.parametrize("method", [Noise(), DeviceNoise(), Downhill(), Rewrites(), Forks(), Hooked(), LeavesAlone()])
def test_a_right_method_is_accepted_and_no_generator_or_weight_changes(
    method: Method, recwarn: pytest.WarningsRecorder
):
    network, streams = make_network(), global_streams()
    before = values_of(MethodNetwork.of(network))
    for how in (None, rehearsal):
        manager = PlasticityManager([network], method, Never(), rehearsal=how)
        assert manager.notes == []
    assert not recwarn.list
    assert moved(streams) is None
    assert all(torch.equal(value, before[name]) for name, value in values_of(MethodNetwork.of(network)).items())
    assert network.module.get_submodule("head").training


def test_a_method_that_does_nothing_is_noted(recwarn: pytest.WarningsRecorder):
    manager = PlasticityManager([make_network()], Idle(), Never())
    assert [str(warning.message) for warning in recwarn.list] == manager.notes
    assert "changed nothing when it was tried on the initial networks, which may be right" in manager.notes[0]


SAME: dict[str, Callable[[], float]] = {
    "torch": lambda: float(torch.randn((), generator=torch.Generator().manual_seed(0))),
    "default_rng": lambda: float(np.random.default_rng(0).random()),
    "RandomState": lambda: float(np.random.RandomState(3).rand()),
    "Generator": lambda: float(np.random.Generator(np.random.PCG64(0)).random()),
    "Random": lambda: random.Random(0).random(),
}


@pytest.mark.parametrize("draw", SAME.values(), ids=SAME)
def test_the_same_draws_for_every_seed_are_noted_and_not_refused(draw: Callable[[], float]):
    network = make_network()
    with pytest.warns(UserWarning, match="draws the same numbers for every seed and at every event") as caught:
        PlasticityManager([network], FixedStart(draw=draw), Never())
    assert len(caught) == 1
    assert isinstance(np.random.RandomState(3), np.random.RandomState)


def test_a_run_prints_the_note_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    train([*TINY, "--reinit", "tests.fixtures.right_methods:Idle", "--run-dir", str(tmp_path / "run")])
    assert "warning: tests.fixtures.right_methods:Idle changed nothing when it was tried" in capsys.readouterr().err


def test_networks_that_cannot_be_copied_are_noted_and_not_refused():
    def fail() -> Any:
        raise RuntimeError("no\ncopy")

    manager = PlasticityManager([make_network()], Noise(), Never(), rehearsal=fail)
    wanted = ":Noise was not tried beforehand: the networks cannot be copied (RuntimeError: no copy)"
    assert [wanted in note for note in manager.notes] == [True]


def test_classes_of_generators_behave_as_usual_while_draws_are_recorded():
    before = random.Random(0)
    with noting(set()) as draws:

        class Mine(random.Random):
            pass

        assert isinstance(before, random.Random)
        assert isinstance(Mine(0), Mine)
        assert not isinstance(before, Mine)
        assert not draws.foreign
        assert type(random.Random(0)) is type(before)
        assert draws.foreign
    assert type(Mine(0)) is Mine


@pytest.mark.parametrize("draw", [torch.rand, np.random.rand, lambda count: random.random()])
def test_a_generator_that_was_used_has_moved_and_is_restored(draw: Any):
    before = global_streams()
    draw(3)
    assert moved(before) is not None
    restore_streams(before)
    assert moved(before) is None


def test_built_in_methods_are_not_tried(monkeypatch: pytest.MonkeyPatch):
    from fire_rl.fire import METHODS, Fire

    def fail() -> Any:
        raise AssertionError("tried")

    assert Fire in METHODS.values()
    assert PlasticityManager([make_network()], Fire(), Never(), rehearsal=fail).notes == []


@pytest.mark.slow
def test_the_trial_takes_seconds_at_published_sizes():
    from fire_rl.agents import SAC, SACSettings

    agent = SAC(51, 19, SACSettings(), seed=np.random.SeedSequence(0))
    started = time.process_time()
    PlasticityManager(agent.plastic(), Noise(), Never())
    assert time.process_time() - started < 10

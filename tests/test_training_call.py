"""`training.run` makes a run from Python, with the command line's settings and messages, and returns its result."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.differences import differences
from fire_rl import training
from fire_rl.agents.captured import products_in
from fire_rl.commands.train import train_dqn as train
from fire_rl.experiments.analysis.found import find_runs
from fire_rl.experiments.analysis.scoring import score
from fire_rl.training.ending import rhythm_of
from fire_rl.training.learners import read_config
from fire_rl.training.lines import EvaluationLine, scheduled
from fire_rl.training.stopping import stop_signals

pytestmark = pytest.mark.usefixtures("unrendered_module")
TINY: dict[str, Any] = {
    "env": "CartPole-v1", "preset": "quick", "steps": 240, "learning_starts": 40, "eval_every": 40, "hidden_width": 8,
    "batch_size": 8, "eval_episodes": 1, "log_every": 40, "checkpoint_every": 100, "measure_every": 0, "device": "cpu",
    "threads": 1, "quiet": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> training.Result:
    return training.run("dqn", **TINY, reinit="fire", reinit_at=(90, 160), run_dir=tmp_path_factory.mktemp("a") / "run")


def test_it_makes_the_run_of_the_command_line(first: training.Result, tmp_path: Path):
    words = [
        word
        for name, value in TINY.items()
        if name != "quiet"
        for word in ("--" + name.replace("_", "-"), str(value))
    ]  # fmt: skip
    assert train([*words, "--reinit", "fire", "--reinit-at", "90", "160", "--run-dir", str(tmp_path / "run")]) == 0
    assert differences(first.folder, tmp_path / "run") == []


def test_its_scores_are_those_of_the_report(first: training.Result, tmp_path: Path):
    trunk = f"{first.folder}@200"
    branch = training.run("dqn", branch_from=trunk, steps=320, reinit="reset", run_dir=tmp_path / "branch", quiet=True)
    for result in (first, branch):
        (run,) = find_runs([result.folder]).runs
        scores = score(run, counted=True)
        assert (result.ending, result.code) == ("finished", 0)
        assert result.final == pytest.approx(scores.final, abs=1e-12)
        assert result.area == pytest.approx(scores.area, abs=1e-12)
    assert first.best is not None
    assert first.metric.name == "return"


def test_the_number_of_threads_is_restored(first: training.Result, tmp_path: Path):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        training.run("dqn", **TINY, run_dir=tmp_path / "run")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_run_is_in_float32_outside_its_updates(tmp_path: Path):
    products, convolutions, seen = torch.backends.cuda.matmul, torch.backends.cudnn, list[bool]()

    def note(step: int, value: float) -> None:
        seen.extend((products.allow_tf32, convolutions.allow_tf32))

    with products_in("tf32"):
        training.run("dqn", **TINY, run_dir=tmp_path / "run", precision="tf32", on_evaluation=note)
        assert products.allow_tf32
        assert convolutions.allow_tf32
    assert set(seen) == {False}


def test_a_callback_stops_it_with_a_checkpoint_from_which_it_can_be_resumed(first: training.Result, tmp_path: Path):
    seen: list[tuple[int, float]] = []

    def watch(step: int, value: float) -> bool:
        seen.append((step, value))
        return step >= 120

    folder = tmp_path / "run"
    given: dict[str, Any] = {"reinit": "fire", "reinit_at": (90, 160), "run_dir": folder}
    stopped = training.run("dqn", **TINY, **given, on_evaluation=watch)
    assert (stopped.ending, stopped.stopped, stopped.code) == ("stopped", "callback", 130)
    assert (stopped.final, stopped.area) == (None, None)
    assert stopped.best == max(value for _, value in seen)
    assert [step for step, _ in seen] == [0, 40, 80, 120]
    result = training.run("dqn", resume=folder, quiet=True)
    assert (result.ending, result.final) == ("finished", first.final)
    assert differences(first.folder, folder) == []


@pytest.mark.parametrize("schedule", [{"reinit_at": (80,)}, {"reinit_every": 40}])
def test_a_callback_is_told_of_each_scheduled_evaluation_once_as_it_counts(schedule: dict[str, Any], tmp_path: Path):
    """Update 40 belongs to the decision that ends at step 80, where the value just before its event counts."""
    seen: list[tuple[int, float]] = []

    def watch(step: int, value: float) -> bool:
        seen.append((step, value))
        return step == 80 and len(seen) == 3

    given: dict[str, Any] = {**TINY, "reinit": "reset", **schedule, "run_dir": tmp_path / "run"}
    assert training.run("dqn", **given, on_evaluation=watch).ending == "stopped"
    result = training.run("dqn", resume=tmp_path / "run", quiet=True, on_evaluation=watch)
    config = read_config(result.folder)
    lines = [line for _, line in config.reader.of(result.folder) if isinstance(line, EvaluationLine)]
    known = [(line.steps, float(line.value or 0), line.occasion) for line in lines]
    assert {"before event", "after event"} <= {occasion for step, _, occasion in known if step in (76, 80)}
    assert seen == list(scheduled(known, rhythm_of(result.folder, config)).items())
    assert result.best == max(value for _, value in seen)


def test_a_callback_that_stops_before_an_event_does_not_stop_the_resumed_run_there_again(tmp_path: Path):
    given: dict[str, Any] = {**TINY, "eval_every": 40, "checkpoint_every": 80, "reinit": "reset", "reinit_at": (80,)}
    stopped = training.run("dqn", **given, run_dir=tmp_path / "run", on_evaluation=lambda step, value: step == 80)
    assert (stopped.ending, stopped.stopped) == ("stopped", "callback")
    assert stopped.step > 80
    result = training.run("dqn", resume=tmp_path / "run", quiet=True, on_evaluation=lambda step, value: step == 80)
    assert result.ending == "finished"


def test_an_exception_of_a_callback_is_raised(tmp_path: Path):
    def watch(step: int, value: float) -> None:
        raise LookupError(step)

    with pytest.raises(LookupError):
        training.run("dqn", **TINY, run_dir=tmp_path / "run", on_evaluation=watch)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"learning_rat": 1}, "unknown setting 'learning_rat'; did you mean learning_rate?"),
        ({"on_evaluations": 1}, "unknown setting 'on_evaluations'; did you mean on_evaluation?"),
        ({"steps": "many"}, "--steps 'many' given; allowed is a whole number"),
        ({"reinit": "fir"}, "nearest is fire"),
        ({"reinit": "--fire"}, "reinit='--fire' given; no value begins with --"),
        ({"env": "-x"}, "env='-x' given; no value begins with"),
        ({"eval_every": 0}, "--eval-every 0 given; allowed is a number above 0"),
        ({"critic_width": 8}, "unknown setting 'critic_width'"),
    ],
)
def test_mistakes_have_the_command_lines_message_in_one_line(tmp_path: Path, given: dict[str, Any], said: str):
    with pytest.raises(ValueError) as caught:
        training.run("dqn", **{**TINY, **given}, run_dir=tmp_path / "run")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_another_learner_is_refused():
    with pytest.raises(ValueError, match=r"learner 'dqm' given; allowed is one of sac, dqn, .*; did you mean dqn"):
        training.run("dqm")


def test_in_another_thread_no_signal_handler_is_set():
    found: list[bool] = []

    def inside() -> None:
        with stop_signals() as asked:
            found.append(asked())

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [False]


def test_optuna_searches_with_the_documented_objective(tmp_path: Path):
    optuna = pytest.importorskip("optuna")
    from examples.optuna_search import main

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = main(4, 200, tmp_path)
    assert len(study.trials) == 4
    assert {path.name for path in tmp_path.iterdir()} == {f"trial-{number}" for number in range(4)}
    complete = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    assert study.best_value == max(trial.value for trial in complete if trial.value is not None)
    assert set(study.best_params) == {"learning_rate", "reinit"}
    assert list(study.trials[0].intermediate_values) == [0, 40, 80, 120, 160, 200]

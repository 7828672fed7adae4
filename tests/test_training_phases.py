"""Every run is evaluated where a phase of data begins, whatever its method does there; and the picture of a run."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.differences import differences
from fire_rl.training.history import MOST_COLUMNS, History
from fire_rl.training.lines import EvaluationLine, Reader
from fire_rl.training.metric import Metric
from fire_rl.training.phase_picture import draw_phases, rows_of, scale_of
from fire_rl.training.vision import Vision
from tests.fixtures import phased_runs
from tests.fixtures.phased_runs import lines

SIZE = "--images 100 --batch-size 16 --task class-incremental --phases 5 --epochs 2"  # 4, 6, 8, 10, 14 updates
OFTEN = "--eval-every 5 --log-every 5 --measure-every 30 --checkpoint-every 6 --eval-training-images 40"
RUN = f"--preset quick --data digits {SIZE} {OFTEN} --threads 1 --device cpu"
ACCURACY = Reader("updates", Metric("accuracy", form="percent"))
LOSS = Reader("updates", Metric("loss", unit="nats", better="lower"))


train = partial(phased_runs.train, "vision")


def test_every_boundary_is_evaluated_and_measured_and_the_run_ends_with_its_picture(tmp_path: Path):
    folder = tmp_path / "none"
    words = RUN.replace("--eval-every 5", "--eval-every 1000").replace("--phases 5", "--phases 2")
    said = train(f"{words} --reinit none", folder)
    found = [(line["occasion"], line["phase"]) for line in lines(folder, "evaluation")]
    assert found == [("scheduled", 1), ("phase begins", 1), ("scheduled", 2)]  # 1: the phase that was just learned
    begins = lines(folder, "evaluation")[1]["updates"]
    assert begins in {line["updates"] for line in lines(folder, "measures")}
    assert f"phases        {folder / 'phases.png'}" in said
    assert (folder / "phases.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("unrendered")
def test_events_at_every_boundary_are_between_two_evaluations_however_short_the_phases(tmp_path: Path):
    words = RUN.replace("--eval-every 5", "--eval-every 1000")
    train(f"{words} --reinit fire", tmp_path / "fire")
    occasions = [line["occasion"] for line in lines(tmp_path / "fire", "evaluation")]
    assert occasions == ["scheduled", *["before event", "after event"] * 4, "scheduled"]


@pytest.mark.usefixtures("unrendered")
def test_a_run_that_stops_where_a_phase_begins_continues_like_one_that_never_stopped(tmp_path: Path):
    train(f"{RUN} --reinit none", tmp_path / "whole")
    evaluations = lines(tmp_path / "whole", "evaluation")
    step = next(line["updates"] for line in evaluations if line["occasion"] == "phase begins")
    train(f"{RUN} --reinit none --steps {step}", tmp_path / "parts")
    train(f"--resume {tmp_path / 'parts'} --steps {evaluations[-1]['updates']}")
    assert differences(tmp_path / "whole", tmp_path / "parts") == []


@pytest.mark.usefixtures("unrendered")
def test_an_evaluation_that_a_stop_interrupts_where_a_phase_begins_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    words = f"{RUN.replace('--checkpoint-every 6', '--checkpoint-every 1000')} --reinit none"
    train(words, tmp_path / "whole")
    begins = [line for line in lines(tmp_path / "whole", "evaluation") if line["occasion"] == "phase begins"]
    requested = False
    real = Vision.evaluate

    def interrupted(work: Vision, pause: Callable[[], None]) -> dict[str, Any]:
        nonlocal requested
        requested = work.steps == begins[0]["updates"]
        return real(work, pause)

    with monkeypatch.context() as patch:
        patch.setattr(Vision, "evaluate", interrupted)
        patch.setattr("fire_rl.training.session.stop_signals", lambda calls: nullcontext(lambda: requested))
        train(words, tmp_path / "parts", code=130)
    train(f"--resume {tmp_path / 'parts'}")
    assert differences(tmp_path / "whole", tmp_path / "parts") == []


def evaluation(step: int, by_phase: tuple[float | None, ...], name: str = "accuracy") -> dict[str, Any]:
    return {"kind": "evaluation", "updates": step, name: 0.5, "by_phase": by_phase, "occasion": "scheduled"}


def test_lines_hold_a_value_for_each_phase_and_the_metric_on_other_examples():
    read = ACCURACY.typed(evaluation(3, (0.25, None)) | {"training_accuracy": 0.5, "test_loss": 1.0})
    assert isinstance(read, EvaluationLine)
    assert read.by_phase == (0.25, None)
    assert read.also == {"training_accuracy": 0.5}
    loss = LOSS.typed(evaluation(3, (), "loss") | {"training_loss": None, "training_accuracy": 0.5})
    assert isinstance(loss, EvaluationLine)
    assert loss.also == {"training_loss": None}
    assert ACCURACY.typed(evaluation(3, (0.5,) * 1_000)) is not None
    assert ACCURACY.typed(evaluation(3, (0.5,) * 1_001)) is None
    assert ACCURACY.typed(evaluation(3, ()) | {"training_accuracy": "high"}) is None


def test_a_history_limits_the_phases_and_draws_nan_as_nothing(tmp_path: Path):
    history = History(LOSS)
    assert draw_phases(history, tmp_path, "nothing") is None
    for step in range(3 * MOST_COLUMNS):
        history.add(LOSS.typed(evaluation(step, (1.0, None, 1e300)[: 1 + step % 3], "loss")))
    points = history.phases.points()
    assert len(points) <= MOST_COLUMNS + 1
    assert points[-1][0] == 3 * MOST_COLUMNS - 1
    values = rows_of([each for _, each in points])
    assert np.isfinite(values).any(axis=1).tolist() == [True, False, False]
    drawn = partial(draw_phases, history, tmp_path, "a run")
    assert drawn(starts=(100, 200)) == tmp_path / "phases.png"
    assert drawn(starts=range(1, 1_000)) == tmp_path / "phases.png"


def test_one_scale_holds_all_matrices_in_printed_numbers():
    scale = scale_of([np.array([[0.1, np.nan]]), np.array([[0.5]])], ACCURACY.metric)
    assert (scale.vmin, scale.vmax) == (10.0, 50.0)
    assert scale_of([np.array([[np.nan]])], ACCURACY.metric).vmax == 1.0
    assert scale_of([np.array([[2.0]])], LOSS.metric).vmax == 3.0

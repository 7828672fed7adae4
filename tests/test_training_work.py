"""The work of docs/tutorial/own-work.md, which learns from no environment, is driven, resumed and branched alike."""

import contextlib
import importlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.differences import differences
from fire_rl.experiments.analysis.records import read_run
from fire_rl.training.checkpoint import read_checkpoint
from fire_rl.training.command_line import read_command_line
from fire_rl.training.files import read_json, write_json
from fire_rl.training.learners import LEARNERS, Learner, Preset
from fire_rl.training.lines import read_lines
from fire_rl.training.session import run

PAGE = Path(__file__).parent.parent / "docs" / "tutorial" / "own-work.md"
EVERY = "--eval-every 20 --log-every 20 --measure-every 20 --checkpoint-every 30 --threads 1 --device cpu"


@pytest.fixture
def stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example's module, and its entry in the table of learners."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "stream.py").write_text(next(block for block in blocks if block.startswith("# stream.py")))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(importlib.sys.modules, "stream", raising=False)  # type: ignore[attr-defined]
    module: Any = importlib.import_module("stream")
    learner = Learner("train_stream.py", module.StreamRun, module.Stream, {"usual": Preset(module.StreamRun(), "")}, "")
    monkeypatch.setitem(LEARNERS, "stream", learner)
    assert learner.script == "train_stream.py"
    return module


def train(words: str, folder: Path | None = None) -> str:
    """Return what a run prints. `folder` is the folder of a new run."""
    where = [] if folder is None else ["--run-dir", str(folder)]
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
        assert run(read_command_line([*words.split(), *where], LEARNERS["stream"])) == 0
    return output.getvalue()


def events(folder: Path) -> list[tuple[int, Any]]:
    lines = [line for line in read_lines(folder / "metrics.jsonl") if line["kind"] == "event"]
    return [(line["updates"], line["position"]) for line in lines]


@pytest.mark.usefixtures("stream", "unrendered")
def test_two_schedules_at_one_update_make_one_event(tmp_path: Path):
    train(f"--steps 70 --reinit fire --reinit-every 20 --reinit-at 40 50 {EVERY}", tmp_path / "run")
    assert events(tmp_path / "run") == [(step, {"updates": step}) for step in (20, 40, 50, 60)]


@pytest.mark.usefixtures("unrendered")
def test_an_event_cuts_the_block_of_updates_that_it_falls_into(
    stream: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stream.Stream, "advance", lambda self, update: update(7))
    train(f"--steps 70 --reinit fire --reinit-every 40 {EVERY}", tmp_path / "run")
    assert events(tmp_path / "run") == [(40, {"updates": 40})]


@pytest.mark.usefixtures("unrendered")
def test_an_event_after_the_last_update_is_left_to_the_continuation_also_if_a_unit_makes_several_steps(
    stream: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stream.Stream, "advance", lambda self, update: update(7))
    said = train(f"--steps 70 --reinit fire --reinit-every 70 {EVERY}", tmp_path / "run")
    assert "fire is due after the last update: it acts if the run continues" in said
    assert events(tmp_path / "run") == []


@pytest.mark.usefixtures("stream", "unrendered")
@pytest.mark.parametrize("schedule", ["--reinit-every", "--reinit-at"])
def test_an_event_before_the_last_update_happens_and_is_not_announced(schedule: str, tmp_path: Path):
    said = train(f"--steps 70 --reinit fire {schedule} 69 {EVERY}", tmp_path / "run")
    assert "is due after the last update" not in said
    assert events(tmp_path / "run") == [(69, {"updates": 69})]


@pytest.mark.usefixtures("stream", "unrendered")
def test_a_checkpoint_holds_the_state_before_an_event_at_its_step(tmp_path: Path):
    train(f"--steps 50 --reinit reset --reinit-at 30 {EVERY}", tmp_path / "run")
    train(f"--steps 50 {EVERY}", tmp_path / "other")
    one, other = (read_checkpoint(tmp_path / name, 30).learner for name in ("run", "other"))
    assert all(value.equal(other[name]) for name, value in one.items())


@pytest.mark.usefixtures("stream", "unrendered")
def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path):
    train(f"--steps 100 --reinit redo --reinit-at 50 {EVERY}", tmp_path / "whole")
    train(f"--steps 60 --reinit redo --reinit-at 50 {EVERY}", tmp_path / "parts")
    train(f"--resume {tmp_path / 'parts'} --steps 100")
    assert differences(tmp_path / "whole", tmp_path / "parts") == []


@pytest.mark.usefixtures("stream", "unrendered")
def test_its_metric_is_read_from_its_config(tmp_path: Path):
    said = train(f"--steps 60 --reinit fire {EVERY}", tmp_path / "run")
    assert "final loss" in said
    assert "watch.py" not in said, "there is no policy to be watched"
    config = read_json(tmp_path / "run" / "config.json")
    assert config["metric"] == {"name": "loss", "unit": "", "better": "lower", "form": "number", "decimals": 4}
    assert config["progress"] == "updates"
    read = read_run(tmp_path / "run")
    assert (read.metric.name, read.metric.better, read.unit, read.finished) == ("loss", "lower", "updates", True)
    write_json(tmp_path / "run" / "config.json", config | {"metric": config["metric"] | {"unit": "nats"}})
    assert read_run(tmp_path / "run").metric.unit == "nats"
    write_json(tmp_path / "run" / "config.json", config | {"metric": config["metric"] | {"better": "sideways"}})
    with pytest.raises(ValueError, match="better"):
        read_run(tmp_path / "run")

"""What users meet first: stopping at once, the wrong script, the included trained policy, the line of an event."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fire_rl import place
from fire_rl.commands import compare, diagnose, evaluate, export, slim, watch
from fire_rl.commands.train import train_dqn, train_sac, train_vision
from fire_rl.fire.nearest import did_you_mean
from fire_rl.training.command_line import main
from fire_rl.training.lines import read_lines
from tests.fixtures.calling import call
from tests.fixtures.tracked_runs import TINY

pytestmark = pytest.mark.usefixtures("unrendered")
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a whole run, and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    code, output, errors = call(train_dqn, *TINY, "--run-dir", str(folder))
    assert code == 0, errors
    return folder, output


def test_the_line_of_an_event_counts_what_was_projected_and_names_what_was_reset(run: tuple[Path, str]):
    folder, said = run
    found = re.search(
        r"isometry (\S+) -> (\S+) \(sum over 1 weight matrix; (\d+) more got their initial values\)", said
    )
    assert found, said
    (event,) = [line for line in read_lines(folder / "metrics.jsonl") if line["kind"] == "event"]
    (network,) = event["networks"]
    first, *others = network["matrices"]
    assert len(others) == int(found[3]) > 0
    assert float(found[1]) == pytest.approx(first["deviation_before"], rel=1e-3)
    assert float(found[2]) == pytest.approx(first["deviation_after"], rel=1e-3)


@pytest.mark.parametrize("word", ["--resume", "--branch-from"])
def test_a_run_of_another_script_is_refused_with_the_right_script(run: tuple[Path, str], word: str):
    folder, _ = run
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != "lock"}
    code, _, errors = call(train_sac, word, str(folder))
    assert code == 2
    assert errors == (
        f"{word} {folder} given to train_sac.py; it is a run of train_dqn.py: python train_dqn.py {word} {folder}\n"
    )
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != "lock"} == before


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (evaluate.body, "{}"),
        (watch.body, "{}"),
        (watch.body, "CartPole-v1 --output {}"),
        (export.body, "{}"),
        (export.body, "pretrained:cartpole --output {}"),
        (diagnose.body, "{} --all"),
        (slim.body, "{}"),
        (train_sac, "--resume {}"),
        (train_sac, "--branch-from {}@5"),
        (train_sac, "--config {}"),
        (train_sac, "--run-dir {}"),
        (train_vision, "--data-dir {}"),
        (compare.body, "--config {}"),
        (compare.body, "--against {}"),
    ],
)
def test_a_path_with_too_long_a_name_is_refused_in_one_line(body: Callable[[Sequence[str]], int], words: str):
    code, _, errors = call(body, *words.format("x" * 300).split())
    assert code == 2
    assert errors.count("\n") == 1
    assert "File name too long" in errors or "--resume" not in words


def stopped(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_stop_before_anything_is_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fire_rl.training.session.build", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_dqn([*TINY, "--run-dir", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_a_stop_before_the_first_step_says_how_to_continue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "run"
    monkeypatch.setattr("fire_rl.training.session.say_what_it_costs", stopped)
    said = rf"begins at step 0 again with python train_dqn\.py --resume {re.escape(str(folder))}$"
    with pytest.raises(KeyboardInterrupt, match=said):
        train_dqn([*TINY, "--run-dir", str(folder)])
    monkeypatch.undo()
    assert call(train_dqn, "--resume", str(folder))[0] == 0


@pytest.mark.parametrize(
    ("error", "line"),
    [((), "a: stopped; give the same command to start again\n"), (("how to go on",), "a: how to go on\n")],
)
def test_every_command_says_that_it_was_stopped(
    error: Sequence[str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("fire_rl.training.command_line.guard_output", lambda: sys.stdout)

    def body(words: Sequence[str]) -> int:
        raise KeyboardInterrupt(*error)

    with pytest.raises(SystemExit) as ended:
        main(body, "a", [])
    assert ended.value.code == 130
    assert capsys.readouterr().err == line


def test_a_video_of_classic_control_needs_no_screen_and_prints_nothing(tmp_path: Path):
    pytest.importorskip("pygame")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "SDL_"))}
    command = [sys.executable, str(ROOT / "watch.py"), "pretrained:cartpole", "--steps", "20", "--output", "film.gif"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr
    assert (tmp_path / "film.gif").stat().st_size > 1_000


def test_no_suggestion_is_made_where_no_name_is_near():
    assert did_you_mean("quik", ["paper", "quick"]) == "; did you mean quick?"
    assert did_you_mean("zzz", ["paper", "quick"]) == ""


def test_a_printed_command_works_in_the_folder_where_it_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    assert place.typed("sac", "--env", "a b") == "python train_sac.py --env 'a b'"
    monkeypatch.chdir(tmp_path)
    assert place.typed("sac", "--env", "a b") == f"python {ROOT / 'train_sac.py'} --env 'a b'"
    assert place.recorded("sac", "--seed", 1) == "python train_sac.py --seed 1", "a report is read elsewhere"
    assert place.typed("own.py", "--resume", "run") == "python own.py --resume run"


def test_files_in_the_working_directory_shadow_no_module_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(place, "IN_A_CHECKOUT", False)
    (tmp_path / "gymnasium.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "own_here.py").write_text("from fire_rl.fire import Reset\n\n\nclass Own(Reset):\n    'Of my own.'\n")
    words = [*place.launch("sac"), "--reinit", "own_here:Other"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "its methods are Own" in done.stderr, "the user's own module is found"

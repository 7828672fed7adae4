"""A run that was killed anywhere and resumed equals a run that was not."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.differences import differences
from fire_rl.commands import train as commands_train
from fire_rl.commands.train import train_sac
from fire_rl.training.checkpoint import folder_of, steps_of
from fire_rl.training.command_line import main
from fire_rl.training.lines import read_lines
from fire_rl.training.reporter import Reporter
from tests.fixtures.calling import call

pytestmark = pytest.mark.usefixtures("unrendered_module")
ROOT = Path(__file__).parent.parent
TINY = [
    *("--env", "h1-walk", "--steps", "480", "--learning-starts", "40", "--reinit", "fire", "--reinit-every", "76"),
    *("--critic-width", "8", "--actor-width", "8", "--batch-size", "16", "--replay-capacity", "150"),
    *("--eval-every", "150", "--eval-episodes", "2", "--log-every", "50", "--checkpoint-every", "110"),
    *("--threads", "1", "--device", "cpu", "--replay-ratio", "1"),
]
# Forks processes from one that has imported everything, because importing takes longer than they run.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["fire_rl.commands.train", "torch._dynamo", "mujoco"])


def kill(change: int, *arguments: str, script: str = "train_sac") -> None:
    """Run a script in a process of its own that dies by SIGKILL just before its n-th change of the disk."""
    process = PROCESSES.Process(target=run_until, args=(change, script, arguments))
    process.start()
    process.join(600)
    assert process.exitcode == -signal.SIGKILL, "it ended before it was killed, see the captured output"


def run_until(change: int, script: str, arguments: tuple[str, ...]) -> None:
    """Every flush, rename, deletion and link is a change."""
    left = change

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return changed

    for name in ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir", "link", "truncate"):
        setattr(os, name, dying(getattr(os, name)))
    main(getattr(commands_train, script), script, arguments)


def train(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Train without interruption in this process, where everything is imported."""
    done = subprocess.CompletedProcess(arguments, *call(train_sac, *arguments))
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uninterrupted run."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(*TINY, "--run-dir", str(folder))
    return folder


def test_the_run_leaves_the_promised_files(whole: Path):
    assert (whole / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert (whole / "config.json").exists()
    assert list(whole.glob("events.*"))
    assert (whole / "config.tfevents").exists()
    assert steps_of(whole) == [440, 480], "the last two checkpoints"
    kinds = [line["kind"] for line in read_lines(whole / "metrics.jsonl")]
    assert kinds.count("event") == 2
    assert not list(whole.rglob("*.tmp"))


def test_events_happen_at_their_exact_update_between_two_evaluations(whole: Path):
    lines = read_lines(whole / "metrics.jsonl")
    for index, line in enumerate(lines):
        if line["kind"] == "event":
            assert line["updates"] % 76 == 0
            assert (lines[index - 1]["kind"], lines[index - 1]["occasion"]) == ("evaluation", "before event")
            assert (lines[index + 1]["kind"], lines[index + 1]["occasion"]) == ("evaluation", "after event")


def test_every_count_in_the_metrics_has_its_one_meaning(whole: Path):
    for line in read_lines(whole / "metrics.jsonl"):
        assert line["environment_steps"] == 2 * line["decisions"]
    last = [line for line in read_lines(whole / "metrics.jsonl") if line["kind"] == "train"][-1]
    assert last["updates"] == last["decisions"] - 40, "the warm-up owes nothing"


def kill_and_resume(folder: Path, flushes: list[int]) -> None:
    kill(flushes[0], *TINY, "--run-dir", str(folder))
    for flush in flushes[1:]:
        kill(flush, "--resume", str(folder))
    train("--resume", str(folder))
    assert not [path for path in folder.rglob(".*") if path.is_file()], "half-written files are removed"


def kill_and_go_on(change: int, arguments: list[str], folder: Path) -> None:
    """Kill a run near its beginning. Then resume it if it had a config, or start it again."""
    kill(change, *arguments, "--run-dir", str(folder))
    if (folder / "config.json").exists():
        train("--resume", str(folder))
    else:
        train(*arguments, "--run-dir", str(folder))


def test_a_killed_and_resumed_run_equals_the_uninterrupted_one(whole: Path, tmp_path: Path):
    kill_and_resume(tmp_path / "run", [33, 62, 41])
    assert differences(whole, tmp_path / "run") == []


@pytest.mark.slow
@pytest.mark.parametrize("first", range(24, 44, 3))
def test_a_run_killed_at_any_change_of_the_disk_equals_the_uninterrupted_one(whole: Path, tmp_path: Path, first: int):
    kill_and_resume(tmp_path / "run", [first, first + 21, first + 9])
    assert differences(whole, tmp_path / "run") == []


@pytest.mark.slow
@pytest.mark.parametrize("first", range(2, 30, 3))
def test_a_start_killed_at_any_change_of_the_disk_can_be_repeated(whole: Path, tmp_path: Path, first: int):
    kill_and_go_on(first, TINY, tmp_path / "run")
    assert differences(whole, tmp_path / "run") == []


@pytest.mark.slow
@pytest.mark.parametrize("first", range(2, 34, 3))
def test_a_branch_killed_at_any_change_of_the_disk_can_be_resumed(whole: Path, tmp_path: Path, first: int):
    folder, undisturbed = tmp_path / "branch", tmp_path / "undisturbed"
    branch = ["--branch-from", f"{whole}@440", "--reinit", "reset", "--steps", "600"]
    train(*branch, "--run-dir", str(undisturbed))
    kill_and_go_on(first, branch, folder)
    assert differences(undisturbed, folder) == []


def test_several_environments_and_a_fractional_ratio_resume_exactly(tmp_path: Path):
    several = [*TINY, "--num-envs", "3", "--replay-ratio", "0.7", "--reinit-at", "200"]
    several[several.index("76")] = "40"
    train(*several, "--run-dir", str(tmp_path / "whole"))
    kill(45, *several, "--run-dir", str(tmp_path / "killed"))
    assert steps_of(tmp_path / "killed")
    train("--resume", str(tmp_path / "killed"))
    assert differences(tmp_path / "whole", tmp_path / "killed") == []
    events = [line for line in read_lines(tmp_path / "whole" / "metrics.jsonl") if line["kind"] == "event"]
    assert [event["updates"] for event in events if event["updates"] % 40 == 0] == [40, 80, 120]
    assert len(events) == 4, "and one at step 200"


def test_sigterm_stops_cleanly_and_resuming_completes_the_run(whole: Path, tmp_path: Path):
    folder = tmp_path / "run"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "train_sac.py", *TINY, "--run-dir", str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 600
    while not (folder / "metrics.jsonl").exists() or (folder / "metrics.jsonl").stat().st_size < 600:
        if process.poll() is not None:
            break  # the machine may have been busy meanwhile
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=600)
    if process.returncode == 0:
        pytest.skip("the run ended before the signal arrived")
    assert process.returncode == 130
    assert f"--resume {folder}" in output
    assert steps_of(folder)
    train("--resume", str(folder))
    assert differences(whole, folder) == []


def test_a_run_that_is_extended_continues_as_if_it_had_been_longer_from_the_start(whole: Path, tmp_path: Path):
    folder = tmp_path / "run"
    shorter = [*TINY, "--run-dir", str(folder)]
    shorter[shorter.index("480")] = "300"
    train(*shorter)
    train("--resume", str(folder), "--steps", "480")
    assert differences(whole, folder) == []


def without_last_evaluation(folder: Path) -> None:
    """Leave a run as one that was killed after its last checkpoint and before its last evaluation."""
    metrics = folder / "metrics.jsonl"
    metrics.write_bytes(b"".join(metrics.read_bytes().splitlines(keepends=True)[:-1]))


def test_a_finished_run_is_not_evaluated_again(whole: Path, tmp_path: Path):
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (folder / ".curve.png.71.tmp").touch()
    said = train("--resume", str(folder)).stdout
    assert said == f"{folder}: finished already, at step 480; to continue it, give a larger --steps, such as 960\n"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_run_killed_after_its_last_checkpoint_gets_its_last_evaluation(whole: Path, tmp_path: Path):
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    without_last_evaluation(folder)
    assert "continuing at step 480: its last evaluation is missing" in train("--resume", str(folder)).stdout
    assert differences(whole, folder) == []


def test_a_run_killed_at_its_last_picture_has_its_last_evaluation_in_tensorboard_too(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The last pictures are drawn just after the evaluation was written."""
    process = PROCESSES.Process(target=run_until_picture, args=(480, [*TINY, "--run-dir", str(tmp_path / "run")]))
    process.start()
    process.join(600)
    assert process.exitcode == -signal.SIGKILL
    assert "finished already" in train("--resume", str(tmp_path / "run")).stdout
    assert differences(whole, tmp_path / "run") == []


def run_until_picture(step: int, arguments: list[str]) -> None:
    """Die by SIGKILL after the last evaluation of a run that ends at this step, where all pictures are drawn."""
    real = Reporter.draw_all

    def dying(reporter: Reporter, now: bool = False) -> None:
        if now and reporter.work.steps == step:
            os.kill(os.getpid(), signal.SIGKILL)
        real(reporter, now)

    setattr(Reporter, "draw_all", dying)  # noqa: B010
    main(train_sac, "train_sac", arguments)


@pytest.mark.parametrize("damage", ["agent.safetensors", "manifest.json", "segment"])
def test_a_damaged_checkpoint_is_skipped(whole: Path, tmp_path: Path, damage: str):
    folder = tmp_path / "run"
    subprocess.run(["cp", "-r", str(whole), str(folder)], check=True)
    if damage == "segment":
        path = max((folder / "replay").glob("*.safetensors"))
    else:
        path = folder_of(folder, 480) / damage
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    without_last_evaluation(folder)
    done = train("--resume", str(folder))
    assert "checkpoint at step 480 is damaged" in done.stderr
    assert "continuing" in done.stdout
    assert "at step 440" in done.stdout
    assert differences(whole, folder) == []


def test_a_run_with_no_whole_checkpoint_is_left_alone(whole: Path, tmp_path: Path):
    folder = tmp_path / "run"
    subprocess.run(["cp", "-r", str(whole), str(folder)], check=True)
    for step in steps_of(folder):
        (folder_of(folder, step) / "agent.safetensors").write_bytes(b"")
    done = train("--resume", str(folder), "--steps", "500", code=2)
    assert "is whole; nothing was changed" in done.stderr
    assert (folder / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_resuming_an_open_run_is_refused(whole: Path, tmp_path: Path):
    folder = tmp_path / "run"
    subprocess.run(["cp", "-r", str(whole), str(folder)], check=True)
    from fire_rl.training.files import FolderLock

    lock = FolderLock(folder)
    done = train("--resume", str(folder), code=2)
    assert "in use by another process" in done.stderr
    lock.release()


def test_an_environment_without_saved_state_starts_a_new_episode(tmp_path: Path):
    folder = tmp_path / "run"
    tiny = [*TINY, "--action-repeat", "1", "--eval-episodes", "1"]
    tiny[tiny.index("h1-walk")] = "tests.fixtures.another_pendulum:AnotherPendulum-v0"
    tiny[tiny.index("480")] = "230"
    train(*tiny, "--run-dir", str(folder))
    done = train("--resume", str(folder), "--steps", "460", "--trust", str(folder))
    assert "AnotherPendulum-v0 has no saved state" in done.stdout
    episodes = [line for line in read_lines(folder / "metrics.jsonl") if line["kind"] == "episode"]
    assert [(line["length"], line["ending"]) for line in episodes] == [
        (200, "truncated"),
        (30, "truncated"),
        (200, "truncated"),
    ]

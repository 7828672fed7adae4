"""`compare.py --dry-run --format shell|slurm`: the script does what compare.py does, and continues where it stopped."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fire_rl.commands.compare import words_of_a_script
from fire_rl.commands.compare_options import read_options
from fire_rl.experiments.sweep.as_script import script_of
from fire_rl.experiments.sweep.grid import Job

WORDS = (
    *("--agent", "dqn", "--env", "CartPole-v1", "--preset", "quick", "--steps", "120", "--learning-starts", "20"),
    *("--eval-every", "60", "--eval-steps", "20", "--hidden-width", "8", "--device", "cpu", "--reinit", "none", "fire"),
    *("--seeds", "0-1", "--branch-at", "0.5"),
)
# Replaces a training command: records its arguments, leaves a run's folder, and fails where FAIL names the run.
RUN = """
import os, signal, sys, time
from pathlib import Path
words = sys.argv[1:]
folder = Path(words[words.index("--resume" if "--resume" in words else "--run-dir") + 1])
folder.mkdir(parents=True, exist_ok=True)
(folder / "config.json").write_text("{}")
with open("asked", "a") as file:
    print(folder.name, "--resume" in words, file=file)
if os.environ.get("SIGNAL"):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    Path("ready").touch()
    time.sleep(600)
sys.exit(1 if folder.name in os.environ.get("FAIL", "").split() else int(os.environ.get("CODE", "0")))
"""
# Replaces SLURM: runs the tasks of an array at once, unless their dependency has failed, and prints a number.
SBATCH = """#!/usr/bin/env python3
import os, re, signal, subprocess, sys, time
words = sys.argv[1:]
print(*words, file=open("submitted", "a"))
number = str(len(open("submitted").readlines()))
array = next((word[8:] for word in words if word.startswith("--array=")), None)
after = next((word[13:] for word in words if word.startswith("--dependency=")), "")
failed = open("failed").read().split() if os.path.exists("failed") else []
if not (after.startswith("afterok") and after.split(":")[1] in failed):
    for task in [None] if array is None else map(str, range(int(array.removeprefix("0-")) + 1)):
        variables = {"SLURM_JOB_ID": number}
        variables |= {} if task is None else {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_JOB_ID": number}
        done = subprocess.Popen(["bash", *words[-3:]], env=os.environ | variables, cwd="/", stdout=sys.stderr)
        while os.environ.get("SIGNAL") and not os.path.exists("ready"):
            time.sleep(0.05)
        if task is not None and os.environ.get("SIGNAL"):
            os.remove("ready")
            done.send_signal(getattr(signal, os.environ["SIGNAL"]))
        if done.wait():
            print(f"{number}_{task}", file=open("failed", "a"))
print(number)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.py").write_text(RUN)
    (tmp_path / "bin").mkdir()
    for name, text in (("sbatch", SBATCH), ("scontrol", '#!/bin/sh\necho "$@" >>requeued\n')):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(
        "fire_rl.experiments.sweep.as_script.launch",
        lambda name: ["echo", "report"] if name == "compare" else [sys.executable, "run.py"],
    )
    return tmp_path


def jobs(folder: str) -> list[Job]:
    """Two trunks with two branches each."""
    found = []
    for seed in (0, 1):
        trunk = Path(folder) / f"trunk{seed}"
        found.append(Job("env", "trunk", seed, trunk, "dqn", ("--run-dir", str(trunk)), 0, 1, 1))
    for seed in (0, 1):
        for method in ("none", "fire"):
            run = Path(folder) / f"{method}{seed}"
            found.append(Job("env", method, seed, run, "dqn", ("--run-dir", str(run)), 1, 2, 1, found[seed].folder))
    return found


def asked(place: Path) -> list[str]:
    text = (place / "asked").read_text() if (place / "asked").exists() else ""
    (place / "asked").unlink(missing_ok=True)
    return text.splitlines()


@pytest.mark.parametrize("style", ["shell", "slurm"])
def test_trunks_come_before_their_branches_and_a_second_call_continues(place: Path, style, monkeypatch):
    script = script_of(jobs("a folder's"), style, Path("a folder's"), 3, 2e9, ["--dir", "a folder's"])
    (place / "plan.sh").write_text(script)
    call = ["bash", str(place / "plan.sh"), *(["--partition=gpu"] if style == "slurm" else [])]
    said = subprocess.run(call, check=True, capture_output=True, text=True, cwd="/")
    assert "report" in said.stdout + said.stderr
    order = [line.split()[0] for line in asked(place)]
    assert sorted(order) == ["fire0", "fire1", "none0", "none1", "trunk0", "trunk1"]
    assert all(order.index(f"trunk{name[-1]}") <= order.index(name) for name in order)
    subprocess.run(call, check=True, capture_output=True, cwd="/")
    assert all(line.endswith("True") for line in asked(place))
    if style == "slurm":
        submitted = (place / "submitted").read_text().splitlines()[:4]
        assert all("--partition=gpu" in line and "--cpus-per-task=3 --mem=2000M" in line for line in submitted)
        assert all("--kill-on-invalid-dep=yes" in line for line in submitted), "nothing waits for ever"
        assert "--array=0-1" in submitted[0]
        assert "--array=0-1 --dependency=afterok:1_0" in submitted[1]
        assert "--array=0-1 --dependency=afterok:1_1" in submitted[2]
        assert [line.split()[-2:] for line in submitted[:3]] == [["task", "0"], ["task", "2"], ["task", "4"]]
        assert "--dependency=afterany:1:2:3" in submitted[3]


@pytest.mark.parametrize("style", ["shell", "slurm"])
def test_a_trunk_that_fails_stops_only_its_own_branches(place: Path, style, monkeypatch):
    monkeypatch.setenv("FAIL", "trunk0")
    (place / "plan.sh").write_text(script_of(jobs("c"), style, Path("c"), 1, 1e9, []))
    done = subprocess.run(["bash", "plan.sh"], capture_output=True, text=True)
    assert done.returncode == (1 if style == "shell" else 0), "SLURM's jobs have not ended yet"
    assert "report" in done.stdout + done.stderr
    assert sorted(line.split()[0] for line in asked(place)) == ["fire1", "none1", "trunk0", "trunk1"]


def test_a_run_that_diverges_is_a_result_of_the_shell_script(place: Path, monkeypatch):
    monkeypatch.setenv("FAIL", "trunk0")
    (place / "run.py").write_text(RUN.replace("sys.exit(1 if", "sys.exit(3 if"))
    (place / "plan.sh").write_text(script_of(jobs("c"), "shell", Path("c"), 1, 1e9, []))
    subprocess.run(["bash", "plan.sh"], check=True, capture_output=True)
    assert sorted(line.split()[0] for line in asked(place)) == ["fire1", "none1", "trunk0", "trunk1"]


@pytest.mark.parametrize(("signal", "queued"), [("SIGUSR1", True), ("SIGTERM", False)])
def test_a_run_at_its_time_limit_is_queued_again_and_a_cancelled_one_is_not(place: Path, monkeypatch, signal, queued):
    (place / "plan.sh").write_text(script_of(jobs("c")[:1], "slurm", Path("c"), 1, 1e9, []))
    (place / "plan.sh").write_text((place / "plan.sh").read_text().replace("submit report", "true"))
    monkeypatch.setenv("SIGNAL", signal)
    subprocess.run(["bash", "plan.sh"], check=True, capture_output=True, timeout=600)
    assert (place / "requeued").exists() == queued
    if queued:
        assert (place / "requeued").read_text() == "requeue 1_0\n"


def test_a_script_may_be_called_by_a_path_from_another_folder(place: Path):
    (place / "plans").mkdir()
    (place / "plans/plan.sh").write_text(script_of(jobs("c"), "slurm", Path("c"), 1, 1e9, []))
    subprocess.run(["bash", "plan.sh"], check=True, capture_output=True, cwd=place / "plans")
    assert len(asked(place)) == 6


def test_an_array_has_at_most_a_thousand_tasks_counted_from_0(monkeypatch):
    monkeypatch.setattr("fire_rl.experiments.sweep.as_script.MOST_TASKS", 3)
    trunks = [Job("env", "trunk", seed, Path(f"trunk{seed}"), "dqn", (), 0, 1, 1) for seed in range(5)]
    branches = [
        Job("env", "fire", seed, Path(f"fire{seed}"), "dqn", (), 1, 2, 1, trunks[seed].folder) for seed in (4, 3)
    ]
    lines = [
        line
        for line in script_of([*trunks, *branches], "slurm", Path("c"), 1, 1e9, []).splitlines()
        if "=$(sub" in line
    ]
    assert lines == [
        "first0=$(submit runs task 0 --array=0-2) || exit 1",
        "first1=$(submit runs task 3 --array=0-1) || exit 1",
        "next=$(submit branches task 5 --array=0-0 --dependency=afterok:${first1}_1) || exit 1",
        "next=$(submit branches task 6 --array=0-0 --dependency=afterok:${first1}_0) || exit 1",
    ]


def test_nothing_is_submitted_after_a_refusal(place: Path):
    (place / "bin/sbatch").write_text("#!/bin/sh\necho invalid partition >&2; echo called >>calls; exit 1\n")
    (place / "plan.sh").write_text(script_of(jobs("c"), "slurm", Path("c"), 1, 1e9, []))
    assert subprocess.run(["bash", "plan.sh"], capture_output=True).returncode == 1
    assert (place / "calls").read_text() == "called\n"


@pytest.mark.parametrize("style", ["shell", "slurm"])
def test_nothing_begins_if_the_folder_holds_runs_with_other_settings(place: Path, style, monkeypatch):
    monkeypatch.setattr("fire_rl.experiments.sweep.as_script.launch", lambda name: ["./refuses"])
    (place / "refuses").write_text('#!/bin/sh\necho "$@" >>calls; exit 2\n')
    (place / "refuses").chmod(0o755)
    (place / "plan.sh").write_text(script_of(jobs("c"), style, Path("c"), 1, 1e9, ["--agent", "dqn"]))
    assert subprocess.run(["bash", "plan.sh"], capture_output=True).returncode == 2
    assert (place / "calls").read_text() == "--agent dqn --write-plan\n"
    assert not (place / "c").exists()


def test_names_that_a_script_cannot_contain_are_refused(place: Path):
    with pytest.raises(ValueError, match="give another --dir"):
        script_of(jobs("a|b"), "shell", Path("a|b"), 1, 1e9, [])
    with pytest.raises(ValueError, match="--format slurm given without --dry-run"):
        read_options(["--format", "slurm"])
    options, _ = read_options(["--format", "slurm", "--dry-run"])
    with pytest.raises(ValueError, match="--upload given with --format slurm"):
        words_of_a_script(["--upload", "s3://bucket"], options)
    words = ["--dry-run", "--baseline", "none", "--format", "slurm", "--label", "fire=FIRE (ours)"]
    assert words_of_a_script(words, options) == (words[1:3] + words[5:], words[1:3] + words[5:])


@pytest.mark.slow
def test_the_shell_script_trains_and_reports(tmp_path: Path):
    root = Path(__file__).parent.parent
    call = [sys.executable, str(root / "compare.py"), *WORDS, "--dir", "c"]
    script = subprocess.run([*call, "--dry-run", "--format", "shell"], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "plan.sh").write_bytes(script.stdout)
    assert not (tmp_path / "c").exists(), "the script writes the plan, on the machine where it runs"
    for _ in range(2):  # finished runs stay as they are
        done = subprocess.run(["bash", "plan.sh"], cwd=tmp_path, check=True, capture_output=True, text=True)
        assert "report    c/report.html" in done.stdout, done.stderr + shlex.join(call)
        assert json.loads((tmp_path / "c/comparison.json").read_text())["methods"] == ["none", "fire"]

"""`compare.py` as people use it: one command until the report, the same command again, Ctrl-C, and mistakes."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.differences import differences
from fire_rl.commands.compare import body
from fire_rl.training.lines import read_lines
from fire_rl.training.slim import slim

ROOT = Path(__file__).parent.parent
TINY = (
    *("--agent", "dqn", "--env", "CartPole-v1", "--preset", "quick", "--steps", "800", "--learning-starts", "100"),
    *("--hidden-width", "8", "--eval-every", "400", "--eval-episodes", "2", "--log-every", "100"),
    *("--checkpoint-every", "400", "--device", "cpu", "--reinit", "none", "fire", "--branch-at", "0.5", "--jobs", "2"),
    *("--measure-every", "0"),
)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compare two methods with one seed, from one trunk."""
    folder = tmp_path_factory.mktemp("runs") / "compared"
    assert body([*TINY, "--seeds", "0", "--dir", str(folder)]) == 0
    return folder


def test_one_command_runs_everything_and_writes_the_report(compared: Path):
    assert {path.name for path in compared.iterdir() if path.is_dir()} == {
        "logs", "CartPole-v1-trunk-seed0", "CartPole-v1-none-seed0", "CartPole-v1-fire-seed0",
    }  # fmt: skip
    assert "<html" in (compared / "report.html").read_text()
    assert (compared / "curves.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((compared / "scores.csv").open()))
    assert [(row["method"], row["seed"], row["branch_step"]) for row in rows] == [
        ("none", "0", "400"),
        ("fire", "0", "400"),
    ]
    evaluations = [
        line
        for line in read_lines(compared / "CartPole-v1-fire-seed0" / "metrics.jsonl")
        if line["kind"] == "evaluation"
    ]
    assert float(rows[1]["final"]) == evaluations[-1]["return"]
    assert "fire" in (compared / "summary.md").read_text()


@pytest.mark.usefixtures("unrendered")
def test_the_same_command_again_runs_nothing(compared: Path, capsys: pytest.CaptureFixture[str]):
    before = {path: path.stat().st_mtime_ns for path in compared.rglob("metrics.jsonl")}
    assert body([*TINY, "--seeds", "0", "--dir", str(compared)]) == 0
    assert {path: path.stat().st_mtime_ns for path in compared.rglob("metrics.jsonl")} == before
    assert "report.html" in capsys.readouterr().out


def test_the_plan_shows_what_is_finished_and_what_the_rest_costs(compared: Path, capsys: pytest.CaptureFixture[str]):
    assert body([*TINY, "--seeds", "0-1", "--dir", str(compared), "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "CartPole-v1-fire-seed0: finished, steps 400 to 800, after CartPole-v1-trunk-seed0" in lines
    assert "CartPole-v1-trunk-seed1: new, steps 0 to 400" in lines
    assert "6 runs, 3 of them finished; to do: 1,200 steps, 1,100 updates" in lines
    assert "shared trunks: 75% of the work of runs that all begin at step 0" in lines
    assert not (compared / "CartPole-v1-trunk-seed1").exists()


def test_other_settings_are_refused_in_the_same_folder(compared: Path):
    with pytest.raises(ValueError, match=r"holds runs with --hidden-width 8, but 9 is given.*another --dir"):
        body([*TINY, "--hidden-width", "9", "--seeds", "0", "--dir", str(compared)])
    with pytest.raises(ValueError, match=r"holds runs with --branch-at 0\.5, but 0\.25 is given"):
        body([*TINY, "--branch-at", "0.25", "--seeds", "0", "--dir", str(compared)])


def test_the_plan_can_be_written_without_its_runs(compared: Path, tmp_path: Path):
    folder, words = tmp_path / "c", [*TINY, "--seeds", "1", "--write-plan", "--dir", str(tmp_path / "c")]
    shutil.copytree(compared, folder, ignore=shutil.ignore_patterns("comparison.json"))
    for _ in range(2):
        assert body(words) == 0
    assert json.loads((folder / "comparison.json").read_text())["seeds"] == [1]
    assert not list(folder.glob("*-seed1")), "only the plan was written"
    with pytest.raises(ValueError, match=r"holds runs with --hidden-width 8, but 9 is given.*another --dir"):
        body([*words, "--hidden-width", "9"])


def test_a_second_value_makes_an_axis_and_the_runs_keep_their_names(compared: Path, capsys: pytest.CaptureFixture[str]):
    words = [*TINY, "--seeds", "0", "--dir", str(compared), "--dry-run"]
    with pytest.raises(ValueError, match=r"--replay-ratio 1, but 4 is given.*or --replay-ratio 1 4 to compare both"):
        body([*words, "--replay-ratio", "4"])
    assert body([*words, "--replay-ratio", "1", "4"]) == 0
    said = capsys.readouterr().out
    assert "CartPole-v1-fire-seed0: finished" in said
    assert "CartPole-v1-fire-replay-ratio=4-seed0: new, steps 400 to 800, after CartPole-v1-trunk-replay-" in said
    assert "--replay-ratio 1: 3 runs; to do: 0 runs, 0 steps, 0 updates\n" in said
    assert "--replay-ratio 4: 3 runs; to do: 3 runs, 1,200 steps, 4,400 updates; about" in said


@pytest.mark.usefixtures("unrendered")
def test_a_report_can_be_made_of_any_runs(compared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    runs = [str(compared / f"CartPole-v1-{method}-seed0") for method in ("none", "fire")]
    assert body(["--report-only", *runs, "--dir", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "curves.csv", "curves.pdf", "curves.png", "curves.svg", "report.html", "scores.csv", "summary.md", "table.tex",
    ]  # fmt: skip
    assert "fire minus none" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--env", "CartPol-v1"], "CartPol-v1.*CartPole-v1"),
        (["--agent", "sac", "--env", "CartPole-v1"], "a task with discrete actions, and train_sac.py does not learn"),
        (["--env", "CartPole-v1", "--baseline", "reset", "--reinit", "none", "fire"], "allowed is one of --reinit"),
        (["--report-only", "/nowhere"], "/nowhere holds no run"),
        (["--report-only", ".", "--steps", "5"], "--steps given with --report-only"),
        (["--env", "CartPole-v1", "--device", "cuda:7"], "--device 'cuda:7' is not here"),
        (["--env", "CartPole-v1", "--threshold", "success"], "CartPole-v1 has no success bar"),
        (["--env", "CartPole-v1", "--reinit", "fire", "--reinit-every", "often"], "--reinit-every 'often' given"),
        (
            ["--env", "CartPole-v1", "--reinit", "none", "cbp", "--reinit-every", "9"],
            "none of the methods has events: none, cbp",
        ),
        (["--env", "CartPole-v1", "--baseline", "firee"], "allowed is one of --reinit: .*; nearest is fire"),
        (
            ["--env", "CartPole-v1", "--reinit", "fire@every=abc"],
            "^--reinit 'fire@every=abc' given: every='abc' given; allowed is a whole number",
        ),
        (["--report-only"], "--report-only given without a value"),
        (["--reinit"], "--reinit given without a value"),
        (["--report-only", ".", "--retry"], "--retry given with --report-only"),
        (["--jobs", "2", "--ray"], "--jobs 2 given with --ray"),
        (["--report-only", ".", "--threshold", "nan"], "--threshold nan given"),
        (["--ray", "--device", "cuda:1"], "--device cuda:1 given with --ray, where each run sees only its own GPU"),
        (["--jobs", "2", "--runs-per-gpu", "2"], "--runs-per-gpu 2 given with --jobs 2: give only one"),
        (["--ray", "--gpus-per-run", "0.5", "--runs-per-gpu", "2"], "--runs-per-gpu 2 given with --gpus-per-run 0.5"),
        (["--ray", "--gpus-per-run", "1.5"], "--gpus-per-run 1.5 given; allowed is 0 to 1, or a whole number"),
        (["--dry-run", "--write-plan"], "--write-plan given with --dry-run"),
        (["--runs-per-gpu", "0"], "--runs-per-gpu 0 given; allowed is 1 to 4,096"),
        (["--runs-per-gpu", "2", "--device", "cpu"], "--runs-per-gpu 2 given with --device cpu, which uses no GPU"),
        (
            ["--env", "CartPole-v1", "--label", "fira=F"],
            "--label 'fira=F' given; the runs have the methods .*; nearest is fire",
        ),
        (["--env", "CartPole-v1", "--batch-size", "8", "0"], "--batch-size 0 given"),
        (
            ["--env", "CartPole-v1", "--batch-size", *map(str, range(8, 17)), "--n-steps", *map(str, range(1, 9))],
            "--batch-size and --n-steps given with 72 combinations of values; a report can have 64",
        ),
        (["--env", "CartPole-v1", "--figure-width", "wide"], "--figure-width 'wide' given; allowed is one of single"),
        (["--report-only", "/" + "n" * 300], "File name too long"),
    ],
)
def test_mistakes_end_in_one_line_before_anything_is_written(words: list[str], message: str, tmp_path: Path):
    agent = [] if {"--agent", "--report-only"} & set(words) else ["--agent", "dqn"]
    with pytest.raises(ValueError, match=message) as caught:
        body([*agent, *words, "--dir", str(tmp_path / "c")])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("words", [["--env", "Nope-v0"], ["--env", "CartPole-v1", "--hidden-width", "0"]])
def test_nothing_is_left_of_a_comparison_that_could_not_begin(words: list[str], tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words[-1]):
        body(["--agent", "dqn", *words])
    assert list(tmp_path.iterdir()) == []


def test_a_plan_for_other_machines_may_have_a_device_that_is_not_here(tmp_path: Path, capsys):
    words = [*TINY, "--device", "cuda:0", "--seeds", "0", "--dir", str(tmp_path / "c"), "--dry-run"]
    del words[words.index("--jobs") : words.index("--jobs") + 2]
    for more in (["--format", "slurm"], ["--ray"]):
        assert body([*words, *more]) == 0
        assert "--device cuda:0" in capsys.readouterr().out
        with pytest.raises(ValueError, match="--device 'cdua' given; allowed are auto, cpu, cuda"):
            body([*words, *more, "--device", "cdua"])
    assert not (tmp_path / "c").exists()


def test_logs_must_be_a_folder(tmp_path: Path):
    (tmp_path / "logs").touch()
    with pytest.raises(ValueError, match="logs is not a folder; a comparison keeps the output of its runs there"):
        body([*TINY, "--seeds", "0", "--dir", str(tmp_path)])


def test_folders_that_cannot_be_used_are_named_in_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / ("a" * 300), Path("b/" * 2_500), tmp_path / "file" / "c"):
        with pytest.raises(ValueError, match=r"bytes|cannot be|file is a file") as caught:
            body([*TINY, "--seeds", "0", "--dir", str(folder)])
        assert "\n" not in str(caught.value)


def test_the_plan_says_what_all_of_it_takes_of_disk_and_memory(compared: Path, capsys: pytest.CaptureFixture[str]):
    def lines(*words: str) -> str:
        assert body([*TINY, "--seeds", "0", "--dir", str(compared), "--dry-run", *words]) == 0
        return capsys.readouterr().out

    said = lines()
    assert re.search(r"memory: up to 1\.00 GB per run, including its replay; 2\.00 GB for 2 runs at once\n", said)
    assert re.search(r"disk: 0\.\d MB for all runs, .*, all of it kept; branches share the replay files", said)
    assert re.search(
        r"with --keep-replay False, 0\.\d MB of it are kept \(trunks 0\.\d MB, policies 0\.\d MB\)\n", said
    )
    assert "slim.py deletes them" in said
    kept = lines("--keep-replay", "False")
    assert re.search(
        r"disk: 0\.\d MB are kept .* for each of the 2 runs at once are used besides; without --keep-", kept
    )


@pytest.mark.usefixtures("unrendered")
def test_runs_that_were_slimmed_stay_finished_and_a_slimmed_trunk_is_named(
    compared: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    folder = tmp_path / "c"
    shutil.copytree(compared, folder)
    trunk = folder / "CartPole-v1-trunk-seed0"
    for run in folder.glob("CartPole-v1-*"):
        slim(run)
    shutil.rmtree(folder / "CartPole-v1-none-seed0" / "checkpoints")
    assert body([*TINY, "--seeds", "0", "--dir", str(folder)]) == 0
    command = [word if word != "fire" else "reset" for word in TINY]
    capfd.readouterr()
    assert body([*command, "--seeds", "0", "--dir", str(folder), "--dry-run"]) == 0
    assert "CartPole-v1-reset-seed0: no trunk" in capfd.readouterr().out
    assert body([*command, "--seeds", "0", "--dir", str(folder)]) == 1
    said = capfd.readouterr().err
    assert "CartPole-v1-reset-seed0 cannot branch from CartPole-v1-trunk-seed0 at step 400: the trunk's" in said
    assert "replay is gone; delete the trunk's folder" in said
    assert (trunk / "metrics.jsonl").exists()


def test_methods_that_have_changed_since_runs_were_made_are_refused(tmp_path: Path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_changed.py").write_text(
        "from fire_rl.fire import Reset\n\n\nclass Mine(Reset):\n    'Of one own.'\n"
    )
    run = tmp_path / "c" / "CartPole-v1-own_changed_Mine-seed0"
    run.mkdir(parents=True)
    made_with = {"own_changed.py": {"module": "own_changed", "sha256": "0" * 64}}
    (run / "config.json").write_text(json.dumps({"sources": made_with}))
    words = [*TINY[: TINY.index("--reinit")], "--reinit", "own_changed:Mine", "--measure-every", "0", "--seeds", "0"]
    for more in ([], ["--dry-run"]):
        with pytest.raises(
            ValueError, match=r"Mine-seed0: .*own_changed\.py has changed.*another --dir, or restore"
        ) as caught:
            body([*words, "--dir", str(tmp_path / "c"), *more])
        assert "\n" not in str(caught.value)
    assert [path.name for path in run.iterdir()] == ["config.json"]


@pytest.mark.parametrize("kept", ["[]", "{}", '{"fixed": []}', "[" * 100_000])
def test_a_folder_whose_record_is_forged_is_refused_in_one_line(kept: str, tmp_path: Path):
    (tmp_path / "comparison.json").write_text(kept)
    with pytest.raises(ValueError, match=r"comparison\.json") as caught:
        body([*TINY, "--seeds", "0", "--dir", str(tmp_path)])
    assert "\n" not in str(caught.value)
    assert (tmp_path / "comparison.json").read_text() == kept


def test_a_stop_during_the_trunks_is_not_a_mistake(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "compare.py", *TINY, "--steps", "60000", "--seeds", "0", "--dir", str(tmp_path / "c")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    while not (tmp_path / "c" / "CartPole-v1-trunk-seed0" / "config.json").exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=600)[0].decode()
    assert process.returncode == 130, output
    assert "the same command continues\nnothing to report yet" in output


@pytest.mark.slow
def test_ctrl_c_stops_all_runs_and_the_same_command_ends_as_if_nothing_had_happened(tmp_path: Path):
    words = (*TINY, "--steps", "6000", "--seeds", "0-1")
    for name in ("whole", "stopped"):
        command = [sys.executable, "compare.py", *words, "--dir", str(tmp_path / name)]
        environment = os.environ | {"COLUMNS": "100"}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if name == "stopped":
            log = tmp_path / name / "CartPole-v1-trunk-seed0" / "metrics.jsonl"
            while not log.exists() or '"train"' not in log.read_text():
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            output = process.communicate(timeout=600)[0].decode()
            assert process.returncode == 130, output
            assert "the same command continues" in output
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = process.communicate(timeout=600)[0].decode()
        assert process.returncode == 0, output
    for run in (tmp_path / "whole").glob("CartPole*"):
        assert differences(run, tmp_path / "stopped" / run.name) == []

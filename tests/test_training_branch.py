"""A branch starts from another run's checkpoint, where its method acts once. The trunk does not change."""

import os
import shlex
import shutil
from functools import partial
from pathlib import Path

import msgspec
import pytest
import torch

from benchmarks.differences import differences
from fire_rl.commands.train import train_sac as train
from fire_rl.training.checkpoint import Manifest, folder_of, read_checkpoint, steps_of, write_manifest
from fire_rl.training.files import read_json, write_json
from fire_rl.training.lines import read_lines
from tests.fixtures import calling

quietly = partial(calling.quietly, train)

pytestmark = pytest.mark.usefixtures("unrendered_module")
TINY = [
    *("--env", "h1-walk", "--steps", "400", "--learning-starts", "40", "--seed", "3"),
    *("--critic-width", "8", "--actor-width", "8", "--batch-size", "16", "--replay-capacity", "150"),
    *("--eval-every", "200", "--eval-episodes", "2", "--log-every", "50", "--checkpoint-every", "120"),
    *("--checkpoint-at", "200", "--threads", "1", "--device", "cpu", "--replay-ratio", "0.5"),
]


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "trunk"
    quietly(*TINY, "--run-dir", str(folder))
    return folder


def test_requested_checkpoints_are_kept(trunk: Path):
    assert steps_of(trunk) == [200, 360, 400]


def test_a_checkpoint_between_two_decisions_is_the_next_one(tmp_path: Path):
    folder = tmp_path / "run"
    quietly(*TINY, "--checkpoint-at", "61", "--run-dir", str(folder))
    assert 62 in steps_of(folder)
    quietly(
        "--branch-from", f"{folder}@61", "--reinit", "reset", "--steps", "80", "--run-dir", str(tmp_path / "branch")
    )
    events = [line for line in read_lines(tmp_path / "branch" / "metrics.jsonl") if line["kind"] == "event"]
    assert [event["environment_steps"] for event in events] == [62]


@pytest.mark.parametrize("damage", ["agent.safetensors", "segment", "missing segment"])
def test_a_branch_of_a_damaged_trunk_is_refused_and_leaves_nothing(trunk: Path, tmp_path: Path, damage: str):
    copy, folder = tmp_path / "trunk", tmp_path / "branch"
    shutil.copytree(trunk, copy)
    if damage == "agent.safetensors":
        (folder_of(copy, 200) / damage).write_bytes(b"nothing")
    elif damage == "segment":
        min((copy / "replay").iterdir()).write_bytes(b"nothing")
    else:
        min((copy / "replay").iterdir()).unlink()
    with pytest.raises(ValueError, match=r"cut short or altered|No such file") as caught:
        train(["--branch-from", f"{copy}@200", "--reinit", "fire", "--run-dir", str(folder)])
    assert "\n" not in str(caught.value)
    assert not folder.exists()


def test_a_folder_with_other_files_in_it_is_left_alone(tmp_path: Path):
    for name in ("checkpoints", "metrics.jsonl", "notes"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_text("precious")
        with pytest.raises(ValueError, match="is not empty"):
            train([*TINY, "--run-dir", str(folder)])
        assert (folder / name).read_text() == "precious"


def test_a_branch_can_be_in_another_file_system(trunk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*arguments: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    quietly("--branch-from", f"{trunk}@200", "--reinit", "none", "--run-dir", str(tmp_path / "branch"))
    assert differences(trunk, tmp_path / "branch") == []


@pytest.mark.parametrize("linked", [True, False])
def test_all_that_a_branch_has_of_its_trunk_is_on_the_disk_before_it_is_a_run(
    trunk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
):
    folder, flushed, real = tmp_path / "branch", list[Path](), os.fsync

    def refuse(*arguments: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    def flush(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    monkeypatch.setattr("os.fsync", flush)
    if not linked:
        monkeypatch.setattr("os.link", refuse)
    quietly("--branch-from", f"{trunk}@200", "--reinit", "none", "--run-dir", str(folder), "--steps", "210")
    begins = next(index for index, path in enumerate(flushed) if path.name.startswith(".config.json"))
    checkpoint = folder_of(folder, 200)
    copies = [] if linked else [checkpoint / "agent.safetensors", checkpoint / "state.json"]
    places = [folder, folder / "replay", checkpoint, checkpoint.parent]
    assert {folder / "metrics.jsonl", *copies, *places} <= {*flushed[:begins]}


def test_a_branch_of_a_trunk_that_cannot_be_written_to_can_be_written_to(trunk: Path, tmp_path: Path):
    copy, folder = tmp_path / "trunk", tmp_path / "branch"
    shutil.copytree(trunk, copy)
    for path in copy.iterdir():
        path.chmod(0o555 if path.is_dir() else 0o444)
    quietly("--branch-from", f"{copy}@200", "--reinit", "none", "--run-dir", str(folder), "--steps", "210")
    for name in ("metrics.jsonl", *(path.name for path in folder.glob("events.*"))):
        assert (folder / name).stat().st_mode & 0o200, name


def test_a_branch_without_a_method_equals_the_trunk_continued(trunk: Path, tmp_path: Path):
    quietly("--branch-from", f"{trunk}@200", "--reinit", "none", "--run-dir", str(tmp_path / "branch"))
    assert differences(trunk, tmp_path / "branch") == []


@pytest.mark.parametrize("method", ["fire", "reset", pytest.param("shrink-perturb", marks=pytest.mark.slow)])
def test_the_method_acts_once_at_the_branch_point(trunk: Path, tmp_path: Path, method: str):
    before = {path: path.stat().st_mtime_ns for path in trunk.rglob("*") if path.is_file() and path.name != "lock"}
    folder = tmp_path / "branch"
    quietly("--branch-from", f"{trunk}@200", "--reinit", method, "--run-dir", str(folder))
    events = [line for line in read_lines(folder / "metrics.jsonl") if line["kind"] == "event"]
    assert [(event["environment_steps"], event["method"].partition(":")[0]) for event in events] == [(200, method)]
    assert read_json(folder / "config.json")["run"]["steps"] == 400
    shared = {path.name for path in (trunk / "replay").iterdir()} & {p.name for p in (folder / "replay").iterdir()}
    assert shared, "the trunk's segments are shared"
    assert all((trunk / "replay" / name).samefile(folder / "replay" / name) for name in shared)
    assert before == {path: path.stat().st_mtime_ns for path in before}, "the trunk is untouched"


def test_a_branch_resumes_without_acting_again(trunk: Path, tmp_path: Path):
    folder, whole = tmp_path / "branch", tmp_path / "whole"
    quietly("--branch-from", f"{trunk}@200", "--reinit", "fire", "--run-dir", str(whole), "--steps", "460")
    quietly("--branch-from", f"{trunk}@200", "--reinit", "fire", "--run-dir", str(folder))
    quietly("--resume", str(folder), "--steps", "460")
    assert differences(folder, whole) == []


def test_a_branch_of_the_newest_checkpoint_keeps_its_step(trunk: Path, tmp_path: Path):
    """Otherwise a newer checkpoint of a trunk that still runs would be taken, or the trunk's planned end."""
    copy, folder = tmp_path / "trunk", tmp_path / "branch"
    shutil.copytree(trunk, copy)
    shutil.rmtree(folder_of(copy, 400))
    said = quietly("--branch-from", str(copy), "--reinit", "none", "--run-dir", str(folder))
    assert "mean of the" in said or "the scheduled evaluation" in said, "the branch has a final return"
    config = read_json(folder / "config.json")
    assert config["branch_from"] == f"{copy}@360"
    assert f"--branch-from {copy}@360" in config["repeat"]


def test_a_branch_may_be_evaluated_by_episodes_where_its_trunk_was_by_steps(tmp_path: Path):
    trunk, folder = tmp_path / "trunk", tmp_path / "branch"
    quietly(*TINY, "--eval-steps", "50", "--steps", "200", "--run-dir", str(trunk))
    said = ("--branch-from", f"{trunk}@200", "--eval-episodes", "3", "--steps", "220")
    quietly(*said, "--run-dir", str(folder))
    config = read_json(folder / "config.json")
    assert (config["run"]["eval_episodes"], config["run"]["eval_steps"]) == (3, None)
    assert len(read_lines(folder / "metrics.jsonl")[-1]["returns"]) == 3
    quietly(*shlex.split(config["repeat"])[2:], "--run-dir", str(tmp_path / "again"))
    assert differences(folder, tmp_path / "again") == []


def test_events_before_the_branch_point_are_named(trunk: Path, tmp_path: Path):
    words = ("--branch-from", f"{trunk}@200", "--reinit", "reset", "--reinit-at")
    said = quietly(*words, "100", "200", "300", "--run-dir", str(tmp_path / "one"))
    assert "warning: --reinit-at 100 has no effect: the branch begins at step 200\n" in said
    assert [step for step, _ in events_of(tmp_path / "one")] == [200, 300]
    assert "has no effect" not in quietly(*words, "200", "--run-dir", str(tmp_path / "other"))


def events_of(run: Path) -> list[tuple[int, int]]:
    """Return the steps and updates of its events."""
    lines = [line for line in read_lines(run / "metrics.jsonl") if line["kind"] == "event"]
    return [(line["environment_steps"], line["updates"]) for line in lines]


def test_a_period_counts_from_the_branch_s_event_and_a_resumed_branch_counts_on(trunk: Path, tmp_path: Path):
    """The trunk made 30 updates until step 200. Multiples of 61 from its beginning would be 61, 122, 183."""
    words = ("--branch-from", f"{trunk}@200", "--reinit", "reset", "--reinit-every", "61", "--replay-ratio", "2")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    quietly(*words, "--run-dir", str(whole))
    begun = read_checkpoint(trunk, 200).values.progress.updates
    assert read_json(whole / "config.json")["run"]["reinit_from"] == begun
    assert begun % 61, "otherwise the test shows nothing"
    assert events_of(whole)[0] == (200, begun)
    assert [updates for _, updates in events_of(whole)] == [begun + 61 * number for number in range(4)]
    quietly(*words, "--steps", "310", "--run-dir", str(parts))
    quietly("--resume", str(parts), "--steps", "400")
    assert differences(whole, parts) == []


def test_a_branch_of_an_earlier_version_keeps_its_period(trunk: Path, tmp_path: Path):
    """Its config has no number to count from, so it counts multiples from the beginning of the trunk."""
    folder = tmp_path / "branch"
    words = ("--branch-from", f"{trunk}@200", "--reinit", "reset", "--reinit-every", "61", "--reinit-from", "0")
    quietly(*words, "--steps", "240", "--run-dir", str(folder))
    for path in (folder / "config.json", *folder.glob("checkpoints/*/manifest.json")):
        values = read_json(path)
        settings = values["run"] if path.name == "config.json" else values["made_with"]["settings"]["run"]
        assert settings.pop("reinit_from") == 0
        if path.name == "config.json":
            write_json(path, values)
        else:
            manifest = msgspec.convert({key: value for key, value in values.items() if key != "checksum"}, Manifest)
            write_manifest(path.parent, manifest)
    quietly("--resume", str(folder), "--steps", "400")
    begun = read_checkpoint(trunk, 200).values.progress.updates
    last = read_checkpoint(folder, 400).values.progress.updates
    assert [updates for _, updates in events_of(folder)] == [begun, *range(61 * (begun // 61 + 1), last + 1, 61)]


def test_a_full_reset_restores_the_initial_values(trunk: Path, tmp_path: Path):
    folder = tmp_path / "branch"
    arguments = ("--branch-from", f"{trunk}@200", "--reinit", "reset", "--steps", "202", "--replay-ratio", "0.001")
    quietly(*arguments, "--run-dir", str(folder))
    first = read_checkpoint(trunk, 200).learner
    then = read_checkpoint(folder, steps_of(folder)[-1]).learner
    for name, value in then.items():
        if name.startswith("initial."):
            assert torch.equal(value, first[name])
            assert torch.equal(then[name.removeprefix("initial.")], value)
        if name.startswith("optimizer."):
            assert not value.any()
    assert torch.equal(then["target_critic.value.weight"], then["critic.value.weight"])
    assert then["log_temperature"].exp().item() == pytest.approx(0.01)
    assert then["statistics.count"] > 100, "statistics are kept"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--reinit", "fire", "--branch-from", "{trunk}@210"], "there are: 200, 360, 400"),
        (["--reinit", "fire", "--branch-from", "{trunk}x@200"], "is not a run"),
        (["--reinit", "fire", "--branch-from", "{trunk}@abc"], "RUN@STEP"),
        (["--branch-from", "{trunk}@200", "--seed", "9"], "keeps its trunk's"),
        (["--branch-from", "{trunk}@200", "--critic-width", "9"], "keeps its trunk's"),
        (["--branch-from", "{trunk}@400", "--reinit", "fire"], "give a longer --steps"),
        (["--branch-from", "{trunk}@200", "--preset", "quick"], "--preset cannot be given with --resume"),
        (["--resume", "{trunk}", "--run-dir", "x"], "stays in its folder"),
        (["--run-dir", "{trunk}/config.json"], "is a file"),
        (["--resume", "{trunk}", "--seed", "9"], "keeps its settings except --steps"),
        (["--resume", "{trunk}", "--steps", "100"], "already at step 400"),
        (["--resume", "{trunk}x"], "is not a run"),
        (["--run-dir", "{trunk}"], "--resume"),
    ],
)
def test_an_impossible_branch_is_refused_in_one_line_and_leaves_nothing(
    trunk: Path, arguments: list[str], complaint: str
):
    there = sorted(path.name for path in trunk.parent.iterdir())
    with pytest.raises(ValueError, match=complaint) as caught:
        train([argument.format(trunk=trunk) for argument in arguments])
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in trunk.parent.iterdir()) == there
    assert folder_of(trunk, 200).exists()

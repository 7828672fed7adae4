"""What a run has written is not lost, whatever is deleted or edited, and code that only files name is not imported."""

import json
import os
import shutil
import subprocess
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.differences import differences
from fire_rl.commands import slim as slim_script
from fire_rl.training import learners, load_policy
from fire_rl.training.checkpoint import folder_of, steps_of
from fire_rl.training.durable import DurableStore
from fire_rl.training.files import claimed, read_json, write_json
from fire_rl.training.lines import read_lines
from tests.fixtures import faulty_runs
from tests.fixtures.faulty_runs import METHODS, ROOT, TINY, diverged, train

whole = faulty_runs.whole
copy = faulty_runs.copy
pytestmark = pytest.mark.usefixtures("unrendered_module")


def test_deleted_checkpoints_are_no_reason_to_train_again_from_the_start(copy: Path):
    shutil.rmtree(copy / "checkpoints")
    shutil.rmtree(copy / "replay")
    metrics = (copy / "metrics.jsonl").read_bytes()
    said = train("--resume", str(copy), code=2)
    assert "has metrics up to step 400 but no checkpoint any more" in said
    assert "--restart True" in said
    assert (copy / "metrics.jsonl").read_bytes() == metrics


def test_a_finished_run_with_a_whole_checkpoint_is_not_trained_again(copy: Path):
    metrics = (copy / "metrics.jsonl").read_bytes()
    said = train("--resume", str(copy), "--restart", "True")
    assert "finished already, at step 400" in said
    assert "warning: --restart has no effect" in said
    assert (copy / "metrics.jsonl").read_bytes() == metrics


def test_a_finished_run_without_a_whole_checkpoint_is_trained_again_only_if_asked_for(whole: Path, copy: Path):
    for step in steps_of(copy):
        (folder_of(copy, step) / "agent.safetensors").write_bytes(b"")
    said = train("--resume", str(copy))
    assert "none of its checkpoints is whole; --restart True trains it again" in said
    assert "a larger --steps" not in said
    train("--resume", str(copy), "--restart", "True")
    assert differences(whole, copy) == []


def test_a_finished_run_is_slimmed_only_if_its_newest_checkpoint_is_whole(copy: Path):
    steps, settings = steps_of(copy), read_json(copy / "config.json")
    write_json(copy / "config.json", settings | {"run": settings["run"] | {"keep_replay": False}})
    newest = folder_of(copy, steps[-1]) / "agent.safetensors"
    content = newest.read_bytes()
    newest.write_bytes(content[:-1])
    train("--resume", str(copy))
    assert steps_of(copy) == steps
    newest.write_bytes(content)
    assert "it was slimmed" in train("--resume", str(copy))
    assert steps_of(copy) == steps[-1:]


def test_pictures_of_a_finished_run_are_drawn_if_they_are_missing_or_old(copy: Path, monkeypatch: pytest.MonkeyPatch):
    drawn: list[str] = []
    for name in ("draw_curve", "draw_measures"):
        monkeypatch.setattr(f"fire_rl.training.reporter.{name}", lambda *_, name=name: drawn.append(name))
    (copy / "measures.png").touch()  # so short a run has none
    train("--resume", str(copy))
    assert drawn == []
    (copy / "curve.png").unlink()
    train("--resume", str(copy))
    assert drawn == ["draw_curve"]
    (copy / "curve.png").touch()
    os.utime(copy / "measures.png", (0, 0))
    train("--resume", str(copy))
    assert drawn == ["draw_curve", "draw_measures"]


def test_a_restart_that_is_asked_for_trains_again_from_the_start(whole: Path, copy: Path):
    shutil.rmtree(copy / "checkpoints")
    assert "begins again at step 0" in train("--resume", str(copy), "--restart", "True")
    assert differences(whole, copy) == []


def test_an_evaluation_before_two_events_of_one_decision_is_not_repeated_on_resuming(tmp_path: Path):
    """Update 40 belongs to the decision that ends at step 200, where a second event and a checkpoint are."""
    folder, parts = tmp_path / "whole", tmp_path / "parts"
    schedule = ["--reinit", "fire", "--reinit-every", "20", "--reinit-at", "200", "--checkpoint-at", "200"]
    train(*TINY, *schedule, "--run-dir", str(folder))
    events = [line for line in read_lines(folder / "metrics.jsonl") if line["kind"] == "event"]
    assert [(event["environment_steps"], event["updates"]) for event in events[:3]] == [(119, 20), (199, 40), (200, 40)]
    shutil.copytree(folder, parts)
    for step in [step for step in steps_of(parts) if step > 200]:
        shutil.rmtree(folder_of(parts, step))
    train("--resume", str(parts))
    assert differences(folder, parts) == []


def test_a_metrics_file_cut_in_the_middle_of_a_line_is_continued(copy: Path):
    path = copy / "metrics.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\n", len(content) // 3) - 7])
    whole_lines = path.read_bytes().count(b"\n")
    said = train("--resume", str(copy), "--steps", "420")
    assert "metrics.jsonl has" in said
    assert "bytes that it had at the checkpoint" in said
    lines = path.read_bytes().splitlines()
    assert len(lines) == len(read_lines(path)) > whole_lines, "each line is whole"


def test_a_deleted_metrics_file_is_reported_as_missing(copy: Path):
    (copy / "metrics.jsonl").unlink()
    for events in copy.glob("events.*"):
        events.unlink()
    said = train("--resume", str(copy))
    assert "metrics.jsonl is missing" in said
    assert "events.out.tfevents" in said


def test_a_branch_of_a_trunk_without_its_history_says_so(copy: Path, tmp_path: Path):
    (copy / "metrics.jsonl").unlink()
    for events in copy.glob("events.*"):
        events.unlink()
    said = train("--branch-from", f"{copy}@330", "--reinit", "none", "--run-dir", str(tmp_path / "branch"))
    assert "the trunk's history is incomplete" in said


def test_a_branch_that_does_not_fit_leaves_nothing(copy: Path, tmp_path: Path):
    settings = read_json(copy / "config.json")
    write_json(copy / "config.json", settings | {"agent": settings["agent"] | {"critic_width": 9}})
    said = train("--branch-from", f"{copy}@330", "--reinit", "none", "--run-dir", str(tmp_path / "a" / "b"), code=2)
    assert "says --critic-width 9, but the checkpoint at step 330 was made with 8" in said
    assert not (tmp_path / "a").exists()


def test_hard_links_of_a_copied_run_keep_their_own_history(whole: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-al", str(whole), str(copy)], check=True)
    metrics = (whole / "metrics.jsonl").read_bytes()
    train("--resume", str(copy), "--steps", "450")
    assert (whole / "metrics.jsonl").read_bytes() == metrics


def test_a_refused_folder_is_left_as_it_was(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("precious")
    assert "is not empty" in train(*TINY, "--run-dir", str(tmp_path), code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_diverged_run_without_a_checkpoint_is_not_begun_again_unasked(tmp_path: Path):
    folder = tmp_path / "run"
    diverged(folder, *TINY, "--learning-rate", "1e30", "--checkpoint-every", "1000")
    metrics = (folder / "metrics.jsonl").read_bytes()
    assert "diverged before its first checkpoint" in train("--resume", str(folder), code=2)
    assert (folder / "metrics.jsonl").read_bytes() == metrics
    train(str(folder), code=1, body=slim_script.body)  # it has no policy that could be kept


def test_a_folder_is_locked_before_it_is_looked_at(tmp_path: Path):
    folder = tmp_path / "run"
    with claimed(folder):
        assert "in use by another process" in train(*TINY, "--run-dir", str(folder), code=2)
    assert not folder.exists(), "nothing was written"


def test_a_slimmed_run_keeps_its_policy_and_its_records(copy: Path):
    metrics, actions = (copy / "metrics.jsonl").read_bytes(), load_policy(copy).act(torch.zeros(3).numpy())
    assert "MB freed" in train(str(copy), body=slim_script.body)
    assert not list((copy / "replay").iterdir())
    assert steps_of(copy) == [400]
    assert (copy / "metrics.jsonl").read_bytes() == metrics
    assert (load_policy(copy).act(torch.zeros(3).numpy()) == actions).all()
    assert "was slimmed" in train("--resume", str(copy), "--steps", "500", code=2)
    assert train("--resume", str(copy)).startswith(f"{copy}: finished already, at step 400; it was slimmed")
    assert "was slimmed" in train("--branch-from", f"{copy}@400", "--reinit", "fire", "--steps", "500", code=2)
    assert (copy / "metrics.jsonl").read_bytes() == metrics


def test_a_finished_run_is_slimmed_where_that_is_asked_for(copy: Path):
    said = train("--resume", str(copy), "--keep-replay", "False")
    assert said == f"{copy}: finished already, at step 400; it was slimmed and cannot be continued\n"
    assert not list((copy / "replay").iterdir())


def test_a_run_can_be_slimmed_as_soon_as_it_has_finished(tmp_path: Path):
    folder = tmp_path / "run"
    said = train(*TINY, "--keep-replay", "False", "--checkpoint-at", "100", "--run-dir", str(folder))
    assert "freed" in said
    assert steps_of(folder) == [100, 400], "the newest one, and the requested one"
    assert not list((folder / "replay").iterdir())
    assert load_policy(folder, 100).step == 100


def test_the_policy_that_is_kept_is_a_complete_one(copy: Path):
    (folder_of(copy, 400) / "agent.safetensors").write_bytes(b"")
    train(str(copy), body=slim_script.body)
    assert steps_of(copy) == [330]
    assert load_policy(copy).step == 330


@pytest.mark.parametrize(
    ("group", "name", "value"), [("run", "seed", 9), ("run", "replay_ratio", 1.0), ("agent", "learning_rate", 0.5)]
)
def test_a_run_whose_settings_were_edited_is_refused(copy: Path, group: str, name: str, value: float):
    settings = read_json(copy / "config.json")
    write_json(copy / "config.json", settings | {group: settings[group] | {name: value}})
    said = train("--resume", str(copy), "--steps", "420", code=2)
    assert f"says --{name.replace('_', '-')} {value}, but the checkpoint at step 400 was made with" in said


@pytest.mark.parametrize("name", ["num_envs", "action_repeat"])
def test_counts_that_no_run_has_are_refused_in_one_line(copy: Path, tmp_path: Path, name: str):
    settings = read_json(copy / "config.json")
    write_json(copy / "config.json", settings | {"run": settings["run"] | {name: 0}})
    for words in (["--resume", str(copy)], ["--branch-from", f"{copy}@330", "--run-dir", str(tmp_path / "branch")]):
        said = train(*words, code=2)
        assert f"config.json: --{name.replace('_', '-')} 0 in the run's config; allowed is a number above 0" in said
    assert not (tmp_path / "branch").exists()


def test_a_count_that_is_too_large_is_refused_with_its_upper_bound(copy: Path):
    settings = read_json(copy / "config.json")
    write_json(copy / "config.json", settings | {"run": settings["run"] | {"steps": 2**60}})
    said = train("--resume", str(copy), code=2)
    assert "--steps 1152921504606846976 given; allowed are whole numbers up to 9,007,199,254,740,992 (2**53)" in said


def test_a_trunk_that_is_no_text_is_refused_before_training(copy: Path):
    write_json(copy / "config.json", read_json(copy / "config.json") | {"branch_from": 5})
    said = train("--resume", str(copy), "--steps", "420", code=2)
    assert "config.json: Expected `str | null`, got `int` - at `$.branch_from`" in said
    assert steps_of(copy)[-1] == 400


def test_device_and_threads_may_change_where_a_run_is_resumed(copy: Path):
    settings = read_json(copy / "config.json")
    write_json(copy / "config.json", settings | {"run": settings["run"] | {"device": "cuda:99"}})
    said = train("--resume", str(copy), "--steps", "420", code=2)
    assert "--device 'cuda:99' is not here: this machine has" in said
    said = train("--resume", str(copy), "--steps", "420", "--device", "auto", "--threads", "2")
    assert "continued with other versions or settings: " in said
    assert "threads 1, now 2; device cpu, now auto: the last bits may differ" in said
    assert (kept := read_json(copy / "config.json")["run"])["device"] == "auto"
    assert kept["threads"] == 2
    torch.set_num_threads(1)


def test_other_versions_and_threads_are_reported_and_recorded(copy: Path):
    settings = read_json(copy / "config.json")
    changed = settings | {"run": settings["run"] | {"threads": 2}, "processor": "another"}
    write_json(copy / "config.json", changed)
    said = train("--resume", str(copy), "--steps", "420")
    assert "threads 1, now 2" in said
    assert "config.json was edited since the checkpoint was made: processor" in said
    recorded = read_json(copy / "config.json")["continued"]
    assert recorded[0]["step"] == 400
    assert recorded[0]["machine"]["processor"] != "another"
    assert "was edited" not in train("--resume", str(copy), "--steps", "440"), "said once"
    torch.set_num_threads(1)


def test_code_that_only_a_run_s_files_name_is_not_imported(tmp_path: Path):
    folder, method = tmp_path / "run", f"{METHODS}:Halving"
    said = train(*TINY, "--reinit", method, "--reinit-at", "150", "--run-dir", str(folder))
    assert f"--resume {folder} --steps 800 --trust {folder}" in said
    for arguments in (["--resume", str(folder)], ["--branch-from", f"{folder}@330", "--reinit", "none"]):
        if arguments[0] == "--resume":
            assert f"add --trust {folder}" in train(*arguments, "--steps", "420", code=2)
    with pytest.raises(ValueError, match="not imported only because a file names it"):
        load_policy(folder)
    assert load_policy(folder, trust=True).step == 400
    train("--resume", str(folder), "--steps", "420", "--reinit", method)
    train("--resume", str(folder), "--steps", "440", "--trust", str(folder))
    assert "the run is" in train("--resume", str(folder), "--trust", str(tmp_path), code=2)


def test_an_environment_whose_class_is_in_another_file_is_not_imported_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, inner = tmp_path / "run", tmp_path / "inner_world.py"
    inner.write_text("from gymnasium.envs.classic_control import PendulumEnv\n\n\nclass Own(PendulumEnv):\n    pass\n")
    register = 'import gymnasium\n\ngymnasium.register("Own-v0", entry_point="inner_world:Own", max_episode_steps=50)\n'
    (tmp_path / "outer_world.py").write_text(register)
    monkeypatch.syspath_prepend(tmp_path)
    train(*TINY[2:], "--env", "outer_world:Own-v0", "--run-dir", str(folder))
    assert {path.name for path in (folder / "source").iterdir()} == {"inner_world.py", "outer_world.py"}
    inner.write_text(inner.read_text() + "\n")
    longer = ["--resume", str(folder), "--steps", "420", "--trust", str(folder)]
    assert f"{inner} has changed" in train(*longer, code=2)
    branch = ("--branch-from", f"{folder}@330", "--reinit", "fire", "--run-dir", str(tmp_path / "branch"))
    assert f"{inner} has changed" in train(*branch, "--trust", str(folder), code=2)
    assert not (tmp_path / "branch").exists()
    with pytest.raises(ValueError, match="has changed"):
        load_policy(folder, trust=True)


def test_code_beside_the_project_s_own_is_a_user_s_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, module = tmp_path / "run", ROOT / "fire_of_somebody.py"
    module.write_text((ROOT / "tests" / "fixtures" / "own_methods.py").read_text())
    try:
        train(*TINY, "--reinit", "fire_of_somebody:Halving", "--reinit-at", "150", "--run-dir", str(folder))
    finally:
        module.unlink()
    assert (folder / "source" / "fire_of_somebody.py").exists()


def test_a_run_whose_method_s_source_has_changed_is_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, module = tmp_path / "run", tmp_path / "wobbling.py"
    module.write_text((ROOT / "tests" / "fixtures" / "own_methods.py").read_text().replace("torch.nan", "0.1"))
    monkeypatch.syspath_prepend(tmp_path)
    train(*TINY, "--reinit", "wobbling:Spoiling", "--reinit-at", "150", "--run-dir", str(folder))
    assert (folder / "source" / "wobbling.py").read_text() == module.read_text()
    module.write_text(module.read_text().replace("0.1", "0.2"))
    said = train("--resume", str(folder), "--steps", "420", "--trust", str(folder), code=2)
    assert f"{module} has changed since {folder} was made with it" in said
    assert "change it back, or begin a new run" in said


def test_a_run_that_diverged_at_its_first_checkpoint_is_not_called_deleted(copy: Path):
    shutil.rmtree(copy / "checkpoints")
    lines = [line for line in read_lines(copy / "metrics.jsonl") if line["environment_steps"] < 110]
    end = lines[-1] | {"kind": "diverged", "environment_steps": 110, "quantity": "actor_loss", "value": "nan"}
    (copy / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (*lines, end)))
    assert "diverged before its first checkpoint" in train("--resume", str(copy), code=2)


def test_the_replay_of_a_damaged_checkpoint_is_gone_before_the_next_one_is_made(
    copy: Path, monkeypatch: pytest.MonkeyPatch
):
    made: list[weakref.ref[Any]] = []
    left: list[int] = []

    def build(config: Any) -> Any:
        left.append(sum(replay() is not None for replay in made))
        work: Any = learners.build(config)
        made.append(weakref.ref(work.replay))
        return work

    monkeypatch.setattr("fire_rl.training.session.build", build)
    max((copy / "replay").glob("*.safetensors")).write_bytes(b"damaged")
    assert "continuing at step 330" in train("--resume", str(copy), "--steps", "420")
    assert left == [0, 0]


def test_a_text_of_a_run_s_files_reaches_the_terminal_in_one_printable_line(copy: Path):
    settings = read_json(copy / "config.json")
    forged = {"torch": "1\x1b[2J\nRUN diverged"}
    write_json(copy / "config.json", settings | {"versions": settings["versions"] | forged})
    said = train("--resume", str(copy), "--steps", "420")
    assert r"was edited since the checkpoint was made: torch" in said
    assert "\x1b" not in said
    assert "\nRUN diverged" not in said


def test_only_the_run_s_own_half_written_files_are_deleted(copy: Path):
    segment = f"{0:012d}-{40:012d}-{'a' * 12}.safetensors"
    own = [".config.json.71.tmp", ".curve.png.71.tmp", f"replay/.{segment}.71.tmp", "source/.own.py.71.tmp"]
    others = [".notes.tmp", ".config.json.tmp", ".video-400.mp4.71.tmp", "checkpoints/.mine.tmp"]
    (copy / "source").mkdir()
    for name in (*own, *others):
        (copy / name).write_text("")
    (copy / "checkpoints" / f".{440:012d}.tmp").mkdir()
    train("--resume", str(copy), "--steps", "420")
    assert sorted(str(path.relative_to(copy)) for path in copy.rglob(".*")) == sorted(others)


def test_a_start_that_was_killed_is_not_begun_again_among_other_files(tmp_path: Path):
    for name in ("starting", ".notes.tmp"):
        (tmp_path / name).write_text("")
    assert "is not empty" in train(*TINY, "--run-dir", str(tmp_path), code=2)
    assert (tmp_path / ".notes.tmp").exists()


def test_a_branch_reads_its_trunk_s_replay_twice(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Once before anything is written, and once into memory."""
    read, real = Counter[str](), DurableStore.read

    def counted(store: DurableStore, name: str) -> bytearray:
        read[name] += 1
        return real(store, name)

    monkeypatch.setattr(DurableStore, "read", counted)
    train("--branch-from", f"{whole}@330", "--reinit", "none", "--run-dir", str(tmp_path / "branch"))
    assert set(read.values()) == {2}


def test_a_damaged_manifest_that_keeps_the_replay_from_being_deleted_is_reported_once(tmp_path: Path):
    folder = tmp_path / "run"
    train(*TINY, "--checkpoint-at", "100", "--run-dir", str(folder))
    (folder_of(folder, 100) / "manifest.json").write_text("{")
    said = train("--resume", str(folder), "--steps", "700")
    assert said.count("no file of") == 1
    assert "is deleted any more, because a checkpoint is damaged" in said

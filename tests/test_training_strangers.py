"""A run's folder may be forged: commands refuse its content in one line, or use the part that is whole."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.differences import differences
from tests.fixtures.forgery import NESTED, seal
from tests.fixtures.mutations import SPARSE
from tests.fixtures.slow import slow
from tests.fixtures.strangers import (
    MIDDLE,
    NEW,
    OUT,
    RUN,
    STEPS,
    Ending,
    command,
    make_place,
    make_runs,
    run_case,
    snapshot,
    violations_of,
)

NEWEST = f"checkpoints/{int(STEPS):012d}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def place(tmp_path: Path, runs: dict[str, Path]) -> Path:
    """A run that was killed just before its last evaluation, so that resuming it reads its checkpoint."""
    place = make_place(tmp_path, runs["dqn"])
    metrics = place / RUN / "metrics.jsonl"
    *before, last = metrics.read_text().splitlines(keepends=True)
    assert json.loads(last)["kind"] == "evaluation"
    metrics.write_text("".join(before))
    return place


def forge(place: Path, name: str, change: Callable[[Any], None]) -> None:
    """Change a JSON file of the run, and make the checksums match."""
    path, config = place / RUN / name, json.loads((place / RUN / "config.json").read_text())
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    seal(place / RUN, config)


def call(place: Path, script: str, *arguments: str) -> Ending:
    """Call a command. It must leave everything outside its own folders unchanged, and print only lines."""
    own = [place / name for name in (RUN, NEW, OUT)]
    root = place.parents[3]
    before = snapshot(root, own)
    ending = command(script, arguments, place, 300)
    assert violations_of(script, ending) == []
    assert snapshot(root, own) == before
    return ending


def resume(place: Path) -> Ending:
    return call(place, "train_dqn", "--resume", RUN)


def branch(place: Path) -> Ending:
    return call(
        place, "train_dqn", "--branch-from", f"{RUN}@{STEPS}", "--steps", "176", "--reinit", "reset", "--run-dir", NEW
    )


def require_damaged(place: Path, runs: dict[str, Path], name: str) -> None:
    """The newest checkpoint is damaged: one line names the file, the one before is used, and a branch is refused."""
    refused = branch(place)
    assert (refused.code, len(refused.errors.splitlines())) == (2, 1)
    assert name in refused.errors
    assert not (place / NEW).exists()
    policy = call(place, "load_policy", RUN)
    assert policy.code == 0
    assert f"checkpoint at step {STEPS} is damaged" in policy.errors
    resumed = resume(place)
    assert resumed.code == 0
    warnings = [line for line in resumed.errors.splitlines() if f"checkpoint at step {STEPS} is damaged" in line]
    assert len(warnings) == 1
    assert name in warnings[0]
    assert "at step 120" in resumed.output
    assert differences(runs["dqn"], place / RUN) == []


def require_refused(place: Path, name: str, *scripts: str) -> None:
    """Resuming and other scripts refuse it in one line that names the file, and nothing is changed."""
    before = {path: what for path, what in snapshot(place / RUN).items() if path != "lock"}
    endings = [resume(place), branch(place), *(call(place, script, RUN) for script in scripts)]
    for ending in endings:
        assert ending.code == 2
        assert name in ending.errors
    assert {path: what for path, what in snapshot(place / RUN).items() if path != "lock"} == before
    assert not (place / NEW).exists()


def test_sizes_of_files_outside_are_damage(place: Path, runs: dict[str, Path]):
    forge(place, f"{NEWEST}/state.json", lambda state: state["file_sizes"].update({"../../evaluate.py": 1}))
    require_damaged(place, runs, "evaluate.py")


@pytest.mark.parametrize(
    "name", ["../../../watch.py", slow("/etc/hostname"), slow("../elsewhere/a.safetensors"), slow("")]
)
def test_segments_outside_are_damage(place: Path, runs: dict[str, Path], name: str):
    forge(place, f"{NEWEST}/manifest.json", lambda manifest: manifest["segments"][0].update(file=name))
    require_damaged(place, runs, "manifest.json")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("work", "state.json"),
        slow("progress", "progress"),
        slow("manager", "manager"),
        slow("file_sizes", "file_sizes"),
    ],
)
def test_a_state_with_a_missing_key_is_damage(place: Path, runs: dict[str, Path], key: str, said: str):
    forge(place, f"{NEWEST}/state.json", lambda state: state.pop(key))
    require_damaged(place, runs, said)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ratio", {"ratio": "1e999999999"}),
        ("returns", [0.0]),
        *(slow("ratio", None), slow("replay_added", -1), slow("lengths", "x")),
    ],
)
def test_values_with_which_an_agent_cannot_continue_are_damage(
    place: Path, runs: dict[str, Path], key: str, value: object
):
    forge(place, f"{NEWEST}/state.json", lambda state: state["work"].update({key: value}))
    refused = branch(place)
    assert (refused.code, len(refused.errors.splitlines())) == (2, 1)
    assert not (place / NEW).exists()
    resumed = resume(place)
    assert resumed.code == 0
    assert f"checkpoint at step {STEPS} is damaged" in resumed.errors
    assert "at step 120" in resumed.output
    assert differences(runs["dqn"], place / RUN) == []


@pytest.mark.parametrize("key", ["files", slow("checksum")])
def test_a_manifest_with_a_missing_key_is_damage(place: Path, runs: dict[str, Path], key: str):
    forge(place, f"{NEWEST}/manifest.json", lambda manifest: manifest.pop(key))
    require_damaged(place, runs, "manifest.json")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, SPARSE)


def nested(path: Path) -> None:
    path.write_text(NESTED)


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"q.encoder.weight": [1.0]}))


def folder(path: Path) -> None:
    path.mkdir()


KINDS = (fifo, link_to_zeros, sparse, nested, pickled, folder)
SOME_KINDS = [kind if kind in (fifo, nested) else slow(kind) for kind in KINDS]


def replace_file(place: Path, name: str, kind: Callable[[Path], None]) -> None:
    config = json.loads((place / RUN / "config.json").read_text())
    (place / RUN / name).unlink()
    kind(place / RUN / name)
    seal(place / RUN, config)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("manifest.json", fifo),
        ("agent.safetensors", pickled),
        *(slow("agent.safetensors", link_to_zeros), slow("state.json", sparse), slow("state.json", nested)),
        slow("state.safetensors", folder),
    ],
)
def test_a_file_of_a_checkpoint_that_is_something_else_is_damage(
    place: Path, runs: dict[str, Path], name: str, kind: Callable[[Path], None]
):
    replace_file(place, f"{NEWEST}/{name}", kind)
    require_damaged(place, runs, name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["manifest.json", "state.json", "agent.safetensors", "state.safetensors"])
def test_any_file_of_a_checkpoint_that_is_anything_else_is_damage(
    place: Path, runs: dict[str, Path], name: str, kind: Callable[[Path], None]
):
    replace_file(place, f"{NEWEST}/{name}", kind)
    require_damaged(place, runs, name)


@pytest.mark.parametrize("kind", SOME_KINDS)
def test_a_config_that_is_something_else_is_refused(place: Path, kind: Callable[[Path], None]):
    replace_file(place, "config.json", kind)
    require_refused(place, "config.json", "evaluate", "load_policy")


@pytest.mark.parametrize("kind", SOME_KINDS)
def test_metrics_that_are_something_else_are_refused_or_cut_back(place: Path, kind: Callable[[Path], None]):
    replace_file(place, "metrics.jsonl", kind)
    assert resume(place).code in (0, 2)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("replay", "elsewhere"),
        ("checkpoints", "elsewhere"),
        ("metrics.jsonl", "victim.txt"),
        ("config.json", "victim.txt"),
        ("lock", "not-there"),
    ],
)
def test_links_among_a_run_s_own_files_are_refused(place: Path, name: str, target: str):
    path = place / RUN / name
    if path.is_dir():
        path.rename(path.with_name(f"was-{name}"))
    path.unlink(missing_ok=True)
    path.symlink_to(place / target)
    ending = resume(place)
    assert ending.code == 2
    assert "symbolic link" in ending.errors
    assert name in ending.errors


def test_a_folder_that_works_as_before_but_is_elsewhere_is_refused(place: Path):
    (place / RUN / "replay").rename(place / "elsewhere" / "replay")
    (place / RUN / "replay").symlink_to(place / "elsewhere" / "replay")
    ending = resume(place)
    assert ending.code == 2
    assert "symbolic link" in ending.errors


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("env", "runs.evil.payload:X-v0"),
        slow("env", "some.payload:X-v0"),
        slow("reinit", "runs.evil.payload:X"),
        ("reinit", "some.payload:X"),
        ("regularize", ["some.payload:X"]),
    ],
)
def test_code_that_a_run_names_is_imported_only_where_it_is_trusted(place: Path, key: str, value: object):
    forge(place, "config.json", lambda config: config["run"].update({key: value}))
    endings = [resume(place), branch(place)] if key != "reinit" else [resume(place)]
    if key == "env":
        endings += [call(place, "evaluate", RUN, "--episodes", "1"), call(place, "load_policy", RUN)]
    for ending in endings:
        assert ending.code == 2
        assert "--trust" in ending.errors
    root = place.parents[3]
    assert not (root / "imported").exists()
    command("train_dqn", ["--resume", RUN, "--trust", RUN], place)
    assert (root / "imported").exists(), "otherwise it would be the one that is imported"


@pytest.mark.parametrize("first", [0, *map(slow, (10, 20, 30))])
def test_every_mutation_leads_to_one_line_at_most(runs: dict[str, Path], tmp_path: Path, first: int):
    tried = {agent: run for agent, run in runs.items() if (agent == "sac") == (first == 0)}
    require_no_violations(tried, tmp_path, range(first, first + 10))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("first", range(1_000, 2_000, 50))
def test_every_mutation_of_a_thousand_leads_to_one_line_at_most(runs: dict[str, Path], tmp_path: Path, first: int):
    require_no_violations(runs, tmp_path, range(first, first + 50))


def require_no_violations(runs: dict[str, Path], folder: Path, seeds: range) -> None:
    cases = [run_case(seed, runs, folder / str(seed)) for seed in seeds]
    assert [(case.seed, case.mutations, case.violations) for case in cases if case.violations] == []


def test_a_branch_of_a_whole_run_is_made(place: Path):
    ending = call(
        place, "train_dqn", "--branch-from", f"{RUN}@{MIDDLE}", "--reinit", "reset", "--run-dir", NEW, "--steps", "120"
    )
    assert ending.code == 0, "otherwise the tests above would show nothing"
    assert call(place, "compare", "--report-only", "runs", "--dir", OUT).code == 0

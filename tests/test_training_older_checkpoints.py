"""Checkpoints of versions whose driver knew only agents are read as they were meant, or refused."""

import hashlib
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from benchmarks.differences import differences
from fire_rl.commands.train import train_sac
from fire_rl.fire import Position
from fire_rl.replay.store import Damaged
from fire_rl.training.agent_run import AgentRun
from fire_rl.training.checkpoint import (
    Checkpoint,
    Values,
    folder_of,
    read_checkpoint,
    read_manifest,
    steps_of,
    write_checkpoint,
    write_manifest,
)
from fire_rl.training.driver import Driver
from fire_rl.training.learners import read_config
from fire_rl.training.progress import Progress
from fire_rl.training.reinforcement import Reinforcement
from fire_rl.training.restoring import restore
from tests.fixtures import calling

quietly = partial(calling.quietly, train_sac)

pytestmark = pytest.mark.usefixtures("unrendered_module")
TINY = [
    *("--env", "Pendulum-v1", "--action-repeat", "1", "--steps", "300", "--num-envs", "2", "--learning-starts", "40"),
    *("--critic-width", "8", "--actor-width", "8", "--batch-size", "16", "--eval-every", "300", "--eval-episodes", "1"),
    *("--log-every", "70", "--checkpoint-every", "100", "--replay-ratio", "adaptive", "--measure-every", "20"),
    *("--reinit", "fire", "--reinit-at", "150", "--threads", "1", "--device", "cpu"),
]

# The state that such a version wrote: DQN with injection, an adaptive ratio, an interrupted evaluation.
BEFORE: dict[str, Any] = {
    "progress": {
        "decisions": 200, "updates": 160, "episodes": 16, "environment_steps": 200,
        "handled": {"updates": 158, "environment_steps": 198}, "measured": 150, "seconds": 19.75329174000035,
        "returns": [5.0, 7.0], "lengths": [5, 7], "last_evaluation": 8.0, "owes": "scheduled",
    },
    "ratio": {
        "ratio": "1/2", "transitions": 160, "updates": 80,
        "adaptive": {
            "rule": "1/2, 2, 0.001, 250, 250", "raised": False, "observations": 1, "sum": 0.50054931640625,
            "last": 0.50054931640625,
        },
    },
    "manager": {
        "event_count": 2, "latest": {"injection": {"updates": 110, "environment_steps": 150}},
        "structure": [{"method": "injection", "network": "q"}, {"method": "injection", "network": "q"}],
    },
    "summed_updates": 100,
    "replay_added": 200,
    "file_sizes": {"metrics.jsonl": 10098, "tensorboard/events.out.tfevents.1795689474.vm.21027.0": 14189},
}  # fmt: skip
MEANT = Values(
    progress=Progress(
        updates=160, handled_updates=158, handled_steps=198, measured=150, summed_updates=100,
        seconds=19.75329174000035, last_evaluation=8.0, owes="scheduled",
    ),
    work={
        "steps": 200, "decisions": 200, "episodes": 16, "returns": [5.0, 7.0], "lengths": [5, 7],
        "ratio": BEFORE["ratio"], "replay_added": 200,
    },
    manager=BEFORE["manager"],
    file_sizes=BEFORE["file_sizes"],
)  # fmt: skip


def replace_state(run: Path, step: int, state: object) -> None:
    """Replace `state.json`, with checksums that match."""
    content, manifest = json.dumps(state, indent=1).encode(), read_manifest(run, step)
    (folder_of(run, step) / "state.json").write_bytes(content)
    files = manifest.files | {"state.json": hashlib.sha256(content).hexdigest()}
    write_manifest(folder_of(run, step), msgspec.structs.replace(manifest, files=files))


def as_before(state: dict[str, Any]) -> dict[str, Any]:
    """Return what an earlier version would have written as a checkpoint's `state.json`."""
    progress, work = state["progress"], state["work"]
    names = ("measured", "seconds", "last_evaluation", "owes", "updates")
    before = {name: progress[name] for name in names}
    before |= {name: work[name] for name in ("decisions", "episodes", "returns", "lengths")}
    before["environment_steps"] = work["steps"]
    before["handled"] = {"updates": progress["handled_updates"], "environment_steps": progress["handled_steps"]}
    kept = {name: state[name] for name in ("manager", "file_sizes")}
    others = {"summed_updates": progress["summed_updates"], "ratio": work["ratio"]}
    return {"progress": before, "replay_added": work["replay_added"], **others, **kept}


def state_of(run: Path, step: int) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((folder_of(run, step) / "state.json").read_text())
    return state


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    quietly(*TINY, "--run-dir", str(folder))
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Write a checkpoint that holds hardly more than values."""
    write_checkpoint(tmp_path, 200, Checkpoint({"weight": torch.zeros(1)}, {}, MEANT, ()))
    return tmp_path


def test_a_state_has_these_keys(run: Path):
    state = state_of(run, 300)
    assert list(state) == ["progress", "work", "manager", "file_sizes"]
    assert list(state["progress"]) == [
        *("updates", "handled_updates", "handled_steps", "measured", "summed_updates", "seconds"),
        *("last_evaluation", "owes", "looked_before"),
    ]
    assert list(state["work"]) == [
        *("steps", "decisions", "episodes", "returns", "lengths", "ratio", "replay_added", "spaces")
    ]


def test_a_state_of_an_earlier_version_is_read_with_the_values_that_it_means(bare: Path):
    assert read_checkpoint(bare, 200).values == MEANT
    replace_state(bare, 200, BEFORE)
    values = read_checkpoint(bare, 200).values
    assert values == MEANT
    assert values.progress.handled == Position(158, 198)


def test_a_new_state_of_an_earlier_version_has_passed_no_boundary(bare: Path):
    handled = {"updates": 0, "environment_steps": -1}
    replace_state(bare, 200, BEFORE | {"progress": BEFORE["progress"] | {"handled": handled}})
    assert read_checkpoint(bare, 200).values.progress.handled == Position(0, -1)


def test_a_run_of_an_earlier_version_continues_like_one_of_this_version(run: Path, tmp_path: Path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "lock").unlink()
    assert steps_of(copy) == [200, 300]
    shutil.rmtree(folder_of(copy, 300))
    state = state_of(copy, 200)
    assert state["manager"]["event_count"] == 1
    assert "adaptive" in state["work"]["ratio"]
    replace_state(copy, 200, as_before(state))
    assert "continuing at step 200" in quietly("--resume", str(copy))
    assert differences(run, copy) == []


# Forged entries: the place in the state, and the value there

GONE = "(gone)"
SAID_WHEN_READ: list[tuple[str, Any]] = [
    ("progress", GONE),
    ("progress", []),
    ("progress", {}),
    ("progress handled", GONE),
    ("progress handled", 5),
    ("progress handled", {}),
    *(("progress handled updates", value) for value in (-1, "1")),
    *(("progress handled environment_steps", value) for value in (-2, None)),
    *(("progress updates", value) for value in (-1, 2**60)),
    *(("progress measured", value) for value in (-1, 0.5)),
    *(("progress environment_steps", value) for value in (GONE, 198, "200")),
    ("progress seconds", "x"),
    ("progress last_evaluation", "x"),
    ("progress owes", 5),
    *(("summed_updates", value) for value in (GONE, -1)),
    ("manager", GONE),
    ("file_sizes", GONE),
    ("file_sizes metrics.jsonl", GONE),
    ("file_sizes ../elsewhere", 1),
]
SAID_WHEN_PUT_IN: list[tuple[str, Any]] = [
    *(("progress decisions", value) for value in (-1, "x")),
    ("progress episodes", None),
    *(("progress returns", value) for value in ("x", [0.0])),
    *(("progress lengths", value) for value in ([-1, 0], [1, 2, 3])),
    *(("replay_added", value) for value in (GONE, -1)),
    ("ratio", GONE),
    ("ratio transitions", GONE),
    *(("ratio ratio", value) for value in ("1e999999999", "1/0")),
    ("ratio", {"ratio": "1/2", "transitions": -2, "updates": -1}),
    *(("ratio adaptive " + name, "x") for name in ("raised", "sum")),
    ("manager latest", GONE),
]


def mangled(state: dict[str, Any], where: str, value: object) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(state))
    *outer, key = where.split()
    inside = copy
    for name in outer:
        inside = inside[name]
    inside[key] = value
    if value == GONE:
        del inside[key]
    return copy


@pytest.mark.parametrize(("where", "value"), SAID_WHEN_READ)
def test_a_forged_state_of_an_earlier_version_is_damage(bare: Path, where: str, value: object):
    replace_state(bare, 200, mangled(BEFORE, where, value))
    with pytest.raises(Damaged, match=r"state\.json") as caught:
        read_checkpoint(bare, 200)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def driver(run: Path) -> Driver:
    config = read_config(run)
    assert isinstance(config, AgentRun)
    return Driver(run, config, Reinforcement(config))


@pytest.mark.parametrize(("where", "value"), [*SAID_WHEN_READ, *SAID_WHEN_PUT_IN])
def test_a_run_is_not_resumed_from_a_forged_state_of_an_earlier_version(
    run: Path, tmp_path: Path, driver: Driver, where: str, value: object
):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    before = (copy / "metrics.jsonl").read_bytes()
    replace_state(copy, 200, mangled(as_before(state_of(run, 200)), where, value))
    driver.folder = copy
    with pytest.raises(Damaged) as caught:
        restore(copy, 200, driver)
    assert "\n" not in str(caught.value)
    assert (copy / "metrics.jsonl").read_bytes() == before, "no file is cut"

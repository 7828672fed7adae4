"""Where the runs of a comparison are carried out, and the table that shows them."""

import io
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fire_rl.experiments.comparison import warn_of_shared_gpus
from fire_rl.experiments.failure import Failure, log_path
from fire_rl.experiments.sweep.conduct import conduct, look
from fire_rl.experiments.sweep.estimate import gpu_memory_of_a_run
from fire_rl.experiments.sweep.grid import Job
from fire_rl.experiments.sweep.local import (
    LocalPool,
    default_slots,
    free_on_gpus,
    usable_gpus,
    warning_of_shared_gpus,
)
from fire_rl.experiments.sweep.states import Standing, standing_of
from fire_rl.experiments.sweep.table import LiveTable, short, table_of
from fire_rl.remote import share_of_a_gpu
from fire_rl.training.made_with import machine
from fire_rl.training.reinforcement_settings import RunSettings
from fire_rl.training.work import Weight
from tests.fixtures import conducted
from tests.fixtures.conducted import Order, job, trunk_and_branches

folder = conducted.folder


def test_each_slot_has_a_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-abc")
    jobs = [job(folder, f"r{index}", steps=30) for index in range(2)]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    conduct(look(jobs, retry=False), LocalPool(slots=2, gpus=usable_gpus(())))
    logs = [log_path(job.folder).read_text() for job in jobs]
    assert sorted(log.partition("threads ")[2].split()[0] for log in logs) == ["4", "GPU-abc"]


def test_the_table_shows_what_needs_attention_first(folder: Path):
    from rich.console import Console

    jobs = trunk_and_branches(folder)
    sweep = look(jobs, retry=False)
    sweep.failed[jobs[3].folder] = Failure(1, ("[red]oops",))
    sweep.running.add(jobs[0].folder)
    console = Console(width=100, record=True, file=io.StringIO())
    states = {job.name: sweep.state(job) for job in jobs}
    standings = {job.name: standing_of(job) for job in jobs}
    console.print(table_of(sweep, states, standings, lambda job: None, "3 left", 4))
    lines = console.export_text().splitlines()
    assert "failed" in lines[1]
    assert "exit code 1" in lines[1]
    assert "running" in lines[2]
    assert any("and 2 more" in line for line in lines)
    assert "3 left" in lines[-1]


def test_without_a_terminal_changes_are_printed_as_lines(folder: Path, capsys: pytest.CaptureFixture[str]):
    conduct(look(trunk_and_branches(folder), False), Order(slots=1, codes={"b0x": 1}), LiveTable())
    lines = capsys.readouterr().err.splitlines()
    assert lines.index("trunk0: running") < lines.index("trunk0: finished") < lines.index("b0x: failed (exit code 1)")
    assert len(lines) == len(set(lines))


def test_the_speed_of_all_runs_together_is_shown(folder: Path, monkeypatch: pytest.MonkeyPatch):
    said: list[str] = []
    monkeypatch.setattr(LiveTable, "_say", lambda table, sweep, states, summary: said.append(summary))
    monkeypatch.setattr("fire_rl.experiments.sweep.table.standing_of", lambda job: Standing(20, 600.4))
    sweep = look([job(folder, f"r{index}", steps=30) for index in range(4)], retry=False)
    sweep.running.update(job.folder for job in sweep.jobs[:2])
    LiveTable()(sweep)
    assert said == ["0 of 4 runs finished, 2 running, 2 waiting; 1,201 updates/s in all"]


def test_numbers_of_steps_are_abbreviated():
    counts = (999, 1_000, 12_432, 999_499, 999_999, 1_250_000)
    assert [short(count) for count in counts] == ["999", "1k", "12.4k", "999k", "1M", "1.25M"]


class Pretended:
    """Runs that do not end. It records which GPUs they would see."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
        self.seen: list[str | None] = []
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
        monkeypatch.setattr("fire_rl.experiments.sweep.child.start", self.start)

    def start(self, job: Job, environment: dict[str, str]) -> object:
        self.seen.append(environment.get("CUDA_VISIBLE_DEVICES"))
        return object()


@pytest.mark.parametrize(
    ("device", "runs_per_gpu", "expected"),
    [
        (None, None, ["0", "1"]),
        ("cuda", None, ["0", "1"]),
        ("cuda:1", None, [None]),  # the run finds this GPU by itself, and there is one run on it
        ("cuda:1", 3, [None] * 3),
        ("auto", 2, ["0", "1", "0", "1"]),
    ],
)
def test_runs_are_spread_over_the_gpus_they_use(
    device: str | None, runs_per_gpu: int | None, expected: list[str | None], tmp_path: Path, monkeypatch
):
    pretended = Pretended(monkeypatch, gpus=2)
    gpus = usable_gpus(() if device is None else (("--device", (device,)),))
    pool = LocalPool(default_slots(1, len(gpus), 1.0, runs_per_gpu), gpus)
    while pool.room():
        pool.start(job(tmp_path, f"r{len(pretended.seen)}"))
    assert pretended.seen == expected
    assert f"{len(expected)} at once on {len(gpus)} GPU" in pool.describe()


@pytest.mark.parametrize(("slots", "warned"), [(1, False), (4, False), (8, False), (10, True)])
def test_runs_that_together_need_more_than_a_gpu_has_are_warned_about(
    slots: int, warned: bool, monkeypatch: pytest.MonkeyPatch
):
    Pretended(monkeypatch, gpus=2)
    monkeypatch.setattr("fire_rl.experiments.sweep.local.free_on_gpus", lambda flags: [80 * 10**9, 10 * 10**9])
    weights = {"a": Weight(RunSettings(), checkpoint=10**8, replay=4 * 10**8)}
    warning = warning_of_shared_gpus((), slots, partial(gpu_memory_of_a_run, weights))
    assert (warning is not None) == warned
    assert warning is None or "5 runs at once on a GPU take about 10.0 GB of its memory" in warning
    assert warning is None or warning.endswith("; --runs-per-gpu 4 takes less")


def test_a_replay_that_does_not_fit_on_a_gpu_is_not_counted_there():
    weights = {"a": Weight(RunSettings(), checkpoint=10**8, replay=4 * 10**9)}
    assert gpu_memory_of_a_run(weights, 6e9) - gpu_memory_of_a_run(weights, 5e9) == 4e9


def test_only_runs_still_to_do_are_counted_on_the_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    Pretended(monkeypatch, gpus=1)
    monkeypatch.setattr("fire_rl.experiments.sweep.local.free_on_gpus", lambda flags: [5 * 10**9])
    weights, finished = {"a": Weight(RunSettings(), checkpoint=10**9, replay=0)}, {tmp_path / "a": "finished"}
    grid: Any = SimpleNamespace(flags=())
    warn_of_shared_gpus(grid, finished | {tmp_path / "b": "new"}, 2, weights)
    assert capsys.readouterr().err == ""
    warn_of_shared_gpus(grid, {tmp_path / "a": "interrupted", tmp_path / "b": "new"}, 2, weights)
    assert "2 runs at once on a GPU take about 5.0 GB" in capsys.readouterr().err


def test_the_memory_of_gpus_is_asked_for_in_another_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "torch.py").write_text(
        "class cuda:\n    device_count = lambda: 2\n    mem_get_info = lambda index: (100 + index, 500)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert free_on_gpus(()) == [100, 101]
    assert free_on_gpus((("--device", ("cuda:1",)),)) == [101]
    (tmp_path / "torch.py").write_text("raise RuntimeError")
    assert free_on_gpus(()) == []


def test_runs_per_gpu_need_a_gpu(monkeypatch: pytest.MonkeyPatch):
    Pretended(monkeypatch, gpus=0)
    for flags in ((), (("--device", ("cpu",)),)):
        with pytest.raises(ValueError, match="--runs-per-gpu 2 given, but the runs would use no GPU"):
            default_slots(1, len(usable_gpus(flags)), 1.0, 2)


def test_runs_that_share_a_gpu_fit_on_it_in_rays_arithmetic():
    for runs in range(1, 65):
        share = share_of_a_gpu(runs)
        assert round(share * 10_000) * runs <= 10_000, "Ray counts in ten-thousandths"
        assert int(1 / share + 1e-9) >= runs


def test_a_run_names_the_gpu_that_it_learned_on(monkeypatch: pytest.MonkeyPatch):
    import torch

    names = {0: "First", 1: "Second"}
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device=None: names[device.index or 0])
    assert machine(torch.device("cuda:1"))["gpu"] == "Second"
    assert machine(torch.device("cuda"))["gpu"] == "First"
    assert "gpu" not in machine(torch.device("cpu"))


def test_the_table_has_a_column_for_each_axis(folder: Path):
    from rich.console import Console

    jobs = [replace(job(folder, f"r{ratio}"), place={"replay_ratio": str(ratio)}) for ratio in (1, 16)]
    sweep = look(jobs, retry=False)
    console = Console(width=120, record=True, file=io.StringIO())
    states, standings = {job.name: "waiting" for job in jobs}, {job.name: standing_of(job) for job in jobs}
    console.print(table_of(sweep, states, standings, lambda job: None, "2 left", 4))
    head, *rows = console.export_text().splitlines()
    assert "replay ratio" in head
    assert [row.split()[:2] for row in rows[:2]] == [["fire", "1"], ["fire", "16"]]

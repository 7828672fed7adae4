"""Every run of a comparison comes to its end: in order, as many at once as there is room for, whoever fails."""

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fire_rl.experiments.failure import Failure, failure_path, log_path, note_failure
from fire_rl.experiments.sweep.conduct import Ending, Sweep, conduct, look
from fire_rl.experiments.sweep.endings import say_endings
from fire_rl.experiments.sweep.grid import TRUNK, Job
from fire_rl.experiments.sweep.local import LocalPool, default_slots, usable_gpus
from fire_rl.experiments.sweep.states import TAIL, standing_of, state_of, states_of
from fire_rl.experiments.sweep.table import LiveTable, short, table_of
from fire_rl.remote import share_of_a_gpu
from fire_rl.training.files import FolderLock
from fire_rl.training.made_with import machine

# Stands for a training script: writes what a run writes, a step each hundredth of a second.
SCRIPT = """
import json, os, signal, sys, time
from dataclasses import replace
from pathlib import Path
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
folder = Path(words.get("--resume") or words["--run-dir"])
folder.mkdir(exist_ok=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
print("threads", os.environ.get("CUDA_VISIBLE_DEVICES"), "words", sys.argv[1:])
if (folder / "config.json").exists():
    stop = json.loads((folder / "config.json").read_text())["stop"]
else:
    stop = int(words["--steps"])
    (folder / "config.json").write_text(json.dumps({"stop": stop}))
if words.get("--mode") == "fail" and not Path("mended").exists():
    sys.exit("something went wrong")
hold = 5 if words.get("--mode") == "hold" else None
lines = (folder / "metrics.jsonl").read_text().splitlines() if (folder / "metrics.jsonl").exists() else []
with (folder / "metrics.jsonl").open("a") as file:
    for step in range(len(lines), stop):
        rates = {"updates_per_second": 1.0, "steps_per_second": 1.0}
        file.write(json.dumps({"kind": "train", "environment_steps": step} | rates) + "\\n")
        file.flush()
        time.sleep(600 if step == hold else 0.01)
    file.write(json.dumps({"kind": "evaluation", "environment_steps": stop, "return": 1.0}) + "\\n")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for place in ("states", "conduct"):  # these runs have no checkpoints
        monkeypatch.setattr(
            f"fire_rl.experiments.sweep.{place}.keeps_checkpoint", lambda run, step: not (run / "gone").exists()
        )
    (tmp_path / "script.py").write_text(SCRIPT)
    started = [sys.executable, "-u", str(tmp_path / "script.py")]
    monkeypatch.setattr("fire_rl.experiments.sweep.child.launch", lambda agent: started)
    return tmp_path


def job(folder: Path, name: str, steps: int = 3, trunk: Path | None = None, mode: str = "") -> Job:
    words = ("--run-dir", str(folder / name), "--steps", str(steps), "--mode", mode)
    method = TRUNK if name.startswith(TRUNK) else "fire"
    return Job("env", method, 0, folder / name, "sac", words, 0, steps, 10, trunk)


DIVERGENCE = {"kind": "diverged", "environment_steps": 2, "updates": 1, "quantity": "critic_loss", "value": "nan"}


def write_metrics(job: Job, *lines: dict[str, Any]) -> None:
    job.folder.mkdir(exist_ok=True)
    (job.folder / "config.json").write_text("{}")
    (job.folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


class Order:
    """A pool in which a run ends at once; what was begun, and how many at a time."""

    def __init__(self, slots: int, codes: dict[str, int] | None = None) -> None:
        self.slots, self.codes = slots, codes or {}
        self.begun: list[str] = []
        self.open: list[Job] = []
        self.most = 0

    def room(self) -> bool:
        return len(self.open) < self.slots

    def start(self, job: Job) -> None:
        self.begun.append(job.name)
        self.open.append(job)
        self.most = max(self.most, len(self.open))

    def wait(self, seconds: float) -> Sequence[Ending]:
        if not self.open:
            return []
        job = self.open.pop(0)
        code = self.codes.pop(job.name, 0)
        if code == 0:
            write_metrics(job, {"kind": "evaluation", "environment_steps": job.stop, "return": 0.0})
        elif code == 3:
            write_metrics(job, DIVERGENCE)
        return [Ending(job, code)]

    def stop(self) -> None: ...


def trunk_and_branches(folder: Path) -> tuple[Job, ...]:
    trunks = tuple(job(folder, f"trunk{index}") for index in range(2))
    return (
        *trunks,
        *(job(folder, f"b{index}{name}", trunk=trunk.folder) for index, trunk in enumerate(trunks) for name in "xy"),
    )


def test_branches_begin_when_their_trunk_is_finished(folder: Path):
    pool = Order(slots=3)
    sweep = look(trunk_and_branches(folder), retry=False)
    conduct(sweep, pool)
    assert pool.begun == ["trunk0", "trunk1", "b0x", "b0y", "b1x", "b1y"]
    assert pool.most == 3
    assert sweep.complete


def test_finished_runs_are_kept(folder: Path):
    jobs = trunk_and_branches(folder)
    conduct(look(jobs[:3], retry=False), Order(slots=1))
    pool = Order(slots=1)
    conduct(look(jobs, retry=False), pool)
    assert pool.begun == ["b0y", "b1x", "b1y"] or pool.begun == ["b0y", "trunk1", "b1x", "b1y"]


def test_what_depends_on_a_failed_trunk_waits_and_the_rest_goes_on(folder: Path):
    jobs = trunk_and_branches(folder)
    sweep = look(jobs, retry=False)
    conduct(sweep, Order(slots=2, codes={"trunk0": 1}))
    assert [sweep.state(job) for job in jobs] == ["failed", "finished", "no trunk", "no trunk", "finished", "finished"]
    again = look(jobs, retry=False)
    assert not again.ready()
    retried = look(jobs, retry=True)
    conduct(retried, Order(slots=2))
    assert retried.complete


def test_a_run_that_was_stopped_by_somebody_else_is_begun_again(folder: Path):
    pool = Order(slots=1, codes={"r": 130})
    sweep = look([job(folder, "r")], retry=False)
    conduct(sweep, pool)
    assert pool.begun == ["r", "r"]
    assert sweep.complete


def test_finished_runs_are_told_once(folder: Path):
    told: list[str] = []
    conduct(look(trunk_and_branches(folder), False), Order(slots=2), finished=lambda job: told.append(job.name))
    assert sorted(told) == ["b0x", "b0y", "b1x", "b1y", "trunk0", "trunk1"]


def test_local_runs_take_place_side_by_side_each_in_its_log(folder: Path):
    jobs = [job(folder, f"r{index}", steps=30) for index in range(3)]
    most = 0

    def watch(sweep: Sweep) -> None:
        nonlocal most
        most = max(most, len(sweep.running))

    sweep = look(jobs, retry=False)
    conduct(sweep, LocalPool(slots=2), watch)
    assert sweep.complete
    assert most == 2
    assert "--steps', '30'" in log_path(jobs[0].folder).read_text()


def test_a_failed_run_shows_its_last_lines_until_it_is_retried(folder: Path):
    broken = job(folder, "broken", mode="fail")
    sweep = look([broken], retry=False)
    conduct(sweep, LocalPool(slots=1))
    assert sweep.failed[broken.folder].lines[-1] == "something went wrong"
    assert sweep.failed[broken.folder].reason == "exit code 1: something went wrong"
    assert look([broken], retry=False).failed == sweep.failed
    (folder / "mended").touch()
    again = look([broken], retry=True)
    conduct(again, LocalPool(slots=1))
    assert again.complete
    assert not failure_path(broken.folder).exists()


def test_a_stop_reaches_every_run_and_the_next_call_continues(folder: Path):
    jobs = [job(folder, f"r{index}", steps=10, mode="hold") for index in range(3)]
    sweep = look(jobs, retry=False)
    conduct(sweep, LocalPool(slots=2), stop_requested=lambda: all(standing_of(run).step > 3 for run in jobs[:2]))
    assert [sweep.state(job) for job in jobs] == ["waiting", "waiting", "waiting"]
    assert not sweep.failed
    assert [state_of(job) for job in jobs] == ["interrupted", "interrupted", "new"]
    again = look([*jobs[:2], job(folder, "r2")], retry=False)
    conduct(again, LocalPool(slots=3))
    assert again.complete
    assert "--resume" in log_path(jobs[0].folder).read_text()
    assert len(jobs[0].reader.newest(jobs[0].folder, TAIL)) == 11  # each step once


def test_runs_stop_when_the_comparison_is_killed(folder: Path):
    root = Path(__file__).parent.parent
    program = (
        f"import sys; sys.path.insert(0, {str(root)!r})\n"
        "from pathlib import Path\n"
        "from fire_rl.experiments.sweep import child\n"
        "from fire_rl.experiments.sweep.grid import Job\n"
        f"folder = Path({str(folder)!r})\n"
        "words = ('--run-dir', str(folder / 'r'), '--steps', '60000')\n"
        "run = child.start(Job('env', 'fire', 0, folder / 'r', str(folder / 'script.py'), words, 0, 60000, 1))\n"
        "print(run.pid, flush=True)\n"
        "run.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    deadline = time.monotonic() + 600
    while not (folder / "r" / "metrics.jsonl").exists():
        assert time.monotonic() < deadline, "the run did not begin"
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while alive(pid):
        assert time.monotonic() < deadline, "the run outlived the comparison"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it may go while it is looked at
        return False


def test_a_gpu_for_each_slot(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-abc")
    jobs = [job(folder, f"r{index}", steps=30) for index in range(2)]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    conduct(look(jobs, retry=False), LocalPool(slots=2, gpus=usable_gpus(())))
    logs = [log_path(job.folder).read_text() for job in jobs]
    assert sorted(log.partition("threads ")[2].split()[0] for log in logs) == ["4", "GPU-abc"]


def test_killed_runs_say_what_that_may_mean():
    assert "memory" in Failure(-9, ()).reason
    assert Failure(-11, ()).reason == "killed by signal 11"


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


def test_without_a_terminal_changes_are_said_in_lines(folder: Path, capsys: pytest.CaptureFixture[str]):
    conduct(look(trunk_and_branches(folder), False), Order(slots=1, codes={"b0x": 1}), LiveTable())
    lines = capsys.readouterr().err.splitlines()
    assert lines.index("trunk0: running") < lines.index("trunk0: finished") < lines.index("b0x: failed (exit code 1)")
    assert len(lines) == len(set(lines))


def test_steps_are_short():
    assert [short(count) for count in (999, 1_000, 12_432, 1_250_000)] == ["999", "1k", "12.4k", "1.25M"]


def test_what_another_process_has_open_is_waited_for(folder: Path):
    run = job(folder, "r")
    run.folder.mkdir()
    lock = FolderLock(run.folder)
    pool, seen = Order(slots=1), list[list[str]]()

    def release(sweep: Sweep) -> None:
        seen.append([*pool.begun])
        if len(seen) == 1:
            lock.release()

    sweep = look([run], retry=False)
    (run.folder / "lock").touch()
    conduct(sweep, pool, release)
    assert seen[:2] == [[], ["r"]]
    assert sweep.complete


def test_leaving_ends_runs_that_do_not_stop(folder: Path):
    (folder / "script.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(1)\ntime.sleep(600)\n"
    )
    pool = LocalPool(slots=1)
    deaf = job(folder, "deaf")
    pool.start(deaf)
    while "1" not in log_path(deaf.folder).read_text().splitlines():
        time.sleep(0.05)
    pool.stop()
    assert not pool.wait(0.5)
    pool.close()
    assert [ending.code for ending in pool.wait(0)] == [-signal.SIGKILL]


def test_a_run_that_is_stopped_again_and_again_without_getting_further_has_failed(folder: Path):
    pool = Order(slots=1, codes={})
    pool.codes = {"r": 130}
    begun: list[int] = []

    def stopped(seconds: float) -> list[Ending]:
        begun.append(1)
        return [Ending(pool.open.pop(0), 130)]

    pool.wait = stopped  # type: ignore[method-assign]
    sweep = look([job(folder, "r")], retry=False)
    conduct(sweep, pool)
    assert len(begun) == 3
    assert sweep.failed


def test_a_run_that_went_on_after_it_failed_has_not_failed(folder: Path):
    run = job(folder, "r")
    note_failure(run.folder, 1)
    assert state_of(run) == "failed"
    conduct(look([run], retry=True), Order(slots=1))
    note_failure(run.folder, 1)
    assert state_of(run) == "finished"
    assert look([run], retry=False).complete
    assert not failure_path(run.folder).exists()


def test_the_last_lines_of_a_failure_are_those_of_its_last_process(folder: Path):
    (folder / "script.py").write_text("import sys\nsys.exit('something went wrong')\n")
    broken = job(folder, "broken")
    for _ in range(2):
        sweep = look([broken], retry=True)
        conduct(sweep, LocalPool(slots=1))
    lines = sweep.failed[broken.folder].lines
    assert [line for line in lines if "something" in line] == ["something went wrong"]


def test_a_run_that_diverged_has_come_to_its_end_and_nothing_branches_from_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    jobs = trunk_and_branches(folder)
    ended: list[str] = []
    sweep = look(jobs, retry=False)
    conduct(
        sweep, Order(slots=2, codes={"trunk0": 3, "b1x": 3}), LiveTable(), finished=lambda job: ended.append(job.name)
    )
    states = [sweep.state(job) for job in jobs]
    assert states == ["diverged", "finished", "no trunk", "no trunk", "diverged", "finished"]
    assert sweep.complete, "it is a result"
    assert not sweep.failed
    assert sorted(ended) == ["b1x", "b1y", "trunk0", "trunk1"]
    said = capsys.readouterr().err
    assert "b1x: diverged at step 2 (critic_loss is nan)\n" in said
    assert "b0x: no trunk (trunk0 diverged at step 2)\n" in said
    for retry in (False, True):
        pool = Order(slots=2)
        conduct(look(jobs, retry), pool)
        assert pool.begun == []
    assert states_of(jobs) == {job.folder: state for job, state in zip(jobs, states, strict=True)}


def test_the_end_says_what_diverged_and_what_may_help(folder: Path, capsys: pytest.CaptureFixture[str]):
    jobs = trunk_and_branches(folder)
    (jobs[0].folder / "checkpoints" / f"{1:012d}").mkdir(parents=True)
    sweep = look(jobs, retry=False)
    conduct(sweep, Order(slots=2, codes={"trunk0": 3}))
    say_endings(sweep)
    said = capsys.readouterr().out
    assert "trunk0 diverged at step 2 (critic_loss is nan); b0x, b0y cannot branch from it\n" in said
    assert f"python train_sac.py --branch-from {jobs[0].folder}@1 --reinit fire\n" in said
    for help in ("--learning-rate", "such as fire", "earlier checkpoint"):
        assert help in said


def test_an_exit_code_alone_makes_no_divergence(folder: Path):
    run = job(folder, "r")
    pool = Order(slots=1)
    pool.wait = lambda seconds: [Ending(pool.open.pop(0), 3)]  # type: ignore[method-assign]
    sweep = look([run], retry=False)
    conduct(sweep, pool)
    assert sweep.state(run) == "failed"


def test_a_trunk_whose_checkpoint_is_gone_is_named_and_nothing_is_deleted(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    jobs = trunk_and_branches(folder)
    conduct(look(jobs[:3], retry=False), Order(slots=1))
    (jobs[0].folder / "gone").touch()
    sweep, pool = look(jobs, retry=False), Order(slots=1)
    conduct(sweep, pool)
    assert "b0y" not in pool.begun
    assert [sweep.state(job) for job in jobs[:4]] == ["finished", "finished", "finished", "no trunk"]
    assert not sweep.complete
    say_endings(sweep)
    (line,) = capsys.readouterr().err.splitlines()[1:]
    assert line == (
        "b0y cannot branch from trunk0 at step 3: the trunk's checkpoint or its replay is gone; "
        f"delete the trunk's folder, {jobs[0].folder}, and the same command trains it again"
    )
    assert (jobs[0].folder / "metrics.jsonl").exists()


class Pretended:
    """Runs that do not end, and what they would see of the GPUs."""

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
        ("cuda:1", None, [None]),  # which the run finds by itself, and which has one run
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


def test_runs_per_gpu_need_a_gpu(monkeypatch: pytest.MonkeyPatch):
    Pretended(monkeypatch, gpus=0)
    for flags in ((), (("--device", ("cpu",)),)):
        with pytest.raises(ValueError, match="--runs-per-gpu 2 given, but the runs would use no GPU"):
            default_slots(1, len(usable_gpus(flags)), 1.0, 2)


def test_runs_that_share_a_gpu_fit_on_it_as_ray_counts():
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

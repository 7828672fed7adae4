"""The runs of a comparison are carried out in order, as many at once as there is room for."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fire_rl.experiments.failure import log_path
from fire_rl.experiments.sweep.conduct import Sweep, conduct, look
from fire_rl.experiments.sweep.local import LocalPool
from fire_rl.experiments.sweep.states import TAIL, standing_of, state_of
from fire_rl.training.files import FolderLock
from tests.fixtures import conducted
from tests.fixtures.conducted import Order, job, trunk_and_branches

folder = conducted.folder


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


def test_a_run_that_was_stopped_from_outside_is_started_again(folder: Path):
    pool = Order(slots=1, codes={"r": 130})
    sweep = look([job(folder, "r")], retry=False)
    conduct(sweep, pool)
    assert pool.begun == ["r", "r"]
    assert sweep.complete


def test_finished_runs_are_announced_once(folder: Path):
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
    parent: Any = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
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
    except OSError:  # it may end while it is looked at
        return False


def test_a_folder_that_another_process_has_open_is_waited_for(folder: Path):
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


def test_a_folder_that_cannot_be_locked_is_not_waited_for(folder: Path):
    run = job(folder, "r")
    run.folder.mkdir()
    (folder / "elsewhere").touch()
    (run.folder / "lock").symlink_to(folder / "elsewhere")
    sweep, pool = look([run], retry=False), Order(slots=1, codes={"r": 2})
    conduct(sweep, pool)
    assert pool.begun == ["r"]
    assert list(sweep.failed) == [run.folder]


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

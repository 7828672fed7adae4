"""Runs on a real Ray cluster of this machine, some of whose nodes are lost, equal the runs of an undisturbed sweep."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.differences import differences
from fire_rl.commands.train import train_dqn
from fire_rl.experiments.failure import log_path
from fire_rl.experiments.sweep.conduct import Sweep, conduct, look
from fire_rl.experiments.sweep.grid import Grid, Job
from fire_rl.experiments.sweep.local import LocalPool
from fire_rl.experiments.sweep.plan import plan
from fire_rl.experiments.sweep.states import state_of
from fire_rl.place import ROOT, script
from fire_rl.remote import ray_pool, share_of_a_gpu
from fire_rl.training.checkpoint import steps_of
from fire_rl.training.files import FolderLock

ray = pytest.importorskip("ray")
from fire_rl.remote.cluster import RayPool  # noqa: E402
from fire_rl.remote.joining import join  # noqa: E402
from fire_rl.remote.node import wait_for_folder  # noqa: E402

pytestmark = pytest.mark.timeout(900)  # on a busy machine; `finish` reports what takes too long
TINY = (
    ("--preset", ("quick",)),
    ("--num-envs", ("1",)),
    ("--steps", ("1200",)),
    ("--learning-starts", ("100",)),
    ("--hidden-width", ("8",)),
    ("--batch-size", ("8",)),
    ("--replay-capacity", ("500",)),
    ("--eval-every", ("1200",)),
    ("--eval-episodes", ("1",)),
    ("--log-every", ("200",)),
    ("--measure-every", ("0",)),
    ("--checkpoint-every", ("150",)),
    ("--device", ("cpu",)),
)


def jobs_in(folder: Path) -> tuple[Job, ...]:
    """A trunk and two branches of it."""
    longer = tuple((name, ("3000",) if values == ("1200",) else values) for name, values in TINY)
    grid = Grid("dqn", ("CartPole-v1",), ("none", "reset"), (0,), 0.25, 1, longer, folder)
    return plan(grid)


def finish(jobs: tuple[Job, ...], pool: Any, during: Callable[[Sweep], None] = lambda sweep: None) -> None:
    sweep = look(jobs, retry=False)
    deadline = time.monotonic() + 600

    def show(sweep: Sweep) -> None:
        assert time.monotonic() < deadline
        during(sweep)

    conduct(sweep, pool, show)
    assert sweep.complete, {path.name: failure.lines for path, failure in sweep.failed.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, ...]:
    jobs = jobs_in(tmp_path_factory.mktemp("undisturbed"))
    finish(jobs, LocalPool(2))
    return jobs


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head node with one CPU. It notices lost nodes sooner than usual."""
    from ray.cluster_utils import Cluster

    soon = {"health_check_period_ms": 500, "health_check_failure_threshold": 4, "health_check_initial_delay_ms": 500}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "_system_config": soon})
    yield made
    ray.shutdown()
    made.shutdown()


def processes(job: Job) -> list[int]:
    """Return the process ids of a run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        if str(job.folder) in words and str(ROOT / script(job.agent)) in words:
            found.append(int(path.parent.name))
    return found


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.slow
def test_runs_of_a_node_that_is_drained_move_with_a_checkpoint(
    undisturbed: tuple[Job, ...], cluster: Any, tmp_path: Path
):
    second = cluster.add_node(num_cpus=2)
    pool = RayPool(cluster.address, 1, None, tmp_path)
    jobs = jobs_in(tmp_path)
    moved: list[Job] = []

    def drain(sweep: Sweep) -> None:
        """As a cloud does before it takes a machine back, and as Ray does on SIGTERM."""
        there = [job for job in jobs if processes(job) and parent_of(processes(job)[0]) in workers(second)]
        there = [job for job in there if steps_of(job.folder) and max(steps_of(job.folder)) > job.start]
        if there and not moved:
            moved.extend(there)
            reason, soon = 2, int(1000 * (time.time() + 60))  # preemption, in milliseconds
            assert cluster.head_node.get_gcs_client().drain_node(second.node_id, reason, "for a test", soon)[0]

    try:
        finish(jobs, pool, drain)
    finally:
        pool.close()
        cluster.remove_node(second)
    assert moved
    for job in moved:
        assert "with a checkpoint" in log_path(job.folder).read_text()
        assert "continuing at step" in log_path(job.folder).read_text()
    for ours, theirs in zip(jobs, undisturbed, strict=True):
        assert differences(theirs.folder, ours.folder) == []


@pytest.mark.slow
def test_a_node_lost_during_a_run_changes_no_run(undisturbed: tuple[Job, ...], cluster: Any, tmp_path: Path):
    said: list[str] = []
    second = cluster.add_node(num_cpus=2)
    pool = RayPool(cluster.address, 1, None, tmp_path, said.append)
    jobs = jobs_in(tmp_path)
    lost: list[Job] = []

    def lose(sweep: Sweep) -> None:
        """The node's raylet and workers die when both branches have begun, one of them on this node."""
        if lost:
            return
        branches = [job for job in jobs[1:] if steps_of(job.folder) and max(steps_of(job.folder)) > job.start]
        there = [job for job in branches if processes(job) and parent_of(processes(job)[0]) in workers(second)]
        if len(branches) < 2 or not there:
            return
        lost.extend(there)
        os.kill(processes(there[0])[0], signal.SIGKILL)
        for worker in workers(second):
            os.kill(worker, signal.SIGKILL)
        cluster.remove_node(second, allow_graceful=False)

    try:
        assert pool.slots == 3
        finish(jobs, pool, lose)
    finally:
        pool.close()
    assert lost
    assert any("is lost" in line for line in said)
    for ours, theirs in zip(jobs, undisturbed, strict=True):
        assert differences(theirs.folder, ours.folder) == []
    for job in lost:
        assert "continuing at step" in log_path(job.folder).read_text()


def workers(node: Any) -> list[int]:
    """Return the processes of a node in which tasks are carried out."""
    raylet = node.all_processes["raylet"][0].process.pid
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if _is_child(path, raylet)]


def _is_child(path: Path, parent: int) -> bool:
    try:
        return int(path.read_text().rpartition(")")[2].split()[1]) == parent
    except OSError:
        return False


@pytest.mark.slow
def test_a_stopped_sweep_continues_where_it_was(cluster: Any, tmp_path: Path):
    grid = Grid("dqn", ("CartPole-v1",), ("none",), (0, 1), None, 1, TINY, tmp_path)
    first, second = plan(grid)
    pool = RayPool(cluster.address, 1, None, tmp_path)
    sweep = look((first, second), retry=False)

    def under_way() -> bool:
        """Stop at the first checkpoint without waiting: the rest of the run takes a second or two."""
        while pool.where(first) is not None and not steps_of(first.folder):
            time.sleep(0.01)
        return pool.where(first) is not None

    try:
        assert pool.slots == 1
        conduct(sweep, pool, stop_requested=under_way)
        assert sweep.failed == {}
        assert (state_of(first), state_of(second)) == ("interrupted", "new"), "the second waited for its turn"
        assert processes(first) == []
        assert "with a checkpoint" in log_path(first.folder).read_text()
        pool.close()
        pool = RayPool(cluster.address, 1, None, tmp_path)
        lock, there = FolderLock(first.folder), []

        def let_go(sweep: Sweep) -> None:
            """As a node behaves that was only thought to be lost."""
            there.append(processes(first))
            if len(there) == 3:
                lock.release()

        finish((first,), pool, let_go)
        assert there[:3] == [[], [], []], "nothing begins in a folder in use"
    finally:
        pool.close()
    arguments = [str(tmp_path / "whole") if word == str(first.folder) else word for word in first.arguments]
    assert train_dqn(arguments) == 0
    assert differences(tmp_path / "whole", first.folder) == []


@pytest.mark.slow
def test_a_run_waits_for_cpus_of_its_own(cluster: Any, tmp_path: Path):
    jobs = jobs_in(tmp_path)
    finish(jobs[:1], LocalPool(1))
    pool = RayPool(cluster.address, 1, None, tmp_path)
    at_once: list[int] = []
    try:
        assert pool.slots == 1
        finish(jobs, pool, lambda sweep: at_once.append(sum(bool(processes(job)) for job in jobs)))
    finally:
        pool.close()
    assert max(at_once) == 1


@pytest.mark.slow
def test_a_node_without_the_shared_folder_is_named_before_any_run(cluster: Any, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr(RayPool, "_seen", lambda pool: (str(tmp_path), str(tmp_path), "/nowhere/sign"))
    with pytest.raises(ValueError, match=r"^node [0-9.]+ does not see /nowhere/sign: [^\n]*$"):
        RayPool(cluster.address, 1, None, tmp_path)
    assert not ray.is_initialized()
    assert list((tmp_path / "logs").iterdir()) == []


def test_a_folder_in_use_is_waited_for_and_then_given_up(tmp_path: Path):
    assert wait_for_folder(tmp_path / "none", 0, lambda seconds: False)
    lock = FolderLock(tmp_path)
    with pytest.raises(ValueError, match=r"in use by another process.*waited 0 s"):
        wait_for_folder(tmp_path, 0, lambda seconds: False)
    assert not wait_for_folder(tmp_path, 60, lambda seconds: True), "a stop is requested"

    def let_go(seconds: float) -> bool:
        lock.release()
        return False

    assert wait_for_folder(tmp_path, 60, let_go)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "head", "ray://head:10001"])
def test_a_cluster_that_is_not_there_is_named_in_one_line(address: str):
    with pytest.raises(ValueError, match=f"--ray {address} given; [^\n]*$"):
        join(address)


def test_ray_is_asked_for_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"--ray needs the package ray: make setup-dev"):
        ray_pool(None, 1, None, tmp_path)


def test_nothing_imports_optional_packages_before_they_are_used():
    """Except TensorBoard, which imports fsspec by itself where it is installed."""
    program = "import fire_rl.commands.compare, sys; assert not {'ray', 'fire_rl.remote.upload'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("runs", [2, 3, 6])
def test_several_runs_share_a_gpu(cluster: Any, tmp_path: Path, runs: int):
    """The GPUs do not exist: Ray counts what it is told."""
    node = cluster.add_node(num_cpus=8, num_gpus=1)
    pool = RayPool(cluster.address, 1, share_of_a_gpu(runs), tmp_path)
    try:
        assert pool.slots == runs
    finally:
        pool.close()
        cluster.remove_node(node)

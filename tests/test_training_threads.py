"""How many threads a learner uses by default, and what is printed when other work takes its cores."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fire_rl.agents import DQNSettings, SACSettings
from fire_rl.cores import usable_cores
from fire_rl.training import threads
from fire_rl.training.config import Config
from fire_rl.training.learners import LEARNERS, DQNRun, SACRun
from fire_rl.training.reinforcement_settings import RunSettings
from fire_rl.training.threads import Slowdown, choose_threads

ALL = len(os.sched_getaffinity(0))


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has several cores."""
    monkeypatch.setattr(threads, "usable_cores", lambda: 16)


def chosen(config: Config) -> int:
    run = replace(config.run, device="cpu")
    return choose_threads(replace(config, run=run))[0]


CARTPOLE = RunSettings(env="CartPole-v1", action_repeat=1)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LEARNERS["sac"].presets["quick"].config, 1),
        (LEARNERS["sac"].presets["paper"].config, 16),
        (SACRun(agent=SACSettings(critic_width=256)), 16),
        (SACRun(agent=SACSettings(critic_width=128, actor_width=64)), 16),  # the same in batches of 256
        (SACRun(agent=SACSettings(critic_width=32, actor_width=32, batch_size=64)), 1),
        (DQNRun(CARTPOLE), 1),
        (DQNRun(CARTPOLE, DQNSettings(hidden_width=4_000)), 16),
    ],
)
def test_a_network_uses_one_thread_unless_its_update_is_worth_sharing(config, expected):
    assert chosen(config) == expected


@pytest.mark.usefixtures("many")
def test_only_games_with_pictures_are_worth_sharing():
    pytest.importorskip("ale_py")
    pytest.importorskip("minatar")
    assert chosen(LEARNERS["dqn"].presets["quick"].config) == 1
    assert all(chosen(LEARNERS["dqn"].presets[name].config) == 16 for name in ("standard", "paper", "atari100k"))


@pytest.mark.usefixtures("many")
def test_the_chosen_number_is_printed_with_its_reason():
    _, sentence = choose_threads(DQNRun(replace(CARTPOLE, device="cpu")))
    assert sentence == (
        "threads: 1 of 16 cores, because an update of this network is too small to share (0.017 GFLOP); "
        "--threads N to choose"
    )


def test_one_core_leaves_no_choice(monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 1)
    paper = LEARNERS["sac"].presets["paper"].config
    assert choose_threads(paper) == (1, "threads: 1, on the only core that may be used")


def cores(own_groups: str, files: dict[str, str], folder: Path) -> int:
    """Return the number of usable cores if the system's files have this content."""
    (folder / "own").write_text(own_groups)
    for name, content in files.items():
        path = folder / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return usable_cores(folder / "own", folder / "groups")


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 cores on which this process may be scheduled."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))


V1 = "9:name=systemd:/a\n4:cpu,cpuacct:/docker/b\n2:memory:/docker/b\n"


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize(
    ("own_groups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "20000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, 64),
        ("0::/\n", {}, 64),
        ("0::/job/step\n", {"job/step/cpu.max": "max 100000\n", "job/cpu.max": "400000 100000\n"}, 4),
        ("0::/job/step\n", {"job/step/cpu.max": "300000 100000\n", "job/cpu.max": "400000 100000\n"}, 3),
        ("0::/another\n", {"job/cpu.max": "100000 100000\n"}, 64),
        ("0::/host/path\n", {"cpu.max": "500000 100000\n"}, 5),
        ("0::/\n", {"unified/cpu.max": "600000 100000\n"}, 6),
        (V1, {"cpu,cpuacct/docker/b/cpu.cfs_quota_us": "300000", "cpu,cpuacct/docker/b/cpu.cfs_period_us": "1e5"}, 64),
        (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 3),
        (V1, {"cpu/docker/b/cpu.cfs_quota_us": "700000\n", "cpu/docker/b/cpu.cfs_period_us": "100000\n"}, 7),
        (V1, {"cpu/docker/b/cpu.cfs_quota_us": "-1\n", "cpu/docker/b/cpu.cfs_period_us": "100000\n"}, 64),
        (V1, {"cpu/docker/b/cpu.cfs_quota_us": "7\n", "cpu/docker/b/cpu.cfs_period_us": "0\n"}, 64),
        ("nonsense\n", {"cpu.max": "nonsense\n"}, 64),
    ],
)
def test_a_containers_quota_counts_as_its_cores(own_groups, files, expected, tmp_path):
    assert cores(own_groups, files, tmp_path) == expected


def test_a_process_bound_to_few_cores_has_no_more(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    assert cores("0::/\n", {"cpu.max": "800000 100000\n"}, tmp_path) == 2


def test_a_system_without_control_groups_has_the_cores_of_its_affinity(tmp_path):
    assert usable_cores(tmp_path / "none", tmp_path) == ALL


def notices(rates: list[float], load: float) -> list[str | None]:
    slowdown = Slowdown(load=lambda: load, cores=lambda: 2)
    return [slowdown.notice(rate) for rate in rates]


def test_a_collapse_is_reported_once_with_rates_load_and_advice():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    said = notices([40, 42, 41, 43, 4, 5, 4, 41, 3, 3], load=3.4)
    torch.set_num_threads(before)
    assert [number for number, line in enumerate(said) if line] == [5]
    assert said[5] == (
        "5 updates/s instead of the usual 41.5, and the machine's load is 3.4 with 2 cores for this run: "
        "stop other work on this machine, begin runs with --threads 1, or in a cluster ask for more cores"
    )


def test_a_run_with_one_thread_is_not_advised_to_use_one():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    said = notices([40, 42, 41, 4, 4], load=9)[-1]
    torch.set_num_threads(before)
    assert said is not None
    assert "--threads" not in said


@pytest.mark.parametrize(
    ("rates", "load"),
    [
        ([40, 42, 41, 4, 4, 4, 4], 2.0),  # nobody else needs a core
        ([40, 42, 41, 20, 20, 20], 9.0),  # slower, but not by so much
        ([40, 42, 41, 4, 40, 4, 40], 9.0),  # an evaluation from time to time
        ([40, 4, 4, 4, 4], 9.0),  # the usual rate is not known
    ],
)
def test_no_collapse_is_reported_where_there_is_none(rates, load):
    assert not any(notices(rates, load))

"""The benchmarks that run on a GPU: each part, as far as a CPU can try it."""

import gc
import importlib
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import timing
from benchmarks.floors import RecordProducts, sac_floor
from benchmarks.gpu import (
    card,
    costs,
    decision,
    equality,
    loops,
    methods,
    peer,
    plasticity,
    processes,
    resume,
    subjects,
    updates,
)  # fmt: skip
from benchmarks.gpu.conduct import read_rows
from benchmarks.gpu.part import NOT_A_CARD, Rows, Setting
from benchmarks.gpu.parts import PARTS
from fire_rl.agents import SAC, SACSettings
from fire_rl.agents.captured import WARM_UP
from fire_rl.replay import Batch

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
QUICK = Setting(quick=True, seconds=0.1, limit=280)
PATIENT = replace(QUICK, limit=1_500)  # for whole runs, which are slow on a busy machine


def rows_of(find: Callable[[Setting, Rows], None], setting: Setting, folder: Path) -> dict[str, Any]:
    """Return what a part finds, by the names of its rows. No row may hold an error."""
    rows = Rows(folder / "rows")
    find(replace(setting, begun=time.monotonic()), rows)
    found = read_rows(rows.path)
    assert not [row for row in found if "error" in row]
    return {row["name"]: row.get("figures", row.get("says")) for row in found}


def test_every_part_of_the_table_is_there():
    assert len(PARTS) > 10
    for name, part in PARTS.items():
        module, _, function = part.entry.partition(":")
        assert callable(getattr(importlib.import_module(module, "benchmarks.gpu"), function)), name


def test_part_versions_copies_and_products(tmp_path: Path):
    found = rows_of(card.versions, QUICK, tmp_path)
    assert found["torch"] == torch.__version__
    assert found["card"] == NOT_A_CARD
    found = rows_of(card.copies, QUICK, tmp_path)
    assert found["copying, bytes read and written"]["GB/s"] > 0
    assert found["from pinned memory to the card"] == NOT_A_CARD
    found = rows_of(card.products, QUICK, tmp_path)
    assert found["large"] == NOT_A_CARD
    expand = found["critic expand 2 x 32 x 64 x 256"]
    assert expand["tf32"] == NOT_A_CARD
    assert expand["float32"] * expand["us float32"] == pytest.approx(2 * 2 * 32 * 64 * 256 / 1e6)
    with card.tf32_allowed(True):
        assert torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("find", [updates.sac_rates, updates.dqn_rates])
def test_rates_of_updates_come_before_their_floor_and_are_compared_with_it(find: Any, tmp_path: Path):
    found = rows_of(find, QUICK, tmp_path)
    ways = [name.removesuffix(", float32") for name in found if name.endswith(", float32")]
    assert ways == ["captured", "eager", "floor", "products", "compiled"]
    floor, eager, compiled = found["floor, float32"], found["eager, float32"], found["compiled, float32"]
    assert floor["eager's share"] == pytest.approx(eager["updates/s"] / floor["updates/s"])
    assert compiled["of the floor"] == pytest.approx(compiled["updates/s"] / floor["updates/s"])
    assert 0 < floor["eager's share"] < 1
    assert floor["us of products"] <= floor["us as laid out"]
    assert eager["us until queued"] <= eager["us until done"]
    assert {found[f"captured, {precision}"] for precision in ("float32", "tf32")} == {NOT_A_CARD}


@pytest.mark.parametrize(
    ("find", "kinds"), [(updates.sac_rates, {"product"}), (updates.dqn_rates, {"product", "convolution"})]
)
def test_the_way_in_which_an_update_computes_a_product_is_one_of_those_timed(find: Any, kinds: set[str]):
    subject = (subjects.sac if find is updates.sac_rates else subjects.dqn)(CPU, True)
    work = updates.floor_of(subject.make(CPU), subject, "float32").work
    for each in work:
        each.seconds = dict.fromkeys(each.ways, 2.0) | {min(each.ways): 1.0}
    found = [updates.ways_of(each) for each in work]
    assert {one["used"].partition(" ")[0] for one in found} == kinds
    assert all(one["used"] in one["us"] and one["us"][one["best"]] == 1e6 for one in found)


def test_part_methods_compares_each_with_none(tmp_path: Path):
    found = rows_of(methods.method_rates, QUICK, tmp_path)
    assert [name.removeprefix("eager, with ") for name in found] == ["none", "cbp", "snr", *equality.REGULARIZERS]
    none, parseval = found["eager, with none"], found["eager, with parseval"]
    assert (none["us more"], none["times"]) == (0, 1)
    assert parseval["times"] == pytest.approx(none["updates/s"] / parseval["updates/s"])


def test_part_decision(tmp_path: Path):
    found = rows_of(decision.decisions, QUICK, tmp_path)
    sac, dqn = found["SAC, float32"], found["DQN, float32"]
    assert sac["decisions/s"] == pytest.approx(1e6 / sac["us"])
    assert dqn["decisions/s"] == pytest.approx(4e6 / dqn["us"])
    assert found["SAC, what waits in a decision"] == NOT_A_CARD


def test_a_decision_does_what_a_run_does():
    decider = decision.Decider(subjects.sac(CPU, quick=True), "float32")
    before, added = decider.agent.state_dict()["actor.mean.weight"].clone(), decider.subject.replay.added
    decider.decide()
    first = decider.current
    decider.decide()
    assert not torch.equal(torch.as_tensor(first), torch.as_tensor(decider.current))
    assert not torch.equal(before, decider.agent.state_dict()["actor.mean.weight"])
    assert decider.subject.replay.added == added + 2
    assert {"actor_loss", "critic_loss"} <= decider.sums.keys()


def test_what_waits_is_found_by_its_place(monkeypatch: pytest.MonkeyPatch):
    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def waits() -> None:
        warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn("another warning", stacklevel=1)

    found = decision.places_of_waits(waits)
    assert modes == ["warn", "default"]
    ((place, count),) = found.items()
    assert place.startswith("tests/test_benchmarks_gpu.py:")
    assert place.endswith(" waits")
    assert count == decision.WATCHED


def test_part_costs_of_events_projections_and_checkpoints(tmp_path: Path):
    found = rows_of(plasticity.projections, QUICK, tmp_path)
    solvers = "newton-schulz", "polar-express", "exact"
    assert found.keys() == {f"{what}, {solver}" for what in ("an event of fire", "fire_") for solver in solvers}
    assert found["fire_, exact"]["worst DfI"] < 1e-9
    assert found["an event of fire, exact"]["ms"] > 0
    found = rows_of(costs.checkpoints, QUICK, tmp_path)
    agent = subjects.sac(CPU, quick=True).make(CPU)
    assert found["the agent"]["MB"] == pytest.approx(sum(value.nbytes for value in agent.state_dict().values()) / 1e6)


def test_part_equality_says_that_it_needs_a_gpu(tmp_path: Path):
    assert set(rows_of(equality.equal_updates, QUICK, tmp_path).values()) == {NOT_A_CARD}


@pytest.mark.slow
def test_part_measures(tmp_path: Path):
    found = rows_of(costs.measurements, QUICK, tmp_path)
    assert all(row["ms"] > 0 for row in found.values())
    assert found["sac-quick, with the Hessian"]["ms"] > found["sac-quick"]["ms"]


@pytest.mark.slow
def test_part_several_processes(tmp_path: Path):
    found = rows_of(processes.together, QUICK, tmp_path)
    two = found["2 processes, float32"]
    assert two["updates/s in all"] == pytest.approx(two["slowest"] + two["fastest"])


@pytest.mark.slow
def test_part_whole_loops(tmp_path: Path):
    for find in (loops.h1_walk, loops.breakout):
        found = rows_of(find, PATIENT, tmp_path)
        assert found["the environment alone"]["decisions/s"] > 0
        assert next(found[name]["updates/s"] for name in found if name.endswith(", float32")) > 0


@pytest.mark.slow
def test_part_runs_stopped_and_resumed_are_equal(tmp_path: Path):
    found = rows_of(resume.repeated_runs, PATIENT, tmp_path)
    assert len(found) == 2
    for row in found.values():
        assert isinstance(row["stopped at step"], int)
        assert row["run again"] == row["stopped and resumed"] == "equal bit by bit"


@pytest.mark.parametrize("method", ["none", "fire", *equality.CONTINUAL])
def test_equal_agents_are_found_equal_and_others_are_not(method: str):
    subject = subjects.sac(CPU, quick=True)
    found = dict(equality.difference(subject, method))
    assert found.pop("") == "equal bit by bit"
    assert bool(found) == (method in equality.CONTINUAL)
    assert float(found.get("critic/replaced units", 1)) > 0
    made = []

    def make(device: torch.device) -> SAC:
        made.append(subject.make(device))
        agent = made[-1]
        assert isinstance(agent, SAC)
        agent.log_temperature.data += 0.1 * len(made)
        return agent

    assert "DIFFER" in str(equality.difference(replace(subject, make=make), method)[""])


def test_the_event_leaves_enough_blocks_to_capture_again_and_to_launch_that():
    warm_up_and_capture = WARM_UP + 1
    assert warm_up_and_capture < equality.EVENT
    assert warm_up_and_capture < equality.BLOCKS - equality.EVENT


def test_the_state_of_the_method_is_compared_too():
    one, ours = {"a": torch.ones(2)}, {"method.a": torch.ones(2)}
    assert "DIFFER" in equality.in_words(one, one | ours)
    assert "(method.a)" in equality.in_words(one | ours, one | {"method.a": torch.zeros(2)})


@pytest.mark.parametrize("make", [subjects.sac, subjects.dqn])
def test_two_devices_are_compared_in_float64(make: Any):
    subject = make(CPU, True)
    before, after = equality.trained(subject, CPU, torch.float64)
    assert before.dtype == after.dtype == torch.float64
    assert not torch.equal(before, after)
    assert equality.apart(subject, CPU) == {"of the distance trained": 0.0}


def test_a_distance_is_relative_to_the_distance_trained():
    before, after, theirs = torch.zeros(2), torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])
    assert equality.distance((before, after), (before, theirs)) == {"of the distance trained": pytest.approx(0.1)}


def test_the_floor_counts_the_products_that_arithmetic_says():
    settings = SACSettings(critic_width=32, actor_width=16, batch_size=32)
    agent = subjects.make_sac(settings, CPU)
    batch = subjects.transitions(100, CPU).sample(1, 32, torch.Generator().manual_seed(0))
    with RecordProducts() as record:
        agent.update(Batch(*batch))
    assert sac_floor(agent, record).flops == settings.size((51,), 19).operations


def test_products_are_recorded_without_garbage_collection():
    collections: list[str] = []

    def note(phase: str, about: Any) -> None:
        collections.append(phase)

    gc.callbacks.append(note)
    try:
        with timing.uncollected():
            cycles: list[Any] = [[] for _ in range(5_000)]  # more objects than a collection waits for
            assert not gc.isenabled()
            assert not collections
        assert gc.isenabled()
    finally:
        gc.callbacks.remove(note)
    assert len(cycles) == 5_000


def test_pace_counts_every_call(monkeypatch: pytest.MonkeyPatch):
    calls, now = [], [0.0]

    def call() -> None:
        calls.append(1)
        now[0] += 0.01

    def wait(device: torch.device) -> None:
        now[0] += 0.001  # until the device has finished what was queued

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(timing, "wait", wait)
    monkeypatch.setattr(timing, "seconds", lambda call, device: call() or 0.01)
    taken = timing.pace(call, CPU, 0.2)
    assert taken.queued == pytest.approx(0.01)
    counted = len(calls) - timing.WARM - 1
    assert counted == 20
    assert taken.done == pytest.approx(0.01 + 0.001 / 5), "a wait after each 5 calls, which fill CHUNK"


def test_the_comparison_with_jax_says_how_to_get_jax(tmp_path: Path):
    absent = tmp_path / "python"
    absent.write_text("#!/bin/sh\nexit 1\n")
    absent.chmod(0o700)
    found = rows_of(peer.jax_rates, replace(QUICK, jax_python=str(absent)), tmp_path)
    assert "pip install" in found["jax"]


def test_the_jax_code_makes_the_same_updates():
    pytest.importorskip("jax")
    found = peer.beside_ours(sys.executable, quick=True)
    assert len(found) == 4
    assert all(isinstance(value, float) and value < 1e-9 for value in found.values())


def test_a_failed_capture_is_an_error_of_the_part():
    agent = subjects.sac(torch.device("cpu"), quick=True).make(torch.device("cpu"))
    with pytest.raises(RuntimeError, match="updates are not captured: no graph"):
        agent.captured.say("updates are not captured: no graph")

"""The benchmarks that run on a GPU: how parts are isolated from each other, the table, and the command."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu.__main__ import Options, main
from benchmarks.gpu.conduct import ROOT, run_parts
from benchmarks.gpu.part import Part, Rows, Setting
from benchmarks.gpu.parts import GROUPS, PARTS, chosen
from benchmarks.gpu.table import NO_CARD, failures, table

QUICK = Setting(quick=True, seconds=0.1)


def works(setting: Setting, rows: Rows) -> None:
    rows.add("one", lambda: {"figure": 1.5})
    rows.add("two", lambda: {"figure": 1 / 0})
    rows.add("three", lambda: {"figure": 2.5})
    rows.add("objects", lambda: {"frozen": gc.get_freeze_count(), "others": len(gc.get_objects())})


def raises(setting: Setting, rows: Rows) -> None:
    rows.say("before", "kept")
    raise ValueError("what went wrong")


def hangs(setting: Setting, rows: Rows) -> None:
    rows.say("before", "kept")
    (ROOT / setting.jax_python).write_text(str(subprocess.Popen(["sleep", "600"]).pid))
    time.sleep(600)


def is_killed(setting: Setting, rows: Rows) -> None:
    rows.say("before", "kept")
    os.kill(os.getpid(), signal.SIGKILL)


def results_of(parts: list[Part], setting: Setting, seconds: float, folder: Path) -> dict[str, Any]:
    """Return what is recorded of each part, all of them within so many seconds."""
    kept: dict[str, Any] = {}

    def keep(part: Part, found: Any) -> None:
        kept[part.name] = found

    run_parts(parts, setting, time.monotonic() + seconds, folder / "log.txt", keep)
    return kept


def test_a_part_that_raises_hangs_or_is_killed_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kinds = [raises, hangs, is_killed, works]
    parts = [
        Part(kind.__name__, "tried", 9, 200, f"tests.test_benchmarks_gpu_conduct:{kind.__name__}") for kind in kinds
    ]
    kept: dict[str, Any] = {}
    child, log = tmp_path / "child", tmp_path / "log.txt"
    setting = replace(QUICK, jax_python=str(child))

    class Awaited(subprocess.Popen[bytes]):
        """Reaches its time limit as soon as it hangs, and has time to write where it is."""

        def wait(self, timeout: float | None = None) -> int:
            if timeout is None:
                return super().wait()
            ready = hangs_now if timeout > 1 else lambda: "in hangs" in log.read_text()
            wait_for(lambda: self.poll() is not None or ready())
            return super().wait(0)

    def hangs_now() -> bool:
        return "==== is_killed" not in log.read_text() and child.exists() and child.read_text() != ""

    monkeypatch.setattr(subprocess, "Popen", Awaited)
    run_parts(parts, setting, time.monotonic() + 900, log, lambda part, found: kept.update({part.name: found}))
    assert kept["raises"]["error"] == "ValueError: what went wrong"
    assert kept["hangs"]["error"].startswith("stopped after 200 s, in test_benchmarks_gpu_conduct.py:")
    assert kept["is_killed"]["error"] == "killed by SIGKILL"
    assert all(kept[kind.__name__]["rows"] == [{"name": "before", "says": "kept"}] for kind in kinds[:3])
    one, two, three, objects = kept["works"]["rows"]
    assert (one["figures"], three["figures"]) == ({"figure": 1.5}, {"figure": 2.5})
    assert two["error"] == "ZeroDivisionError: division by zero"
    assert "error" not in kept["works"]
    assert objects["figures"]["frozen"] > 10 * objects["figures"]["others"], "collections skip what was imported"
    wait_for(lambda: not alive(int(child.read_text())))  # processes that a stopped part had started are ended with it


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:  # it may end while it is looked at
        return False


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 200
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_part_is_not_begun_without_time(tmp_path: Path):
    kept: dict[str, Any] = {}
    part = Part("late", "tried", 9, 60, "tests.test_benchmarks_gpu_conduct:works")
    run_parts(
        [part], QUICK, time.monotonic() + 1, tmp_path / "log.txt", lambda one, found: kept.update({one.name: found})
    )
    assert "not begun" in kept["late"]["error"]


RESULTS: dict[str, Any] = {
    "card": "NVIDIA X1", "device": "cuda", "processor": "two cores", "torch": "2.11.0", "commit": "abc", "quick": False,
    "begun": "2026-01-02 03:04", "command": "python -m benchmarks.gpu",
    "parts": {
        "sac": {
            "meaning": "updates", "seconds": 31.4,
            "rows": [
                {"name": "eager, float32", "figures": {"updates/s": 115.23, "of the floor": 0.0234}},
                {"name": "captured, float32", "figures": {"updates/s": 12345.6, "of the floor": 0.5}},
                {"name": "compiled, float32", "error": "RuntimeError: no compiler"},
                {"name": "card", "figures": {"": "NVIDIA X1", "GiB": 79.6}},
                {"name": "ways", "says": "in results.json", "details": [{"us": 1.5}]},
            ],
        },
        "dqn": {"meaning": "others", "seconds": 90.0, "rows": [], "error": "stopped after 90 s"},
    },
}  # fmt: skip


def test_the_table_is_made_from_its_results():
    width = " " * 48
    assert table(RESULTS).splitlines() == [
        "NVIDIA X1, two cores, torch 2.11.0, commit abc",
        "2026-01-02 03:04, python -m benchmarks.gpu",
        "",
        "== sac: updates (31 s)",
        f"{width}  updates/s  of the floor",
        f"{'eager, float32':48s}      115.2        0.0234",
        f"{'captured, float32':48s}     12,346           0.5",
        f"{'compiled, float32':48s} ERROR: RuntimeError: no compiler",
        f"{'card':48s} NVIDIA X1, 79.6 GiB",
        f"{'ways':48s} in results.json",
        "",
        "== dqn: others (90 s)",
        "ERROR: stopped after 90 s",
        "",
        "2 of the above failed:",
        "  sac, compiled, float32: RuntimeError: no compiler",
        "  dqn: stopped after 90 s",
    ]
    assert NO_CARD in table(RESULTS | {"device": "cpu"}).splitlines()
    assert len(failures(RESULTS)) == 2


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *words], cwd=ROOT, capture_output=True, text=True, timeout=600
    )


def test_the_command_writes_a_table_and_the_figures_beside_it(tmp_path: Path):
    out = tmp_path / "found"
    said = command("--device", "cpu", "--quick", "--parts", "card", "--out", str(out))
    assert (said.returncode, said.stderr) == (0, "")
    results = json.loads((out / "results.json").read_text())
    assert results["device"] == "cpu"
    assert results["parts"]["card"]["rows"]
    assert (out / "table.txt").read_text() == table(results)
    assert NO_CARD in said.stdout
    said = command("--device", "cpu", "--out", str(out))
    assert said.returncode == 2
    assert "already contains results" in said.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(parts=("sax",)), "--parts sax given; allowed are .*; nearest is sac"),
        (Options(minutes=0.0), "--minutes 0.0 given"),
        (Options(device="tpu"), "--device 'tpu' given"),
        (Options(jax_python="/nowhere"), "--jax-python /nowhere given"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(options: Options, message: str):
    with pytest.raises(ValueError, match=message):
        main(options)


def test_parts_are_listed_with_their_times_and_packages(capsys: pytest.CaptureFixture[str]):
    assert main(Options(list=True)) == 0
    lines = {words[0]: words[1:] for line in capsys.readouterr().out.splitlines() if (words := line.split())}
    for name, part in PARTS.items():
        assert lines[name][:2] == [f"{part.usual:.0f}", f"{part.limit:.0f}"]
        assert part.needs in " ".join(lines[name])


def test_each_group_fits_into_nine_minutes_and_every_part_is_in_one():
    for group, parts in GROUPS.items():
        assert sum(part.usual for part in parts) < 8 * 60, f"{group}: a minute is kept for a slow start"
        assert all(part.usual < part.limit for part in parts)
    assert [part.name for parts in GROUPS.values() for part in parts] == list(PARTS)
    assert chosen(()) == list(GROUPS["first"])
    assert [part.name for part in chosen(("card", "second"))] == ["card", *(part.name for part in GROUPS["second"])]


def test_options_are_those_of_the_command_line():
    assert Options.given([]) == Options()
    given = Options.given(["--parts", "sac", "second", "--minutes", "9", "--out", "folder", "--quick"])
    assert given == Options(parts=("sac", "second"), minutes=9.0, out=Path("folder"), quick=True)


def test_the_page_shows_the_times_of_all_parts():
    lines = (ROOT / "docs" / "gpu.md").read_text().splitlines()
    for part in PARTS.values():
        assert any(f"`{part.name}`" in line and f"{part.usual:.0f}, {part.limit:.0f}" in line for line in lines), (
            part.name
        )
    for group, parts in GROUPS.items():
        assert f"| **{group}** | **{sum(part.usual for part in parts):.0f}** | | |" in lines

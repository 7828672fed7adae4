"""The examples run, are as short as they say, and do what they print."""

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(autouse=True)
def same_each_time() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def run(name: str, arguments: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", [name, *arguments.split()])
    return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")


@pytest.mark.parametrize("method", ["fire", "reset-head", "injection", "dash", "cbp"])
def test_plain_loop(method: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    done = run("plain_loop", f"--method {method} --steps 20", monkeypatch)
    assert len(done["manager"].events) == (0 if method == "cbp" else 2)
    assert ("after 10 updates" in capsys.readouterr().out) == (method != "cbp")


@pytest.mark.parametrize("method", ["fire", "redo", "snr"])
def test_cleanrl_manner(method: str, monkeypatch: pytest.MonkeyPatch):
    sizes = "--steps 150 --learning-starts 50 --batch-size 8 --every 40"
    done = run("cleanrl_manner", f"--method {method} {sizes} --regularizer l2-init weight-decay", monkeypatch)
    assert done["updates"] == 100
    assert [event.position.updates for event in done["manager"].events] == ([] if method == "snr" else [40, 80])
    assert len(done["manager"].regularizers) == 2


def test_stable_baselines3_sac(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("stable_baselines3")
    done = run("stable_baselines3_sac", "--steps 120", monkeypatch)
    assert [event.position.progress for event in done["callback"].events] == [60]
    assert "fire after 0 updates, 60 environment steps" in capsys.readouterr().out


def test_stable_baselines3_dqn(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("stable_baselines3")
    done = run("stable_baselines3_dqn", "--steps 500", monkeypatch)
    assert [event.position.updates for event in done["callback"].events] == [100, 200, 300, 400]


def test_what_is_added_is_short():
    for path in EXAMPLES.glob("*.py"):
        text = path.read_text()
        added = re.findall(r"# plasticity\n(.*?)# end\n", text, re.DOTALL) if path.stem == "cleanrl_manner" else [text]
        assert 0 < len("".join(added).splitlines()) < 30, path.name

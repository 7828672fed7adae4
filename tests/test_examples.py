"""The examples run, are as short as they say, and print what they should."""

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
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


@pytest.mark.parametrize("method", ["fire", "redo", "cbp"])
@pytest.mark.parametrize("name", ["resnet18", "gpt", "lstm", "vit"])
def test_models(name: str, method: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    usual = {"vit": "fire:include=*.query|*.key,solver=exact", "gpt": "fire:split=*.c_attn:3,solver=exact"}
    spelled = usual.get(name, "fire:solver=exact") if method == "fire" else method
    manager = run(name, f"--method {spelled} --updates 2", monkeypatch)["manager"]
    assert len(manager.events) == (0 if method == "cbp" else 2)
    assert capsys.readouterr().out.startswith("hidden units known: ")
    for event in manager.events if method == "redo" else ():
        assert any(key.startswith("reset ") for key in event.networks[0].outcome)
    for event in manager.events if method == "fire" else ():
        rows = [row for row in event.networks[0].matrices if row.squared_frobenius_error > 0]
        assert len(rows) == {"resnet18": 21, "gpt": 12, "lstm": 34, "vit": 4}[name]
        assert all(row.deviation_after < 1e-6 for row in rows)


def test_diagnose_own_network(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert run("diagnose_own_network", "", monkeypatch)["diagnosis"].where == "hidden layers"
    assert "it has lost plasticity" in capsys.readouterr().out


def test_the_lines_that_fire_adds_are_few():
    for path in EXAMPLES.glob("*.py"):
        text = path.read_text()
        added = re.findall(r"# plasticity\n(.*?)# end\n", text, re.DOTALL) if path.stem == "cleanrl_manner" else [text]
        longest = {"optuna_search": 50}  # a whole program with flags; its objective has ten lines
        most = longest.get(path.stem) or (
            55 if path.stem in ("resnet18", "gpt", "lstm", "vit", "train_any") else 30
        )  # these contain models
        assert 0 < len("".join(added).splitlines()) < most, path.name


def test_robot_loop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from fire_rl.commands.export import body
    from fire_rl.training import load_policy

    path = tmp_path / "policy.onnx"
    assert body(["pretrained:cartpole", "--output", str(path)]) == 0
    capsys.readouterr()
    robot = run("robot_loop", str(path), monkeypatch)["robot"]
    policy, moves = load_policy("pretrained:cartpole"), list[Any]()
    assert capsys.readouterr().out.split() == 3 * [str(policy.act(np.zeros(4, np.float32)))]
    seen = np.random.default_rng(0).standard_normal((20, 4))
    given = iter(seen)
    robot(lambda: next(given), moves.append, str(path), decisions=20)
    assert moves == policy.act(seen.astype(np.float32)).tolist()
    assert set(moves) == {0, 1}
    source = (EXAMPLES / "robot_loop.py").read_text()
    loop = next(re.finditer(r"^    options = .*?^        move\(action\)$", source, re.M | re.S))[0]
    assert len(loop.splitlines()) <= 15

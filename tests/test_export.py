"""Exported files compute what `load_policy` computes, and are not written if they do not."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import torch

from fire_rl.agents.sac.policy import SACPolicy
from fire_rl.commands.train import train_dqn
from fire_rl.training import load_policy
from fire_rl.training.export.agreement import agreement
from fire_rl.training.export.formats import made
from tests.fixtures import exported_runs
from tests.fixtures.exported_runs import ROOT, export, seen

runs = exported_runs.runs
pytestmark = pytest.mark.usefixtures("unrendered_module")


@pytest.mark.parametrize("name", ["sac", "dqn", "images", "odd"])
def test_an_onnx_file_computes_what_load_policy_does(runs: dict[str, Path], name: str, tmp_path: Path, capsys: Any):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    path = tmp_path / "policy.onnx"
    assert export(runs[name], "--output", path) == 0
    assert "from load_policy" in capsys.readouterr().out
    policy, session = load_policy(runs[name]), runtime.InferenceSession(path)
    dtype = np.uint8 if name == "images" else np.float32
    for count in (1, 2, 33):
        given = seen(policy)[:count]
        action, *values = session.run(None, {"observation": given.astype(dtype)})
        np.testing.assert_allclose(action, policy.act(given), atol=2e-5)
        if name != "sac":
            np.testing.assert_allclose(values[0], policy.action_values(given), atol=1e-5)
            assert (action >= (3 if name == "odd" else 0)).all()
    assert [path.name for path in tmp_path.iterdir()] == ["policy.onnx"], "weights are inside, nothing is left behind"


def test_actions_come_out_in_the_environment_s_bounds(runs: dict[str, Path]):
    policy = load_policy(runs["sac"])
    extreme = np.array([[1e6, -1e6, 1e6], [-1e6, 1e6, -1e6]], dtype=np.float32)
    action = policy.module()(torch.from_numpy(extreme))[0].detach().numpy()
    assert np.abs(action).max() <= 2.0
    assert np.abs(policy.act(seen(policy))).max() > 0
    np.testing.assert_allclose(action, policy.act(extreme), atol=1e-5)


@pytest.mark.parametrize("name", ["sac", "dqn"])
def test_several_formats_at_once_each_with_its_description(runs: dict[str, Path], name: str, tmp_path: Path):
    assert export(runs[name], "--format", "torchscript", "safetensors", "--output", tmp_path / "policy") == 0
    policy, extra = load_policy(runs[name]), {"about.json": ""}
    loaded = torch.jit.load(tmp_path / "policy.pt", _extra_files=extra)
    given = seen(policy, 9)
    with torch.no_grad():
        np.testing.assert_allclose(loaded(torch.from_numpy(given))[0].numpy(), policy.act(given), atol=1e-5)
    with safetensors.safe_open(tmp_path / "policy.safetensors", "pt") as file:
        about = file.metadata()
        assert set(file.keys()) == set(policy.module().state_dict())
    assert about == json.loads(extra["about.json"])
    assert about["environment"] == policy.config.run.env
    assert about["step"] == str(policy.step)
    assert json.loads(about["observation_space"])["shape"] == list(policy.spaces.observation.shape)
    assert json.loads(about["score"])["episodes"] >= 1


def test_an_onnx_file_describes_itself_and_nothing_of_this_machine(runs: dict[str, Path], tmp_path: Path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    path = tmp_path / "policy.onnx"
    export(runs["dqn"], "--output", path)
    session = runtime.InferenceSession(path)
    about = session.get_modelmeta().custom_metadata_map
    assert about["environment"] == "CartPole-v1"
    assert json.loads(about["action_space"]) == {"type": "discrete", "n": 2, "start": 0}
    assert session.get_inputs()[0].shape == ["batch", 4]
    assert [output.name for output in session.get_outputs()] == ["action", "action_values"]
    assert str(ROOT).encode() not in path.read_bytes()


def test_a_network_with_another_head_is_exported_too(runs: dict[str, Path], tmp_path: Path):
    branch = tmp_path / "branch"
    words = ("--branch-from", f"{runs['dqn']}@200", "--steps", "300", "--reinit", "injection", "--run-dir", str(branch))
    assert train_dqn(list(words)) == 0
    assert export(branch, "--format", "safetensors", "--output", tmp_path / "policy.safetensors") == 0
    assert export(branch, "--card", "--output", tmp_path / "card", "--episodes", 2) == 0
    policy, card = load_policy(branch), load_policy(tmp_path / "card")
    given = seen(policy, 50)
    np.testing.assert_array_equal(policy.action_values(given), card.action_values(given))


def test_a_file_that_computes_something_else_is_not_written(runs: dict[str, Path], tmp_path: Path, monkeypatch: Any):
    scaled = SACPolicy.forward
    monkeypatch.setattr(SACPolicy, "forward", lambda self, given: (scaled(self, given)[0] * 1.001,))
    with pytest.raises(ValueError, match=r"not written: largest difference of actions .* allowed is 1e-05"):
        export(runs["sac"], "--format", "torchscript", "--output", tmp_path / "policy.pt")
    assert not list(tmp_path.iterdir())


def test_a_different_greedy_action_is_refused_and_a_tie_is_not(runs: dict[str, Path]):
    policy = load_policy(runs["dqn"])
    given = seen(policy, 20)
    values = policy.action_values(given)

    def other(batch: np.ndarray) -> list[np.ndarray]:
        return [1 - policy.act(batch), policy.action_values(batch)]

    with pytest.raises(ValueError, match="20 of 20 greedy actions differ"):
        agreement(policy, other, given, "of the environment")
    assert (np.abs(values[:, 0] - values[:, 1]) > 1e-5).all()
    last = policy.agent.network.head[2]  # type: ignore[attr-defined]
    with torch.no_grad():
        last.weight[1] = last.weight[0]
        last.bias[1] = last.bias[0]
    found = agreement(policy, other, given, "of the environment")
    assert found.ties == 20
    assert "another action, of the same value" in found.said


class Chosen(torch.nn.Module):
    whole: torch.nn.Module
    outputs: tuple[str, ...]

    def forward(self, given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.whole(given)[0],)


class Choosing:
    """A user's own agent with numbered actions and no action values."""

    outputs: tuple[str, ...] = ("choice",)

    def __init__(self, agent: Any) -> None:
        self.agent = agent

    def act(self, given: np.ndarray, explore: bool) -> np.ndarray:
        return np.asarray(self.agent.act(given, explore=explore))

    def policy(self) -> torch.nn.Module:
        chosen = Chosen()
        chosen.whole, chosen.outputs = self.agent.policy(), self.outputs
        return chosen


def test_an_agent_with_numbered_actions_needs_no_action_values(runs: dict[str, Path]):
    policy = load_policy(runs["odd"])
    given = seen(policy, 20)
    policy.agent = Choosing(policy.agent)  # type: ignore[assignment]
    _, run = made(policy, "torchscript", {})
    assert "largest difference of actions from load_policy 0.0e+00" in agreement(policy, run, given, "drawn").said
    with pytest.raises(ValueError, match="20 of 20 actions differ from load_policy's"):
        agreement(policy, lambda batch: [7 - policy.act(batch)], given, "drawn")
    with pytest.raises(ValueError, match="the file gives 2 outputs, the policy names choice"):
        agreement(policy, lambda batch: [policy.act(batch)] * 2, given, "drawn")
    policy.agent.outputs = ("choice", "more")  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="the policy gives 1 outputs and names 2"):
        made(policy, "torchscript", {})


def test_a_torchscript_file_contains_nothing_of_this_machine(runs: dict[str, Path]):
    policy = load_policy(runs["sac"])
    content, run = made(policy, "torchscript", {})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert not any(str(ROOT).encode() in archive.read(name) for name in archive.namelist())
        assert archive.testzip() is None
    given = seen(policy, 9).astype(np.float32)
    np.testing.assert_allclose(run(given)[0], policy.act(given), atol=1e-5)


def test_values_that_are_not_finite_are_refused(runs: dict[str, Path]):
    policy = load_policy(runs["sac"])
    with pytest.raises(ValueError, match="not written"):
        agreement(policy, lambda given: [np.full((len(given), 1), np.nan)], seen(policy, 5), "drawn")


def test_of_several_files_all_are_written_or_none(runs: dict[str, Path], tmp_path: Path, monkeypatch: Any):
    def full(path: Path, content: bytes) -> None:
        if ".safetensors" in path.name:
            raise OSError(28, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr("fire_rl.training.export.writing.write_durably", full)
    with pytest.raises(ValueError, match=r"policy\.safetensors cannot be written: No space left on device"):
        export(runs["sac"], "--format", "torchscript", "safetensors", "--output", tmp_path / "policy")
    assert not list(tmp_path.iterdir())

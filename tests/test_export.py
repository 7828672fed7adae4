"""A policy leaves: files that compute what `load_policy` computes, and are not written where they do not."""

import importlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import safetensors
import torch
from gymnasium.envs.registration import register

from fire_rl.agents.sac.policy import SACPolicy
from fire_rl.commands.export import body
from fire_rl.commands.train import train_dqn, train_sac
from fire_rl.envs.kept_spaces import KeptBox, KeptDiscrete, kept_spaces
from fire_rl.training import load_policy
from fire_rl.training.checkpoint import folder_of, steps_of
from fire_rl.training.export import observations
from fire_rl.training.export.agreement import agreement
from fire_rl.training.export.formats import made
from fire_rl.training.files import read_json, write_json

pytestmark = pytest.mark.usefixtures("unrendered_module")
ROOT = Path(__file__).parents[1]
COMMON = (
    "--threads",
    "1",
    "--device",
    "cpu",
    "--replay-capacity",
    "1000",
    "--eval-every",
    "1000",
    "--measure-every",
    "0",
)
SAC = (
    *("--env", "Pendulum-v1", "--action-repeat", "1", "--steps", "120", "--learning-starts", "60", *COMMON),
    *("--critic-width", "8", "--actor-width", "8", "--batch-size", "16", "--eval-episodes", "2"),
)
DQN = (
    "--preset",
    "quick",
    "--steps",
    "200",
    "--learning-starts",
    "100",
    "--hidden-width",
    "16",
    "--eval-episodes",
    "2",
    *COMMON,
)


class OddCart(gym.Wrapper):
    """CartPole whose actions are counted from 3."""

    def __init__(self, **words: Any) -> None:
        super().__init__(gym.make("CartPole-v1", **words))
        self.action_space = gym.spaces.Discrete(2, start=3)

    def step(self, action: Any) -> Any:
        return self.env.step(action - 3)


register("OddCart-v0", OddCart, max_episode_steps=50)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("runs")
    assert train_sac([*SAC, "--run-dir", str(place / "sac")]) == 0
    for name, env in (("dqn", "CartPole-v1"), ("images", "MinAtar/Breakout-v1"), ("odd", "OddCart-v0")):
        assert train_dqn([*DQN, "--env", env, "--run-dir", str(place / name)]) == 0
    return {path.name: path for path in place.iterdir()}


def seen(policy: Any, count: int = 64) -> np.ndarray:
    return observations.observations_for(policy, count)[0]


def export(*words: object) -> int:
    return body([str(word) for word in words])


# What the files compute


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
def test_several_formats_at_once_each_with_what_it_says_of_itself(runs: dict[str, Path], name: str, tmp_path: Path):
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


def test_an_onnx_file_says_what_it_is_and_nothing_of_this_machine(runs: dict[str, Path], tmp_path: Path):
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


# The check


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
    last = policy._agent.network.head[2]  # type: ignore[attr-defined]
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
    """An agent of one's own with counted actions and no values of them."""

    outputs: tuple[str, ...] = ("choice",)

    def __init__(self, agent: Any) -> None:
        self.agent = agent

    def act(self, given: np.ndarray, explore: bool) -> np.ndarray:
        return np.asarray(self.agent.act(given, explore=explore))

    def policy(self) -> torch.nn.Module:
        chosen = Chosen()
        chosen.whole, chosen.outputs = self.agent.policy(), self.outputs
        return chosen


def test_an_agent_with_counted_actions_needs_no_values(runs: dict[str, Path]):
    policy = load_policy(runs["odd"])
    given = seen(policy, 20)
    policy._agent = Choosing(policy._agent)  # type: ignore[assignment]
    _, run = made(policy, "torchscript", {})
    assert "largest difference of actions from load_policy 0.0e+00" in agreement(policy, run, given, "drawn").said
    with pytest.raises(ValueError, match="20 of 20 actions differ from load_policy's"):
        agreement(policy, lambda batch: [7 - policy.act(batch)], given, "drawn")
    with pytest.raises(ValueError, match="the file gives 2 outputs, the policy names choice"):
        agreement(policy, lambda batch: [policy.act(batch)] * 2, given, "drawn")
    policy._agent.outputs = ("choice", "more")  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="the policy gives 1 outputs and names 2"):
        made(policy, "torchscript", {})


def test_a_torchscript_file_says_nothing_of_this_machine(runs: dict[str, Path]):
    policy = load_policy(runs["sac"])
    content, run = made(policy, "torchscript", {})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert not any(str(ROOT).encode() in archive.read(name) for name in archive.namelist())
        assert archive.testzip() is None
    given = seen(policy, 9).astype(np.float32)
    np.testing.assert_allclose(run(given)[0], policy.act(given), atol=1e-5)


def test_numbers_that_are_none_are_refused(runs: dict[str, Path]):
    policy = load_policy(runs["sac"])
    with pytest.raises(ValueError, match="not written"):
        agreement(policy, lambda given: [np.full((len(given), 1), np.nan)], seen(policy, 5), "drawn")


@pytest.mark.parametrize("name", ["sac", "images"])
def test_observations_come_from_the_replay_where_the_environment_is_gone(
    runs: dict[str, Path], name: str, monkeypatch: Any
):
    policy = load_policy(runs[name])
    monkeypatch.setattr("fire_rl.envs.world.make_vec", gone)
    found, source = observations.observations_for(policy, 50)
    assert source == "of the run's replay"
    assert str(found.dtype) == policy.spaces.observation.dtype
    assert found.shape == (50, *policy.spaces.observation.shape)
    if name == "sac":  # angles as cosine and sine
        np.testing.assert_allclose(np.square(found[:, :2]).sum(1), 1, atol=1e-5)
    else:
        assert set(np.unique(found)) == {0, 1}
        assert (found.reshape(50, -1).sum(1) > 0).all(), "ball and bricks are there"
    monkeypatch.setattr(observations, "_of_the_replay", gone)
    found, source = observations.observations_for(policy, 50)
    assert "drawn" in source
    assert found.shape == (50, *policy.spaces.observation.shape)
    content, run = made(policy, "torchscript", {})
    assert content
    agreement(policy, run, found, source)


def gone(*_: Any, **__: Any) -> Any:
    raise ModuleNotFoundError("No module named 'somebodys_package'")


def test_of_several_files_all_are_written_or_none(runs: dict[str, Path], tmp_path: Path, monkeypatch: Any):
    def full(path: Path, content: bytes) -> None:
        if ".safetensors" in path.name:
            raise OSError(28, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr("fire_rl.training.export.writing.write_durably", full)
    with pytest.raises(ValueError, match=r"policy\.safetensors cannot be written: No space left on device"):
        export(runs["sac"], "--format", "torchscript", "safetensors", "--output", tmp_path / "policy")
    assert not list(tmp_path.iterdir())


# Without the environment


@pytest.mark.parametrize("name", ["sac", "dqn", "images"])
def test_a_policy_is_loaded_where_the_environment_is_not(runs: dict[str, Path], name: str, monkeypatch: Any):
    expected = load_policy(runs[name])
    given = seen(expected, 8)
    monkeypatch.setattr("fire_rl.envs.world.make_vec", gone)
    policy = load_policy(runs[name], device="cpu")
    np.testing.assert_array_equal(policy.act(given), expected.act(given))
    np.testing.assert_array_equal(policy.act(given[0]), expected.act(given)[0])


def test_a_package_that_is_gone_or_fails_when_it_is_imported(tmp_path: Path, monkeypatch: Any):
    package, run = tmp_path / "carts.py", tmp_path / "run"
    package.write_text(
        "import gymnasium\nfrom gymnasium.envs.classic_control import PendulumEnv\n\n"
        "class Cart(PendulumEnv):\n    pass\n\n"
        "gymnasium.register('Cart-v0', entry_point='carts:Cart', max_episode_steps=50)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert train_sac([*SAC, "--env", "carts:Cart-v0", "--run-dir", str(run)]) == 0
    expected = load_policy(run, trust=True).act(np.ones(3))
    for content in ("raise RuntimeError('this machine has no licence for it')\n", None):
        sys.modules.pop("carts", None)
        gym.registry.pop("Cart-v0", None)
        importlib.invalidate_caches()
        if content is None:
            package.unlink()
        else:
            package.write_text(content)
        with pytest.raises(Exception, match="licence" if content else "carts"):
            gym.make("carts:Cart-v0")
        np.testing.assert_array_equal(load_policy(run, trust=True).act(np.ones(3)), expected)
    with pytest.raises(ValueError, match=f"add --trust {run}"):
        load_policy(run)


def test_a_run_of_an_earlier_version_asks_for_its_environment(runs: dict[str, Path], tmp_path: Path, monkeypatch: Any):
    import shutil

    old = tmp_path / "old"
    shutil.copytree(runs["sac"], old)
    forget_spaces(old)
    expected = load_policy(runs["sac"]).act(np.ones(3))
    np.testing.assert_array_equal(load_policy(old).act(np.ones(3)), expected)
    settings = read_json(old / "config.json")
    settings["run"]["env"] = "Pendullum-v1"
    write_json(old / "config.json", settings)
    with pytest.raises(ValueError, match="did not store its spaces") as caught:
        load_policy(old)
    assert "\n" not in str(caught.value)


def forget_spaces(run: Path) -> None:
    import hashlib

    from fire_rl.training.checkpoint import checksum_of

    folder = folder_of(run, steps_of(run)[-1])
    state = read_json(folder / "state.json")
    del state["work"]["spaces"]
    write_json(folder / "state.json", state)
    manifest = read_json(folder / "manifest.json")
    manifest.pop("checksum")
    manifest["files"]["state.json"] = hashlib.sha256((folder / "state.json").read_bytes()).hexdigest()
    write_json(folder / "manifest.json", manifest | {"checksum": checksum_of(manifest)})


def test_a_device_that_is_not_there_is_one_line(runs: dict[str, Path]):
    with pytest.raises(ValueError, match="--device 'cudda' given"):
        load_policy(runs["sac"], device="cudda")


def test_spaces_are_kept_as_they_are():
    odd = gym.spaces.Box(np.array([-1.0, -np.inf, 0.1]), np.array([1.0, 5.0, np.inf]), dtype=np.float64)
    kept = kept_spaces(odd, gym.spaces.Discrete(4, start=-2), 99)
    assert kept is not None
    assert kept.observation.space() == odd
    assert kept.action == KeptDiscrete(4, -2)
    assert kept.action.space() == gym.spaces.Discrete(4, start=-2)
    pixels = gym.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    kept = kept_spaces(pixels, odd, None)
    assert kept is not None
    assert kept.observation == KeptBox((4, 84, 84), "uint8", 0.0, 255.0)
    assert kept.observation.space() == pixels
    assert kept_spaces(gym.spaces.Dict(), odd, None) is None


@pytest.mark.parametrize(
    "box",
    [
        KeptBox((2,), "float32", (0.0, 1.0, 2.0), 3.0),
        KeptBox((2,), "float32", 4.0, 3.0),
        KeptBox((2,), "uint8", None, 3.0),
        KeptBox((2**31, 2**31), "float32", 0.0, 3.0),
    ],
)
def test_bounds_that_are_none_are_refused(box: KeptBox):
    with pytest.raises(ValueError):
        box.space()


# What is refused


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "no run given"),
        (["nowhere"], "nowhere is not a run"),
        (["{dqn}@7"], "there are: "),
        (["{dqn}@x"], "allowed is RUN or RUN@STEP"),
        (["{dqn}", "--format", "onx"], "--format 'onx' given; allowed are .*; nearest is onnx"),
        (["{dqn}", "--formats", "onnx"], "did you mean --format"),
        (["{dqn}", "--card", "--format", "safetensors"], "--format given with --card"),
        (["{dqn}", "--card", "--episodes", "-1"], "--episodes -1"),
        (["{dqn}", "--format", "safetensors", "--output", "{tmp}/nowhere/policy"], "there is no folder"),
        (["{dqn}", "--format", "safetensors", "--output", "{tmp}"], "a folder; allowed is a file"),
        (["{dqn}", "--format", "safetensors", "--output", "/proc/policy"], "/proc cannot be written"),
        (["{dqn}", "--card", "--output", "/proc/card"], "/proc cannot be written"),
        (["{dqn}", "--format", "torchscript", "--output", "{tmp}/a.onnx"], "leave its ending out"),
        (["{dqn}", "--trust", "{sac}"], "the run is"),
        (["pretrained:cartpol"], "there are .*; nearest is pretrained:cartpole"),
        (["pretrained:../runs"], "there are .*pretrained:cartpole"),
    ],
)
def test_a_wrong_call_is_one_line_and_leaves_nothing(
    runs: dict[str, Path], words: list[str], complaint: str, tmp_path: Path
):
    if "--format" not in words and "--card" not in words:
        words = [*words, "--format", "safetensors"] if words else words
    before = {path: sorted(path.iterdir()) for path in runs.values()}
    with pytest.raises(ValueError, match=complaint) as caught:
        export(*(word.format(tmp=tmp_path, **runs) for word in words))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert {path: sorted(path.iterdir()) for path in runs.values()} == before


def test_a_mistake_ends_in_exit_code_2(tmp_path: Path):
    ended = subprocess.run(
        [sys.executable, ROOT / "export.py", "nowhere"], capture_output=True, text=True, cwd=tmp_path
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == ["export.py: nowhere is not a run: there is no such folder"]


def test_a_missing_package_is_named_with_its_command(runs: dict[str, Path], tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--format onnx needs onnx, .*: make setup, or pip install -e '\.\[export\]'"):
        export(runs["dqn"], "--format", "onnx", "--output", tmp_path / "policy.onnx")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    if pytest.importorskip("onnx"):
        with pytest.raises(ValueError, match=r"pip install -e '\.\[export\]'"):
            export(runs["dqn"], "--format", "onnx", "--output", tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced_without_being_asked(runs: dict[str, Path], tmp_path: Path):
    path = tmp_path / "policy.safetensors"
    path.write_text("mine")
    words = (runs["sac"], "--format", "torchscript", "safetensors", "--output", tmp_path / "policy")
    with pytest.raises(ValueError, match="exists already: add --overwrite"):
        export(*words)
    assert path.read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["policy.safetensors"]
    assert export(*words, "--overwrite") == 0
    assert path.read_bytes() != b"mine"


def test_a_run_without_a_checkpoint_and_one_that_diverged_are_refused(runs: dict[str, Path], tmp_path: Path):
    import shutil

    bare, ended = tmp_path / "bare", tmp_path / "diverged"
    shutil.copytree(runs["sac"], bare)
    shutil.rmtree(bare / "checkpoints")
    with pytest.raises(ValueError, match="no whole checkpoint"):
        export(bare, "--format", "safetensors")
    shutil.copytree(runs["sac"], ended)
    with (ended / "metrics.jsonl").open("a") as file:
        line = {"kind": "diverged", "environment_steps": 130, "quantity": "critic_loss", "value": "nan"}
        file.write(json.dumps(line) + "\n")
    with pytest.raises(ValueError, match=r"diverged at step 130 \(critic_loss is nan\).*@120"):
        export(ended, "--format", "safetensors")
    assert export(f"{ended}@120", "--format", "safetensors") == 0


def test_a_run_without_a_policy_says_what_can_be_exported(tmp_path: Path):
    from fire_rl.training.learners import LEARNERS, config_to_json

    write_json(tmp_path / "config.json", config_to_json(LEARNERS["vision"].presets["quick"].config))
    with pytest.raises(ValueError, match=r"train_vision\.py; only runs of"):
        export(tmp_path, "--format", "safetensors")

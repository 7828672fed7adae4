"""A policy is loaded and exported where its environment is not installed."""

import importlib
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from fire_rl.commands.train import train_sac
from fire_rl.envs.kept_spaces import KeptBox, KeptDiscrete, kept_spaces
from fire_rl.training import load_policy
from fire_rl.training.checkpoint import folder_of, steps_of
from fire_rl.training.export import observations
from fire_rl.training.export.agreement import agreement
from fire_rl.training.export.formats import made
from fire_rl.training.files import read_json, write_json
from tests.fixtures import exported_runs
from tests.fixtures.exported_runs import SAC, seen

runs = exported_runs.runs
pytestmark = pytest.mark.usefixtures("unrendered_module")


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


@pytest.mark.parametrize("name", ["sac", "dqn", "images"])
def test_a_policy_is_loaded_where_the_environment_is_not(runs: dict[str, Path], name: str, monkeypatch: Any):
    expected = load_policy(runs[name])
    given = seen(expected, 8)
    monkeypatch.setattr("fire_rl.envs.world.make_vec", gone)
    policy = load_policy(runs[name], device="cpu")
    np.testing.assert_array_equal(policy.act(given), expected.act(given))
    np.testing.assert_array_equal(policy.act(given[0]), expected.act(given)[0])


def test_a_package_that_is_missing_or_fails_when_it_is_imported(tmp_path: Path, monkeypatch: Any):
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


def test_a_device_that_does_not_exist_is_refused_in_one_line(runs: dict[str, Path]):
    with pytest.raises(ValueError, match="--device 'cudda' given"):
        load_policy(runs["sac"], device="cudda")


def test_spaces_are_kept_as_they_are():
    odd = gym.spaces.Box(np.array([-1.0, -np.inf, 0.1]), np.array([1.0, 5.0, np.inf]), dtype=np.float64)
    kept: Any = kept_spaces(odd, gym.spaces.Discrete(4, start=-2), 99)
    assert kept.observation.space() == odd
    assert kept.action == KeptDiscrete(4, -2)
    assert kept.action.space() == gym.spaces.Discrete(4, start=-2)
    pixels = gym.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    kept = kept_spaces(pixels, odd, None)
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
def test_bounds_that_are_not_numbers_are_refused(box: KeptBox):
    with pytest.raises(ValueError):
        box.space()

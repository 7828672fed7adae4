"""Runs that diverge: where, in which quantity, and what is refused afterwards."""

from hashlib import sha256
from pathlib import Path

import pytest
import safetensors.torch
import torch

from fire_rl.training import load_policy
from fire_rl.training.checkpoint import checksum_of, folder_of
from fire_rl.training.files import read_json, write_json
from tests.fixtures import faulty_runs
from tests.fixtures.faulty_runs import BROKEN, METHODS, TINY, WORLDS, diverged, train

whole = faulty_runs.whole
copy = faulty_runs.copy
pytestmark = pytest.mark.usefixtures("unrendered_module")


def test_a_learning_rate_that_is_too_high_is_reported_where_it_shows(tmp_path: Path):
    said, line = diverged(tmp_path / "run", *TINY, "--learning-rate", "1e30")
    assert line["value"] in ("nan", "inf", "-inf")
    assert "try a lower --learning-rate than 1e+30" in said


@pytest.mark.parametrize(
    ("fault", "quantity", "value"),
    [
        ("observation", "observation", "nan"),
        ("infinity", "observation", "inf"),
        ("reset", "observation", "nan"),
        ("reward", "reward", "nan"),
        ("none", "reward", "nan"),
    ],
)
def test_an_environment_that_returns_nan_or_infinity_is_named_with_its_step(
    tmp_path: Path, fault: str, quantity: str, value: str
):
    name = f"{WORLDS}:Broken-{fault}-v0"
    said, line = diverged(tmp_path / "run", "--env", name, *BROKEN)
    assert (line["quantity"], line["value"]) == (quantity, value)
    assert line["environment_steps"] == 149, "the decision before it could be counted"
    assert f"{name} gave it" in said


def test_a_method_that_writes_nan_is_named(tmp_path: Path):
    method = f"{METHODS}:Spoiling"
    said, line = diverged(tmp_path / "run", *TINY, "--reinit", method, "--reinit-at", "150")
    assert line["environment_steps"] == 150
    assert line["quantity"].endswith(f"of the actor after {method}")
    assert "the last good checkpoint is at step 110" in said


def test_a_diverged_checkpoint_is_not_resumed(copy: Path):
    spoil(folder_of(copy, 400))
    said = train("--resume", str(copy), "--steps", "420")
    assert "checkpoint at step 400 is damaged" in said
    assert "the network had diverged" in said
    assert "continuing at step 330" in said


def test_a_policy_of_a_diverged_network_is_not_used(copy: Path):
    spoil(folder_of(copy, 400))
    with pytest.raises(ValueError, match="the network had diverged"):
        load_policy(copy, 400)
    with pytest.warns(UserWarning, match="diverged"):
        assert load_policy(copy).step == 330


def spoil(checkpoint: Path) -> None:
    """Write NaN into a weight, with correct checksums."""
    tensors = safetensors.torch.load_file(checkpoint / "agent.safetensors")
    tensors["critic.value.weight"][0] = torch.nan
    safetensors.torch.save_file(tensors, checkpoint / "agent.safetensors")
    manifest = read_json(checkpoint / "manifest.json")
    del manifest["checksum"]
    manifest["files"]["agent.safetensors"] = sha256((checkpoint / "agent.safetensors").read_bytes()).hexdigest()
    write_json(checkpoint / "manifest.json", manifest | {"checksum": checksum_of(manifest)})

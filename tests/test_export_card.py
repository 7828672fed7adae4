"""A card is read back as the same policy, by its folder or its name, and is not trusted: anybody may have made it."""

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from fire_rl import __version__
from fire_rl.commands import evaluate as evaluate_script
from fire_rl.commands.export import body
from fire_rl.commands.train import train_dqn as train
from fire_rl.training import load_policy, pretrained
from fire_rl.training.export.about import score_of
from fire_rl.training.export.observations import observations_for
from fire_rl.training.files import read_json, write_json
from fire_rl.training.folder import runs_below

TRAINED = (
    *("--env", "CartPole-v1", "--preset", "quick", "--steps", "200", "--learning-starts", "100", "--threads", "1"),
    *("--hidden-width", "16", "--eval-episodes", "2", "--device", "cpu", "--replay-capacity", "1000"),
)
FILES = ["README.md", "config.json", "curve.csv", "curve.png", "model.safetensors"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, and its card."""
    place = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["train_dqn.py", *TRAINED])
        assert train([*TRAINED, "--run-dir", str(place / "run")]) == 0
        assert body([str(place / "run"), "--card", "--output", str(place / "card"), "--episodes", "5"]) == 0
    return place


@pytest.fixture
def card(place: Path, tmp_path: Path) -> Path:
    """A copy of the card that a test may change."""
    return Path(shutil.copytree(place / "card", tmp_path / "card"))


def test_a_card_holds_the_same_policy(place: Path):
    policy, card = load_policy(place / "run"), load_policy(place / "card")
    given, _ = observations_for(policy, 100)
    np.testing.assert_array_equal(card.act(given), policy.act(given))
    np.testing.assert_array_equal(card.action_values(given), policy.action_values(given))
    assert (card.step, card.config) == (policy.step, policy.config)
    assert load_policy(place / "card", 200).step == 200
    with pytest.raises(ValueError, match="has no policy of step 100; it has one, of step 200"):
        load_policy(place / "card", 100)


def test_a_card_has_the_files_that_a_model_hub_reads(place: Path):
    card = place / "card"
    assert sorted(path.name for path in card.iterdir()) == FILES
    text = (card / "README.md").read_text()
    front = pytest.importorskip("yaml").safe_load(text.split("---\n")[1])
    assert front["library_name"] == "fire-rl"
    assert {"CartPole-v1", "dqn", "reinforcement-learning"} <= set(front["tags"])
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"]["name"] == "CartPole-v1"
    score = read_json(card / "config.json")["policy"]["score"]
    assert result["metrics"][0]["value"] == f"{score['mean']:.2f} +/- {score['deviation']:.2f}"
    assert score["episodes"] == 5
    assert score["low"] <= score["mean"] <= score["high"]
    for words in ("python train_dqn.py", "load_policy(", "95% interval", "## Limits", "fire-rl evaluate"):
        assert words in text
    rows = (card / "curve.csv").read_text().splitlines()
    assert rows[0] == "environment_steps,return,episodes,occasion"
    assert len(rows) >= 2


def test_a_card_says_where_the_run_s_record_ends_and_which_version_made_it(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = Path(shutil.copytree(place / "run", tmp_path / "run"))
    settings = read_json(run / "config.json")
    settings["run"]["steps"] = 40_000
    write_json(run / "config.json", settings)
    monkeypatch.setattr("fire_rl.training.export.about.__version__", "9.9")
    assert body([str(run), "--card", "--output", str(tmp_path / "card"), "--episodes", "0"]) == 0
    text = (tmp_path / "card" / "README.md").read_text()
    assert f"40,000 environment steps planned, 200 of them in the run's record, fire-rl {__version__}" in text
    assert "The policy is the checkpoint at step 200, not at the planned end." in text
    assert read_json(tmp_path / "card" / "config.json")["version"] == __version__


def test_a_card_is_evaluated_and_exported_like_a_run(place: Path, tmp_path: Path, capsys: Any):
    assert evaluate_script.body([str(place / "card"), "--episodes", "5"]) == 0
    score = read_json(place / "card" / "config.json")["policy"]["score"]
    said = capsys.readouterr().out
    assert f"return   {score['mean']:.1f}" in said, "the card's score is what evaluate.py measures"
    assert body([str(place / "card"), "--format", "safetensors", "--output", str(tmp_path / "policy")]) == 0
    assert body([str(place / "card"), "--card", "--output", str(tmp_path / "again"), "--episodes", "0"]) == 0
    for name in FILES:
        if name != "README.md":  # this names its folder
            assert (tmp_path / "again" / name).read_bytes() == (place / "card" / name).read_bytes()


def test_a_card_in_half_precision_is_read(card: Path):
    expected = load_policy(card)
    path = card / "model.safetensors"
    tensors = {name: value.half() for name, value in safetensors.torch.load_file(path).items()}
    path.write_bytes(safetensors.torch.save(tensors))
    given = np.zeros((3, 4), dtype=np.float32)
    np.testing.assert_allclose(load_policy(card).action_values(given), expected.action_values(given), atol=1e-2)


def test_a_card_among_runs_is_not_taken_for_a_run(place: Path):
    assert runs_below([place]) == [place / "run"]


def header(content: bytes) -> bytes:
    return struct.pack("<Q", 2**40) + content[8:]


def changed(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def spoil(card: Path) -> None:
        path = card / "model.safetensors"
        tensors = safetensors.torch.load_file(path)
        change(tensors)
        path.write_bytes(safetensors.torch.save(tensors))

    return spoil


def weights(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(card: Path) -> None:
        path = card / "model.safetensors"
        path.write_bytes(change(path.read_bytes()))

    return spoil


def record(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def spoil(card: Path) -> None:
        settings = read_json(card / "config.json")
        change(settings)
        write_json(card / "config.json", settings)

    return spoil


def linked(name: str) -> Callable[[Path], None]:
    def spoil(card: Path) -> None:
        (card / name).rename(card / "elsewhere")
        (card / name).symlink_to("elsewhere")

    return spoil


def sparse(card: Path) -> None:
    os.truncate(card / "model.safetensors", 2**36)


def widened(settings: dict[str, Any]) -> None:
    settings["agent"]["hidden_width"] = 2**40


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (weights(header), "its header would have 1,099,511,627,776 bytes"),
        (weights(lambda content: content[:-4]), "cannot be read as tensors"),
        (weights(lambda content: b""), "its header would have 0 bytes"),
        (weights(lambda content: b"\x80\x04" + content), "model.safetensors"),
        (sparse, "has 68,719,476,736 bytes, more than the"),
        (
            changed(lambda tensors: tensors.update({"policy.network.extra": torch.zeros(1)})),
            "which the policy does not",
        ),
        (changed(lambda tensors: tensors.pop("policy.network.head.2.bias")), "lacks 'policy.network.head.2.bias'"),
        (changed(lambda tensors: tensors.update({"policy.network.head.2.bias": torch.zeros(9)})), r"has shape \(9,\)"),
        (
            changed(lambda tensors: tensors.update({"policy.network.head.2.bias": torch.zeros(2, dtype=torch.int64)})),
            "holds torch.int64",
        ),
        (changed(lambda tensors: tensors["policy.network.head.2.bias"].fill_(np.nan)), "holds nan in"),
        (linked("model.safetensors"), "model.safetensors: is a symbolic link"),
        (linked("config.json"), "is a symbolic link"),
        (lambda card: (card / "model.safetensors").unlink(), "No such file"),
        (lambda card: (card / "config.json").write_text("[" * 100_000), "nested too deep|config.json"),
        (lambda card: (card / "config.json").write_text(" " * 2_000_000), "2,000,000 bytes"),
        (record(lambda settings: settings.update(policy={"step": 1})), "Object missing required field `spaces`"),
        (record(lambda settings: settings.update(policy=7)), "Expected `object`"),
        (record(lambda settings: settings["policy"].update(step=-1)), "step"),
        (record(lambda settings: settings["policy"].update(structure={"a": 1})), "holds no structure of this agent"),
        (record(lambda settings: settings["policy"]["spaces"]["observation"].update(shape=[5, 2**31])), "shape"),
        (record(lambda settings: settings["policy"]["spaces"]["observation"].update(shape=[7])), "bounds|shape"),
        (record(lambda settings: settings["policy"]["spaces"]["action"].update(n=3)), "has shape"),
        (record(lambda settings: settings["policy"]["spaces"]["action"].update(n=2**31 - 1)), "memory|has shape"),
        (record(widened), "memory|hidden"),
        (record(lambda settings: settings["run"].update(env="evil_module:Thing-v0")), "only because a file names it"),
        (record(lambda settings: settings["run"].update(reinit="evil_module:Thing")), "only because a file names it"),
    ],
)
def test_a_hostile_card_is_refused_in_one_line(
    card: Path, spoil: Callable[[Path], None], complaint: str, tmp_path: Path
):
    spoil(card)
    with pytest.raises(ValueError, match=complaint) as caught:
        load_policy(card)
    assert "\n" not in str(caught.value)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError):
        body([str(card), "--format", "safetensors", "--output", str(tmp_path / "policy")])
    assert sorted(tmp_path.iterdir()) == before


def test_bounds_of_actions_that_are_not_the_spaces_are_refused(tmp_path: Path):
    from fire_rl.commands.train import train_sac

    sizes = ("--critic-width", "8", "--actor-width", "8", "--batch-size", "16", "--eval-episodes", "1")
    words = ("--env", "Pendulum-v1", "--action-repeat", "1", "--steps", "80", "--learning-starts", "60")
    assert train_sac([*words, *sizes, "--threads", "1", "--device", "cpu", "--run-dir", str(tmp_path / "run")]) == 0
    card = tmp_path / "card"
    assert body([str(tmp_path / "run"), "--card", "--output", str(card), "--episodes", "1"]) == 0
    given = np.ones((2, 3), dtype=np.float32)
    np.testing.assert_array_equal(load_policy(card).act(given), load_policy(tmp_path / "run").act(given))
    changed(lambda tensors: tensors["high"].fill_(2000.0))(card)
    with pytest.raises(ValueError, match="'high' is not the bound of actions"):
        load_policy(card)


def test_a_card_in_a_hub_s_cache_is_refused_with_the_right_way_to_load_it(card: Path):
    blobs = card.parent.parent / "blobs"
    blobs.mkdir(exist_ok=True)
    (card / "model.safetensors").rename(blobs / "0123")
    (card / "model.safetensors").symlink_to("../../blobs/0123")
    with pytest.raises(ValueError, match="download with  hf download NAME --local-dir DIR"):
        load_policy(card)


def test_a_card_replaces_only_a_card_and_only_if_asked(place: Path, card: Path):
    words = [str(place / "run"), "--card", "--episodes", "0", "--output"]
    with pytest.raises(ValueError, match="exists already: add --overwrite"):
        body([*words, str(card)])
    (card / "README.md").write_text("old")
    assert body([*words, str(card), "--overwrite"]) == 0
    assert (card / "README.md").read_text() != "old"
    (card / "diary.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds diary\.txt, which is not a file of a card"):
        body([*words, str(card), "--overwrite"])
    (card.parent / "mine").mkdir()
    with pytest.raises(ValueError, match="is not a card"):
        body([*words, str(card.parent / "mine"), "--overwrite"])
    assert sorted(path.name for path in card.parent.iterdir()) == ["card", "mine"]


def test_a_full_disk_leaves_nothing_and_the_old_card(place: Path, card: Path, monkeypatch: pytest.MonkeyPatch):
    before = {path.name: path.read_bytes() for path in card.iterdir()}

    def full(path: Path, content: bytes) -> None:
        if path.name == "curve.csv":
            raise OSError(28, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr("fire_rl.training.export.writing.write_durably", full)
    words = [str(place / "run"), "--card", "--episodes", "0", "--overwrite", "--output"]
    for output in (card, card.parent / "new"):
        with pytest.raises(ValueError, match="cannot be written: No space left on device"):
            body([*words, str(output)])
    assert [path.name for path in card.parent.iterdir()] == ["card"]
    assert {path.name: path.read_bytes() for path in card.iterdir()} == before


def test_a_card_without_the_environment_has_the_run_s_own_score(place: Path, tmp_path: Path, monkeypatch: Any):
    def gone(*_: Any, **__: Any) -> Any:
        raise ModuleNotFoundError("No module named 'somebodys_package'")

    monkeypatch.setattr("fire_rl.envs.world.make_vec", gone)
    assert body([str(place / "run"), "--card", "--output", str(tmp_path / "card")]) == 0
    assert "the run's evaluation at step 200" in (tmp_path / "card" / "README.md").read_text()


def test_the_interval_equals_that_of_another_bootstrap():
    from scipy.stats import bootstrap

    returns = np.random.default_rng(3).exponential(20, 80)
    score = score_of(returns.tolist(), "")
    drawn = bootstrap((returns,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1))
    spread = returns.std() / np.sqrt(len(returns))
    assert score.low == pytest.approx(drawn.confidence_interval.low, abs=0.1 * spread)
    assert score.high == pytest.approx(drawn.confidence_interval.high, abs=0.1 * spread)
    assert score.mean == pytest.approx(returns.mean())


def test_the_included_policies_are_small_and_complete():
    names = pretrained.pretrained_names()
    assert names == ["cartpole", "h1-stand", "minatar-breakout"]
    for name in names:
        folder = pretrained.PLACE / name
        assert sum(path.stat().st_size for path in folder.iterdir()) < 2e6
        policy = load_policy(f"pretrained:{name}")
        settings = json.loads((folder / "config.json").read_text())
        assert settings["policy"]["score"]["episodes"] == 100
        assert policy.act(np.zeros(policy.spaces.observation.shape)).shape in ((), (19,))


def test_the_included_cartpole_policy_has_the_return_that_its_card_states(capsys: Any):
    assert evaluate_script.body(["pretrained:cartpole", "--episodes", "8", "--seed", "5"]) == 0
    assert "return   500.0" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["pretrained:cartpol", "pretrained:", "pretrained:../cartpole", "pretrained:/etc"])
def test_a_name_that_is_not_included_gets_the_list_and_the_nearest(name: str):
    with pytest.raises(ValueError, match=r"there are pretrained:cartpole.*; nearest is pretrained:") as caught:
        load_policy(name)
    assert "\n" not in str(caught.value)

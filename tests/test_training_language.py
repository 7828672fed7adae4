"""Continual language modelling as a run: phases of texts, a repeatable loss, and resumed runs that equal whole ones."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.differences import differences
from fire_rl.data.encodings import bytes_encoding
from fire_rl.data.prepare import Preparation, prepare
from fire_rl.training.command_line import read_command_line
from fire_rl.training.language import Language, LanguageRun
from fire_rl.training.learners import LEARNERS
from tests.fixtures import phased_runs
from tests.fixtures.phased_runs import lines
from tests.fixtures.slow import slow

SIZE = "--phase-updates 4 5 --batch-size 4 --context 16 --eval-sequences 8 --eval-at-once 4"
OFTEN = "--eval-every 3 --log-every 3 --measure-every 7 --checkpoint-every 4"
RUN = f"--preset quick --data first+second {SIZE} {OFTEN} --threads 1 --device cpu"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Two texts, prepared as bytes. A GPT with few rows is quick to evaluate."""
    for number, name in enumerate(("first", "second")):
        random = np.random.default_rng(number)
        files = tmp_path / f"{name}.txt", tmp_path / f"{name}-validation.txt"
        for path, size in zip(files, (2_000, 300), strict=True):
            path.write_bytes(random.integers(97 + 10 * number, 107 + 10 * number, size).astype(np.uint8).tobytes())
        prepare(Preparation(files[:1], tmp_path / "texts" / name, bytes_encoding(), validation=files[1:]))
    return tmp_path / "texts"


train = partial(phased_runs.train, "language")


def made(texts: Path, *words: str) -> Language:
    config = read_command_line([*RUN.split(), "--data-dir", str(texts), *words], LEARNERS["language"]).config
    assert isinstance(config, LanguageRun)
    return Language(config.resolved())


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("method", ["fire", slow("redo")])
def test_a_resumed_run_equals_one_that_never_stopped(tmp_path: Path, texts: Path, method: str):
    words = f"{RUN} --data-dir {texts} --reinit {method} --at-once 3"
    train(words, tmp_path / "whole")
    train(f"{words} --steps 6", tmp_path / "parts")
    train(f"--resume {tmp_path / 'parts'} --steps 9")
    assert differences(tmp_path / "whole", tmp_path / "parts") == []
    if method == "fire":
        (event,) = lines(tmp_path / "whole", "event")
        assert event["position"] == {"updates": 4}


@pytest.mark.usefixtures("unrendered")
def test_a_branch_at_the_second_text_equals_a_run_from_the_start(tmp_path: Path, texts: Path):
    words = f"{RUN} --data-dir {texts}"
    train(f"{words} --reinit fire", tmp_path / "whole")
    train(f"{words} --steps 4 --checkpoint-at 4", tmp_path / "trunk")
    train(f"--branch-from {tmp_path / 'trunk'}@4 --steps 9 --reinit fire", tmp_path / "branch")
    ends = [lines(folder, "evaluation")[-1] for folder in (tmp_path / "whole", tmp_path / "branch")]
    assert ends[0] == ends[1]


def test_the_loss_is_that_of_the_last_mixture_and_repeats(texts: Path):
    work = made(texts)
    values = work.evaluate(lambda: None)
    assert values == work.evaluate(lambda: None)
    assert values["loss"] == pytest.approx(np.mean(values["by_phase"]))  # two texts of one length
    assert values["perplexity"] == pytest.approx(math.exp(values["loss"]))
    assert values["loss"] == pytest.approx(math.log(256), abs=0.2)  # nothing is known at first
    other = made(texts, "--seed", "5")
    for own, theirs in zip(work.texts.validation("first", 1), other.texts.validation("first", 1), strict=True):
        assert torch.equal(own.tokens, theirs.tokens)


def test_the_batch_size_of_evaluation_changes_no_sequence(texts: Path):
    few, many = (made(texts, "--eval-at-once", count).evaluate(lambda: None) for count in ("3", "8"))
    assert few["by_phase"] == pytest.approx(many["by_phase"], abs=1e-6)


def test_parts_of_a_batch_make_the_same_step_as_the_whole(texts: Path):
    whole, parts = made(texts), made(texts, "--at-once", "3")
    for work in (whole, parts):
        manager = work.config.manager(work)
        for _ in range(3):
            means = work.update(1, manager)
    assert means["loss"] > 0
    ours, theirs = whole.trained.module.state_dict(), parts.trained.module.state_dict()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--phase-updates 4 5 6", "has 2 texts"),
        ("--phase-updates 4 0", "numbers above 0"),
        ("--data first+first", "twice"),
        ("--steps 10", "at most 9"),
        ("--eval-sequences 0", "above 0"),
        ("--data pyton", "did you mean python"),
    ],
)
def test_settings_that_make_no_phases_are_refused_in_one_line(words: str, said: str):
    with pytest.raises(ValueError, match=said) as error:
        read_command_line([*RUN.split(), *words.split()], LEARNERS["language"])
    assert "\n" not in str(error.value)


def test_a_context_longer_than_a_text_and_missing_files_are_refused_in_one_line(texts: Path):
    with pytest.raises(ValueError, match="context of 1,000 tokens given"):
        made(texts, "--context", "1000")
    with pytest.raises(ValueError, match="TEXT_FILES"):
        made(texts, "--data", "first+third")

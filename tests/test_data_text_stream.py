"""Batches of text, counted, and compared with windows that are cut by hand."""

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from fire_rl.data.text_stream import OnDevice, OnHost, PhasedText, TextBatch, TextPhase, accumulating
from fire_rl.data.tokens import Tokens, tokens_in_memory

CONTEXT = 8


@dataclass(frozen=True)
class Made:
    train: Tokens
    validation: Tokens


def made(first: int, length: int, held_out: int = 30) -> Made:
    """Return a source in which every token gives its place."""
    parts = (np.arange(first, first + length), np.arange(first, first + held_out))
    return Made(*(tokens_in_memory(part.astype(np.uint16), None) for part in parts))


SOURCES = {"low": made(0, 500), "high": made(40_000, 1_500)}  # also beyond what fits into 15 bits
PHASES = (TextPhase({"low": 1.0}, 30), TextPhase({"low": 1.0, "high": 3.0}, 50))


def text(seed: int = 0, context: int = CONTEXT, batch_size: int = 16) -> PhasedText:
    return PhasedText(SOURCES, PHASES, context=context, batch_size=batch_size, seed=seed)


def windows_of(batch: TextBatch) -> list[tuple[int, ...]]:
    return [tuple(row) for row in torch.cat([batch.tokens, batch.following[:, -1:]], dim=1).tolist()]


def test_a_window_is_a_part_of_its_source_and_its_targets_are_one_further():
    stream = text()
    for update in (0, 29, 30, 79):
        batch = stream.batch(update)
        assert batch.tokens.shape == batch.following.shape == (16, CONTEXT)
        assert batch.tokens.dtype == batch.following.dtype == torch.int64
        assert batch.tokens.is_contiguous()
        assert batch.following.is_contiguous()
        assert torch.equal(batch.following, batch.tokens + 1)
        for window in windows_of(batch):
            source = SOURCES["high" if window[0] >= 40_000 else "low"]
            start = window[0] - int(source.train.values[0])
            assert window == tuple(source.train.values[start : start + CONTEXT + 1].tolist())


def test_phases_begin_where_the_ones_before_them_end():
    stream = text()
    assert (stream.starts, stream.total) == ((0, 30), 80)
    assert [stream.phase_at(update) for update in (0, 29, 30, 79)] == [0, 0, 1, 1]
    for update in (-1, 80):
        with pytest.raises(ValueError, match="allowed are 0 to 79"):
            stream.batch(update)
    assert all(max(map(max, windows_of(stream.batch(update)))) < 500 for update in range(30))


def test_a_batch_depends_on_seed_and_number_alone():
    one, other = text(), text()
    backwards = {update: windows_of(other.batch(update)) for update in reversed(range(80))}
    assert all(windows_of(one.batch(update)) == backwards[update] for update in range(80))
    assert len({tuple(windows) for windows in backwards.values()}) == 80
    assert windows_of(text(seed=1).batch(0)) != backwards[0]


def test_random_draws_do_not_change():
    """Otherwise no earlier run could be continued exactly."""
    stream = text()
    checksum = hashlib.sha256()
    for update in range(80):
        checksum.update(stream.batch(update).tokens.numpy().tobytes())
    assert checksum.hexdigest()[:16] == "e9335abcb80a7b61"


def test_sources_are_as_frequent_as_their_weights_say():
    counts = Counter(
        "high" if window[0] >= 40_000 else "low"
        for update in range(30, 80)
        for window in windows_of(text(batch_size=200).batch(update))
    )
    assert counts.total() == 10_000
    deviation = (10_000 * 0.75 * 0.25) ** 0.5
    assert abs(counts["high"] - 7_500) < 4 * deviation


def test_the_published_mixture_and_a_weight_of_almost_nothing():
    phases = (TextPhase({"high": 0.1, "low": 9.0}, 20), TextPhase({"low": 1e-300, "high": 1.0}, 1))
    stream = PhasedText(SOURCES, phases, context=CONTEXT, batch_size=1_000, seed=3)
    rare = sum(int((stream.batch(update).tokens[:, 0] >= 40_000).sum()) for update in range(20))
    expected = 20_000 * 0.1 / 9.1
    assert abs(rare - expected) < 4 * expected**0.5
    assert bool((stream.batch(20).tokens >= 40_000).all())


def test_windows_begin_everywhere_equally_often_and_never_reach_beyond_the_end():
    source = {"only": made(0, 20)}
    stream = PhasedText(source, (TextPhase({"only": 2.0}, 1),), context=CONTEXT, batch_size=12_000, seed=0)
    starts = Counter(stream.batch(0).tokens[:, 0].tolist())
    assert set(starts) == set(range(12))  # the last one predicts token 19
    statistic = sum((count - 1_000) ** 2 / 1_000 for count in starts.values())
    assert statistic < 31.3  # chi-square with 11 degrees of freedom, at one in a thousand


def test_storage_on_a_device_gives_the_same_as_storage_on_the_host():
    parts = [source.train.values for source in SOURCES.values()]
    host, device = OnHost(parts, torch.device("cpu")), OnDevice(parts, torch.device("cpu"))
    assert device.tokens.nbytes == 2 * 2_000
    which = np.array([0, 1, 1, 0, 1])
    starts = np.array([0, 0, 1_491, 491, 700])
    for mine, theirs in zip(host.at(which, starts, CONTEXT), device.at(which, starts, CONTEXT), strict=True):
        assert torch.equal(mine, theirs)
        assert mine.is_contiguous()
        assert theirs.is_contiguous()


def test_validation_is_the_same_for_every_run_and_time():
    one, other = text(seed=0), text(seed=5)
    other.batch(3)
    mixture = {"low": 1.0, "high": 3.0}
    drawn = [windows_of(batch) for batch in one.validation(mixture, 4)]
    assert drawn == [windows_of(batch) for batch in other.validation(mixture, 4)]
    assert drawn[:2] == [windows_of(batch) for batch in one.validation(mixture, 2)]
    assert drawn != [windows_of(batch) for batch in one.validation(mixture, 4, seed=1)]
    assert len({tuple(windows) for windows in drawn}) == 4
    of_one = [windows_of(batch) for batch in one.validation("high", 3, batch_size=5)]
    assert [len(batch) for batch in of_one] == [5, 5, 5]
    assert all(40_000 <= window[0] <= 40_030 - CONTEXT for batch in of_one for window in batch)


@pytest.mark.parametrize("length", [10, 16, 17, 18, 30, 33])
@pytest.mark.parametrize("count", [1, 2, 100])
def test_the_whole_validation_part_is_predicted_once(length: int, count: int):
    stream = PhasedText({"only": made(7, 40, length)}, (TextPhase({"only": 1.0}, 1),), context=8, batch_size=4, seed=0)
    batches = list(stream.whole_validation("only", count))
    predicted = torch.cat([batch.following.flatten() for batch in batches])
    given = torch.cat([batch.tokens.flatten() for batch in batches])
    assert predicted.tolist() == list(range(8, 7 + length))
    assert given.tolist() == list(range(7, 6 + length))
    assert all(len(batch.tokens) <= count for batch in batches)


def test_examples_to_look_at_belong_to_the_phase_and_not_to_the_batches():
    stream = text()
    assert max(map(max, windows_of(stream.examples(0, 50, 3, 1)))) < 500
    assert windows_of(stream.examples(1, 16, 40)) == windows_of(text().examples(1, 16, 40))
    assert windows_of(stream.examples(1, 16, 40)) != windows_of(stream.batch(40))
    assert windows_of(stream.examples(1, 16, 40, 0)) != windows_of(stream.examples(1, 16, 40, 1))


def test_phases_that_accumulate():
    phases = accumulating({"a": 1.0, "b": 2.0, "c": 3.0}, (10, 20))
    assert phases == (TextPhase({"a": 1.0}, 10), TextPhase({"a": 1.0, "b": 2.0}, 20))
    with pytest.raises(ValueError, match="2 phases given, but there are only 1 sources: a"):
        accumulating({"a": 1.0}, (1, 1))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"context": 500}, "context of 500 tokens given; the training part of low has 500 tokens, so at most 499"),
        ({"context": 30}, "context of 30 tokens given; the validation part of low has 30 tokens, so at most 29"),
        ({"context": 0}, "context of 0 given"),
        ({"batch_size": 0}, "batch of 0 windows given"),
    ],
)
def test_sizes_that_are_not_possible_are_refused(given: dict[str, int], words: str):
    with pytest.raises(ValueError, match=words):
        text(**given)


def test_phases_that_are_not_possible_are_refused():
    for mixture in ({}, {"low": 0.0}, {"low": -1.0}, {"low": float("nan")}, {"low": float("inf")}):
        with pytest.raises(ValueError, match="weights above 0"):
            TextPhase(mixture, 1)
        with pytest.raises(ValueError, match="weights above 0"):
            next(text().validation(mixture, 1))
    with pytest.raises(ValueError, match="phase of 0 updates"):
        TextPhase({"low": 1.0}, 0)
    with pytest.raises(ValueError, match="no source is called 'lo'; there are low, high"):
        PhasedText(SOURCES, (TextPhase({"lo": 1.0}, 1),), context=4, batch_size=1, seed=0)
    with pytest.raises(ValueError, match="no phase given"):
        PhasedText(SOURCES, (), context=4, batch_size=1, seed=0)

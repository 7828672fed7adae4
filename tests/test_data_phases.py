"""The examples of each phase, enumerated and not sampled."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fire_rl.data import Phase, class_incremental, continual, held_out, subset, warm_start, with_noise
from fire_rl.data.draws import generator

LABELS = torch.tensor([0, 1, 2, 3] * 10 + [0, 1] * 5)  # 15 of 0 and of 1, 10 of 2 and of 3
N = len(LABELS)


def members(indices: Tensor) -> list[int]:
    assert indices.dtype == torch.int64
    return sorted(indices.tolist())


def check_growth(phases: tuple[Phase, ...]) -> None:
    """Phases accumulate, and the new part of a phase is what the previous phase did not have."""
    seen: set[int] = set()
    for phase in phases:
        now = set(phase.examples.tolist())
        assert len(now) == len(phase.examples)
        assert now >= seen
        assert set(phase.fresh.tolist()) == now - seen
        seen = now
    assert members(phases[-1].examples) == list(range(N))


def test_a_warm_start_has_a_share_and_then_everything():
    phases = warm_start(LABELS, 4, share=0.1, first_epochs=7, epochs=3, seed=5)
    check_growth(phases)
    assert [len(phase.examples) for phase in phases] == [5, 50]
    assert [phase.epochs for phase in phases] == [7, 3]
    assert all(phase.classes.tolist() == [0, 1, 2, 3] for phase in phases)


@pytest.mark.parametrize(
    ("share", "first"), [(0.3, 15), (0.4, 20), (0.7, 35), (0.9, 45), (1.0, 50), (0.01, 0), (0.011, 1)]
)
def test_every_share_is_used_as_given(share: float, first: int):
    if not first:
        with pytest.raises(ValueError, match=r"0\.01 of 50 examples is no example"):
            warm_start(LABELS, 4, share=share, first_epochs=1, epochs=1, seed=0)
        return
    phases = warm_start(LABELS, 4, share=share, first_epochs=1, epochs=1, seed=0)
    assert len(phases[0].examples) == first
    assert len(phases[1].fresh) == N - first


def test_published_numbers_of_updates():
    """For the publication's settings: its data sets, batches of 256, epochs and phases."""
    cifar = torch.arange(50_000) % 100
    tiny = torch.arange(100_000) % 200
    for labels, classes, first, second in ((cifar, 100, 20_000, 19_600), (tiny, 200, 40_000, 39_100)):
        phases = warm_start(labels, classes, share=0.1, first_epochs=1000, epochs=100, seed=1)
        assert [phase.updates(256) for phase in phases] == [first, second]
    for labels, classes, growing, incremental in ((cifar, 100, 108_000, 206_100), (tiny, 200, 215_500, 411_200)):
        phases = continual(labels, classes, phases=10, epochs=100, seed=1)
        assert sum(phase.updates(256) for phase in phases) == growing
        phases = class_incremental(labels, classes, phases=20, epochs=100, seed=1)
        assert sum(phase.updates(256) for phase in phases) == incremental


@pytest.mark.parametrize(
    ("phases", "sizes"), [(1, [50]), (5, [10, 20, 30, 40, 50]), (4, [12, 25, 37, 50]), (50, [*range(1, 51)])]
)
def test_continual_phases_accumulate_equal_shares(phases: int, sizes: list[int]):
    made = continual(LABELS, 4, phases=phases, epochs=2, seed=3)
    check_growth(made)
    assert [len(phase.examples) for phase in made] == sizes
    assert all(phase.classes.tolist() == [0, 1, 2, 3] for phase in made)


@pytest.mark.parametrize(("phases", "new"), [(1, 4), (2, 2), (4, 1)])
def test_class_incremental_phases_have_all_of_the_classes_seen(phases: int, new: int):
    made = class_incremental(LABELS, 4, phases=phases, epochs=2, seed=3)
    check_growth(made)
    for number, phase in enumerate(made, 1):
        assert len(phase.classes) == number * new
        expected = [index for index, label in enumerate(LABELS.tolist()) if label in phase.classes.tolist()]
        assert members(phase.examples) == expected
        assert set(LABELS[phase.fresh].tolist()) == set(phase.classes[-new:].tolist())


def test_the_classes_arrive_in_every_order():
    orders = Counter(
        tuple(class_incremental(LABELS[:4], 4, phases=4, epochs=1, seed=seed)[-1].classes.tolist())
        for seed in range(2400)
    )
    assert len(orders) == 24
    assert max(abs(count - 100) for count in orders.values()) < 45  # 4.5 standard deviations


def test_every_example_is_as_likely_to_be_in_the_first_phase():
    counts = torch.zeros(N)
    for seed in range(2000):
        counts[warm_start(LABELS, 4, share=0.2, first_epochs=1, epochs=1, seed=seed)[0].examples] += 1
    assert counts.sum() == 2000 * 10
    assert (counts - 400).abs().max() < 4.5 * (2000 * 0.2 * 0.8) ** 0.5


def test_seeds_repeat_and_differ():
    for make in (
        lambda seed: warm_start(LABELS, 4, share=0.5, first_epochs=1, epochs=1, seed=seed)[0].examples,
        lambda seed: continual(LABELS, 4, phases=5, epochs=1, seed=seed)[-1].examples,
        lambda seed: class_incremental(LABELS, 4, phases=2, epochs=1, seed=seed)[-1].examples,
        lambda seed: with_noise(LABELS, 4, 0.5, seed),
        lambda seed: held_out(LABELS, 0.3, seed)[1],
        lambda seed: subset(LABELS, 20, seed),
    ):
        assert torch.equal(make(1), make(1))
        assert not torch.equal(make(1), make(2))
        assert not torch.equal(make(1), make(2**32 + 1))
        with pytest.raises(ValueError, match="seed -1 given; allowed is 0 or more"):
            make(-1)


def test_no_two_random_generators_are_alike():
    places = [(0,), (1,), (4, 0, 0), (4, 0, 1), (4, 1, 0), (5, 0, 1), (5, 1)]
    streams = {tuple(generator(seed, *place).integers(2**62, size=2)) for place in places for seed in (0, 1, 2**32)}
    assert len(streams) == 3 * len(places)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_noise_redraws_exactly_the_share(share: float):
    labels = torch.arange(20_000) % 10
    before = labels.clone()
    noisy = with_noise(labels, 10, share, seed=0)
    assert torch.equal(labels, before)
    wrong = (noisy != labels).double().mean().item()
    assert wrong == pytest.approx(0.9 * share, abs=0.01)
    changed = noisy[noisy != labels]
    assert not share or changed.bincount(minlength=10).min() > 0.8 * len(changed) / 10
    drawn = with_noise(torch.full((20_000,), 77), 10, share, seed=0)  # a label that no draw gives
    assert (drawn != 77).sum() == round(share * 20_000)


@given(
    labels=st.lists(st.integers(0, 5), min_size=2, max_size=60),
    part=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**40),
)
def test_held_out_examples_are_stratified(labels: list[int], part: float, seed: int):
    known = torch.tensor(labels)
    if not 0 < (count := round(part * len(labels))) < len(labels):
        with pytest.raises(ValueError, match="held-out share"):
            held_out(known, part, seed)
        return
    kept, held = held_out(known, part, seed)
    assert sorted(kept.tolist() + held.tolist()) == list(range(len(labels)))
    assert (held.tolist(), kept.tolist()) == (members(held), members(kept))
    assert len(held) == count
    sizes, taken = Counter(labels), Counter(known[held].tolist())
    assert all(abs(taken[label] - count * size / len(labels)) < 1 for label, size in sizes.items())


def test_a_subset_has_every_class_in_proportion():
    chosen = subset(LABELS, 20, seed=0)
    assert members(chosen) == chosen.tolist()
    assert LABELS[chosen].bincount().tolist() == [6, 6, 4, 4]
    assert members(subset(LABELS, N, seed=0)) == list(range(N))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: warm_start(LABELS, 4, share=0.0, first_epochs=1, epochs=1, seed=0), "a first share of 0 given"),
        (lambda: warm_start(LABELS, 4, share=1.1, first_epochs=1, epochs=1, seed=0), "a first share of 1.1 given"),
        (lambda: warm_start(LABELS, 4, share=float("nan"), first_epochs=1, epochs=1, seed=0), "share of nan given"),
        (lambda: warm_start(LABELS, 4, share=0.5, first_epochs=0, epochs=1, seed=0), "0 epochs given"),
        (lambda: continual(LABELS, 4, phases=51, epochs=1, seed=0), "allowed are 1 to 50"),
        (lambda: continual(LABELS, 4, phases=0, epochs=1, seed=0), "allowed are 1 to 50"),
        (lambda: continual(LABELS, 4, phases=2, epochs=-1, seed=0), "-1 epochs given"),
        (lambda: class_incremental(LABELS, 4, phases=3, epochs=1, seed=0), "numbers that divide them: 1, 2, 4"),
        (lambda: class_incremental(LABELS, 4, phases=0, epochs=1, seed=0), "numbers that divide them: 1, 2, 4"),
        (lambda: class_incremental(LABELS, 6, phases=3, epochs=1, seed=0), "there is none of 4, 5"),
        (lambda: class_incremental(LABELS, 200, phases=2, epochs=1, seed=0), "none of 4, 5, 6, 7, 8 and 191 others"),
        (lambda: class_incremental(LABELS, 2, phases=2, epochs=1, seed=0), "labels from 0 to 3 given; 2 classes"),
        (lambda: with_noise(LABELS, 4, -0.1, 0), "label noise -0.1 given"),
        (lambda: with_noise(LABELS, 4, float("nan"), 0), "label noise nan given"),
        (lambda: held_out(LABELS, 0.001, 0), "held-out share of 0.001 of 50 examples"),
        (lambda: held_out(LABELS, 1.0, 0), "held-out share of 1 of 50 examples"),
        (lambda: subset(LABELS, 51, 0), "allowed are 1 to 50"),
    ],
)
def test_wrong_values_are_refused_in_one_line(make, said: str):
    with pytest.raises(ValueError) as error:
        make()
    assert said in str(error.value)
    assert "\n" not in str(error.value)

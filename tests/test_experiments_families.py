"""Several differences together: exact tests compared with SciPy's, and their error rates in simulations."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fire_rl.experiments.analysis import families
from fire_rl.experiments.analysis.contrasts import in_order
from fire_rl.experiments.analysis.families import chance_of_any, family_of, holm, least_runs
from fire_rl.experiments.analysis.permutations import permutations
from fire_rl.experiments.analysis.power import detectable, power, seeds_in_words, seeds_needed
from fire_rl.experiments.report.findings import looked_at_together

METHODS = ("redo", "reset", "shrink-perturb", "fire")


def pairs(n: int, paired: bool = True):
    """Return four methods against the baseline, and the last one against the three others."""
    sides = ((n,), (n,))
    against = [(method, "none", paired, sides) for method in METHODS]
    return tuple(against + [("fire", method, paired, sides) for method in METHODS[:3]])


def difference_of_means(one, other, axis=-1):
    return np.mean(one, axis=axis) - np.mean(other, axis=axis)


@pytest.mark.parametrize("n", [2, 5, 9])
def test_paired_p_values_are_scipys(n):
    left, right = np.random.default_rng(n).normal([[0.7], [0.0]], size=(2, n)).round(1)
    theirs = stats.permutation_test(
        (left - right,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    found = permutations([left], [right], paired=True)
    assert found.p == pytest.approx(theirs.pvalue)
    assert (found.exact, found.ways) == (True, 2**n)


@pytest.mark.parametrize("sizes", [(3, 3), (5, 4), (6, 6)])
def test_unpaired_p_values_are_scipys(sizes):
    generator = np.random.default_rng(sizes[0])
    left, right = generator.normal(1, size=sizes[0]).round(1), generator.normal(size=sizes[1]).round(1)
    theirs = stats.permutation_test((left, right), difference_of_means, n_resamples=np.inf, vectorized=True)
    found = permutations([left], [right], paired=False)
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.exact
    assert found.ways == math.comb(sum(sizes), sizes[0])


def test_tests_of_several_environments_flip_in_each_of_them():
    left, right = [np.array([1.0, 3]), np.array([5.0, 6, 9])], [np.array([0.0, 1]), np.array([5.5, 5, 7])]
    seen = [one - other for one, other in zip(left, right, strict=True)]
    signs = itertools.product(itertools.product((1, -1), repeat=2), itertools.product((1, -1), repeat=3))
    of_all = [np.mean([(seen[0] * first).mean(), (seen[1] * second).mean()]) for first, second in signs]
    found = permutations(left, right, paired=True)
    assert found.p == pytest.approx(2 * np.mean(np.array(of_all) >= of_all[0] - 1e-12))


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_intervals_hold_the_shifts_that_the_test_does_not_reject(paired, confidence):
    left, right = np.random.default_rng(0).normal(size=(2, 6))
    low, high = permutations([left], [right], paired).interval(confidence)
    for shift, inside in ((low + 1e-6, True), (high - 1e-6, True), (low - 1e-6, False), (high + 1e-6, False)):
        assert (permutations([left - shift], [right], paired).p > 1 - confidence) == inside


def test_many_ways_are_drawn_and_come_to_nearly_the_same():
    left, right = np.random.default_rng(1).normal([[0.6], [0.0]], size=(2, 25))
    for paired in (True, False):
        found = permutations([left], [right], paired)
        theirs = stats.ttest_rel(left, right) if paired else stats.ttest_ind(left, right)
        assert not found.exact
        assert found.p == pytest.approx(theirs.pvalue, abs=0.02)
        t = theirs.confidence_interval(0.99)
        assert found.interval(0.99) == pytest.approx((t.low, t.high), abs=0.1)


def test_very_few_pairs_have_no_small_p_and_no_interval():
    ahead = permutations([np.arange(5.0) + 3], [np.arange(5.0)], paired=True)
    assert ahead.p == 2 / 32
    assert np.isnan(ahead.interval(0.95)).all()
    assert permutations([np.ones(1)], [np.zeros(1)], paired=True).p == 1
    alike = permutations([np.ones(6)], [np.ones(6)], paired=True)
    assert (alike.p, alike.interval(0.95)) == (1, (0, 0))
    assert [least_runs(0.05, True), least_runs(0.05 / 7, True), least_runs(0.05, False)] == [6, 9, 5]
    assert least_runs(0.05 / 7, False) == 6


def test_holms_correction_follows_its_definition():
    """Multiply the smallest p by the number of tests, the next one by one less, as long as each is rejected."""
    generator = np.random.default_rng(0)
    for _ in range(50):
        ps = generator.random(6).round(2) / 5
        order = np.argsort(ps, kind="stable")
        for level in (0.01, 0.05, 0.2):
            rejected = set()
            for rank, place in enumerate(order):
                if ps[place] > level / (6 - rank):
                    break
                rejected.add(int(place))
            assert {place for place, p in enumerate(holm(ps.tolist())) if p <= level} == rejected


@pytest.mark.parametrize(("n", "at_most"), [(5, 0.0), (10, 0.05)])
@pytest.mark.parametrize("heavy", [False, True])
def test_the_family_wise_error_rate_is_at_most_the_stated_one(n, at_most, heavy):
    """Of seven differences between five methods that do not differ."""
    generator = np.random.default_rng(n)
    experiments, wrong, missed = 400, 0, 0
    for _ in range(experiments):
        noise = generator.standard_t(3, size=(5, n)) if heavy else generator.normal(size=(5, n))
        scores = dict(zip(("none", *METHODS), noise + generator.normal(size=n), strict=True))
        tests = [permutations([scores[one]], [scores[other]], paired=True) for one, other, *_ in pairs(n)]
        wrong += min(holm([test.p for test in tests])) <= 0.05
        bounds = [test.interval(1 - 0.05 / 7) for test in tests]
        missed += any(low > 0 or high < 0 for low, high in bounds)
    assert wrong >= missed
    assert wrong / experiments <= at_most + 2 * math.sqrt(at_most * (1 - at_most) / experiments)


def test_single_intervals_exclude_0_more_often_and_the_report_says_how_often():
    chance, experiments = chance_of_any(pairs(5), 0.95)
    assert experiments >= 1_000
    assert chance == pytest.approx(0.44, abs=0.04)
    alone, _ = chance_of_any(pairs(5)[:1], 0.95)
    assert alone == pytest.approx(1 - 0.905, abs=0.03)
    assert chance_of_any(pairs(3), 0.95)[0] > chance
    assert chance_of_any(pairs(10), 0.95)[0] < chance
    assert chance_of_any(pairs(5, paired=False), 0.95)[0] < chance


def test_a_family_says_from_how_many_runs_on_it_can_decide_anything():
    found: Any = family_of(pairs(5), 0.95)
    assert (found.size, found.smallest_p, found.needed, found.paired) == (7, 2 / 32, 9, True)
    assert family_of([("fire", "none", True, ((1,), (1,)))], 0.95) is None
    few: Any = families.family_of(pairs(4, paired=False), 0.95)
    assert few.smallest_p == pytest.approx(2 / 70)


@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_a_family_of_several_environments_counts_the_runs_in_each(confidence):
    """Whatever the confidence of the intervals, p must be at most 0.05."""
    sides = ((2, 2), (2, 2))
    for paired, many, needed in ((False, 1, 5), (False, 7, 5), (True, 7, 5), (True, 60, 6)):
        found: Any = family_of([("fire", "none", paired, sides)] * many, confidence)
        ways, fewer = (2**n if paired else math.comb(2 * n, n) for n in (needed, needed - 1))
        assert 2 / ways**2 <= 0.05 / many
        assert needed == 5 or 2 / fewer**2 > 0.05 / many  # with fewer than 5, nothing can be decided
        assert (found.needed, found.environments) == (needed, 2)
        (said,) = looked_at_together(found)
        unit = "pairs" if paired else "runs of each method"
        assert f"that takes at least {needed} {unit} in each environment" in said
    alone = family_of(pairs(4, paired=False), confidence)
    assert alone is not None
    assert "that takes at least 6 runs of each method" in looked_at_together(alone)[0]


@pytest.mark.parametrize("n", [2, 3, 5, 12, 40])
@pytest.mark.parametrize("level", [0.05, 0.05 / 7])
def test_power_is_that_of_students_noncentral_t(n, level, monkeypatch):
    monkeypatch.setattr("fire_rl.experiments.analysis.power.least_runs", lambda level, paired: 2)
    for paired in (True, False):
        freedom, centre = (n - 1, 0.8 * math.sqrt(n)) if paired else (2 * n - 2, 0.8 * math.sqrt(n / 2))
        critical = stats.t.ppf(1 - level / 2, freedom)
        theirs = stats.nct.sf(critical, freedom, centre) + stats.nct.cdf(-critical, freedom, centre)
        assert power(0.8, n, level, paired) == pytest.approx(theirs, abs=2e-5)


def test_seeds_that_a_difference_of_one_standard_deviation_needs():
    assert (seeds_needed(1.0, 1, paired=True), seeds_needed(1.0, 1, paired=False)) == (10, 17)  # Cohen's tables
    assert seeds_needed(1.0, 7, paired=True) == 17
    assert detectable(5, 1, paired=True) is None  # 2/32 is above 0.05
    assert detectable(17, 7, paired=True) == pytest.approx(0.968, abs=0.001)  # slightly less than 1
    assert power(0.968, 17, 0.05 / 7, paired=True) == pytest.approx(0.8, abs=0.001)
    assert seeds_needed(1e-4, 1, paired=True) is None


def test_the_power_of_the_exact_test_is_close_to_the_stated_one():
    generator = np.random.default_rng(0)
    n = seeds_needed(1.0, 1, paired=True)
    assert n is not None
    found = [permutations([generator.normal(1, size=n)], [np.zeros(n)], paired=True).p <= 0.05 for _ in range(1_500)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.04)


def test_a_dry_run_says_which_difference_the_seeds_can_find():
    said = seeds_in_words(("none", *METHODS), 5, True, None, None)
    assert "7 differences" in said[0]
    assert "seeds: 17 are needed" in said[0]
    assert "as large as its standard deviation over the trunks" in said[0]
    assert "with 5 seeds, none of these differences can be settled" in said[1]
    assert "at least 9 seeds" in said[1]
    (one, other) = seeds_in_words(("none", "fire"), 20, False, None, None)
    assert "1 difference" in one
    assert "standard deviation of a method's runs" in one
    assert "20 seeds find a difference of 0.9" in other
    assert seeds_in_words(("fire",), 5, True, None, None) == []


@pytest.mark.parametrize("fire", ["fire@every=137", "fire:iterations=5@at=9", "fire+l2-init", "fire"])
def test_a_schedule_in_its_name_does_not_change_the_reference_fire(fire):
    """The report counts as many differences whether the method's name has its schedule or not."""
    assert in_order(["none", fire, "reset"], None, None) == (("none", "reset", fire), "none", fire)
    assert "3 differences" in seeds_in_words(("none", fire, "reset"), 5, True, None, None)[0]
    assert in_order(["none", "fire@every=2", "fire"], None, None)[2] == "fire"
    assert in_order(["none", "firework@every=2"], None, None)[2] is None

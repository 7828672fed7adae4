"""The statistics compared with rliable's and SciPy's, and how often their intervals cover."""

import math
import time

import numpy as np
import pytest
from scipy import stats

from fire_rl.experiments.analysis.differences import difference, improvement
from fire_rl.experiments.analysis.resampling import Draws, draw_runs
from fire_rl.experiments.analysis.statistics import (
    COVERAGE,
    estimate,
    estimate_band,
    interquartile_mean,
    kaplan_meier_median,
    mean,
    median,
    median_of_means,
    median_time,
    profile,
    share,
)
from fire_rl.training.lines import area_under

library = pytest.importorskip("rliable.library")
metrics = pytest.importorskip("rliable.metrics")
SCORES = np.random.default_rng(1).normal(size=(7, 3)) + np.arange(3)  # runs x environments, as in rliable
OTHERS = np.random.default_rng(2).normal(size=(7, 3)).round(1) + np.arange(3)


def strata(scores):
    return list(scores.T)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (interquartile_mean, metrics.aggregate_iqm),
        (mean, metrics.aggregate_mean),
        (median_of_means, metrics.aggregate_median),
        (median, np.median),
    ],
)
@pytest.mark.parametrize("runs", [1, 2, 3, 4, 5, 7])
def test_aggregates_equal_rliable(ours, theirs, runs):
    assert ours(strata(SCORES[:runs])) == pytest.approx(theirs(SCORES[:runs]), abs=1e-12)


def test_interquartile_mean_takes_uneven_numbers_of_runs():
    uneven = [SCORES[:, 0], SCORES[:4, 1], SCORES[:1, 2]]
    assert interquartile_mean(uneven) == pytest.approx(stats.trim_mean(np.concatenate(uneven), 0.25), abs=1e-12)


def test_intervals_equal_rliables_with_the_same_resamples():
    np.random.seed(0)  # noqa: NPY002  # rliable draws from NumPy's global stream
    _, found = library.get_interval_estimates(
        {"a": SCORES}, lambda scores: np.array([metrics.aggregate_iqm(scores)]), reps=1001
    )
    np.random.seed(0)  # noqa: NPY002
    taken = np.stack([np.random.choice(7, SCORES.shape) for _ in range(1001)])  # noqa: NPY002
    # Of 1,001 values, the 26th and the 976th are rliable's bounds too, although it interpolates elsewhere.
    ours = estimate(strata(SCORES), interquartile_mean, Draws(tuple(taken.transpose(2, 0, 1))))
    assert (ours.low, ours.high) == pytest.approx(found["a"][:, 0], abs=1e-12)


def test_intervals_equal_rliables_within_the_error_of_resampling():
    np.random.seed(0)  # noqa: NPY002
    _, theirs = library.get_interval_estimates(
        {"a": SCORES}, lambda scores: np.array([metrics.aggregate_iqm(scores)]), reps=3000
    )
    ours = estimate(strata(SCORES), interquartile_mean, draw_runs([7, 7, 7], 20_000, (0,)))
    assert (ours.low, ours.high) == pytest.approx(theirs["a"][:, 0], abs=0.05)


def test_profiles_equal_rliables():
    levels = np.linspace(-2, 4, 7)
    np.random.seed(0)  # noqa: NPY002
    points, bounds = library.create_performance_profile({"a": SCORES}, levels, reps=2000)
    ours = profile(strata(SCORES), levels, draw_runs([7, 7, 7], 10_000, (0,)))
    np.testing.assert_allclose(ours.value, points["a"], atol=1e-12)
    np.testing.assert_allclose([ours.low, ours.high], bounds["a"], atol=0.05)


def test_probability_of_improvement_equals_rliables_and_mann_whitney():
    draws = draw_runs([7, 7, 7], 10_000, (0,)), draw_runs([7, 7, 7], 10_000, (1,))
    np.random.seed(0)  # noqa: NPY002
    points, bounds = library.get_interval_estimates(
        {"ab": [SCORES, OTHERS]}, lambda a, b: np.array([metrics.probability_of_improvement(a, b)]), reps=500
    )
    ours = improvement(strata(SCORES), strata(OTHERS), *draws)
    assert ours.value == pytest.approx(points["ab"][0], abs=1e-12)
    assert (ours.low, ours.high) == pytest.approx(bounds["ab"][:, 0], abs=0.06)
    tied, fewer = np.array([1.0, 2, 2, 3]), np.array([2.0, 2, 0])
    u = stats.mannwhitneyu(tied, fewer).statistic
    found = improvement([tied], [fewer], draw_runs([4], 10, (0,)), draw_runs([3], 10, (1,)))
    assert found.value == pytest.approx(u / 12, abs=1e-12)
    assert found.n == 3


def test_paired_differences_remove_what_trunks_have_in_common():
    trunk, own = 10 * np.arange(6.0), np.array([0.5, 0.1, 0.3, 0.7, 0.2, 0.4])
    jointly = draw_runs([6], 2000, (0,))
    paired = difference([trunk + 1 + own], [trunk], mean, jointly)
    unpaired = difference([trunk + 1 + own], [trunk], mean, jointly, draw_runs([6], 2000, (1,)))
    assert paired.value == pytest.approx(unpaired.value)
    assert paired.low > 1.1
    assert paired.high < 1.6
    assert unpaired.low < -10
    assert "jointly" in paired.method
    assert "jointly" not in unpaired.method


def test_paired_probability_of_improvement_is_not_biased_by_resampling_a_trunk_twice():
    trunk = np.random.default_rng(0).normal(size=8)
    better_by_little = trunk + 1e-6  # better than its own trunk's run always, than another's half of the time
    jointly = draw_runs([8], 4000, (0,), exactly=False)
    found = improvement([better_by_little], [trunk], jointly)
    assert found.value == pytest.approx((8 + 28) / 64)
    assert found.low == pytest.approx(found.value)
    assert found.high == pytest.approx(found.value)


def test_medians_of_censored_times_equal_scipys():
    generator = np.random.default_rng(0)
    for _ in range(50):
        times = generator.integers(1, 8, size=9).astype(float)
        reached = generator.random(9) < 0.6
        if not reached.any():
            continue
        sample = stats.CensoredData(uncensored=times[reached], right=times[~reached])
        survival = stats.ecdf(sample).sf
        half = survival.quantiles[survival.probabilities <= 0.5 + 1e-9]
        assert kaplan_meier_median(times, reached)[0] == (half[0] if len(half) else np.inf)


def test_a_resample_of_censored_times_counts_as_the_runs_it_took():
    times, reached = np.array([3.0, 5, 5, 8, 9]), np.array([True, True, False, True, False])
    taken = np.array([0, 0, 1, 3, 4])
    weights = np.bincount(taken, minlength=5)[None].astype(float)
    assert kaplan_meier_median(times, reached, weights) == kaplan_meier_median(times[taken], reached[taken])


def test_a_median_that_was_never_reached_is_infinite_and_so_may_its_bound_be():
    draws = draw_runs([5], 1000, (0,))
    never = median_time(np.full(5, 100.0), np.zeros(5, dtype=bool), draws)
    assert (never.value, never.low, never.high) == (math.inf, math.inf, math.inf)
    some = median_time(np.array([10.0, 20, 30, 100, 100]), np.array([True, True, True, False, False]), draws)
    assert (some.value, some.low, some.high) == (30.0, 10.0, math.inf)


@pytest.mark.parametrize(("count", "n"), [(0, 5), (3, 5), (5, 5), (7, 20)])
def test_intervals_of_shares_are_wilsons(count, n):
    theirs = stats.binomtest(count, n).proportion_ci(method="wilson")
    ours = share(count, n)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_a_single_run_has_no_interval_and_equal_runs_have_one_of_no_width():
    single = estimate([np.array([3.0])], interquartile_mean, draw_runs([1], 100, (0,)))
    assert single.value == 3.0
    assert not single.bounded
    assert "single run" in single.method
    equal = estimate([np.full(5, 3.0)], interquartile_mean, draw_runs([5], 100, (0,)))
    assert (equal.value, equal.low, equal.high) == (3.0, 3.0, 3.0)


def test_no_interval_is_made_where_either_side_has_a_single_run():
    draws = draw_runs([1], 100, (0,)), draw_runs([5], 100, (1,))
    found = difference([np.array([3.0])], [np.arange(5.0)], mean, *draws)
    assert (found.value, found.bounded, found.n, found.smallest) == (1.0, False, 1, 1)
    assert found.runs_in_words() == "1 and 5 runs"
    assert not improvement([np.array([3.0])], [np.arange(5.0)], *draws).bounded
    partly = estimate([np.arange(5.0), np.array([3.0])], mean, draw_runs([5, 1], 100, (0,)))
    assert (partly.bounded, partly.runs_in_words()) == (False, "2 environments × 1 to 5 runs")


def test_several_times_of_a_run_are_resampled_together():
    times = np.array([10.0, 10, 10, 50, 50, 50])
    draws, reached = draw_runs([2], 1000, (0,)), np.ones(6, dtype=bool)
    together = median_time(times, reached, draws, runs=np.array([0, 0, 0, 1, 1, 1]))
    assert (together.value, together.low, together.high, together.n) == (10, 10, 50, 2)


def test_the_same_seed_gives_the_same_numbers_and_environments_are_resampled_apart():
    uneven = [SCORES[:, 0], SCORES[:4, 1] + 100]
    first, again = (estimate(uneven, mean, draw_runs([7, 4], 500, (3,))) for _ in range(2))
    assert first == again
    assert 49 < first.low < first.high < 52  # a bootstrap over both together would extend far beyond
    assert first.n == 11


def test_a_comparisons_curves_take_about_a_second():
    curves = [np.random.default_rng(seed).normal(size=(50, 10)) for seed in range(5)]
    start = time.process_time()
    for seed, values in enumerate(curves):
        estimate_band([values], interquartile_mean, draw_runs([10], 50_000, (seed,)))
    assert time.process_time() - start < 3


def test_areas_are_means_over_the_steps():
    steps, values = np.array([0.0, 10, 10, 20]), np.array([0.0, 10, 0, 4])  # falls at step 10
    assert area_under(steps, values) == pytest.approx((50 + 20) / 20)
    assert area_under(steps[-1:], values[-1:]) == 4


def test_percentile_intervals_cover_less_than_nominal_with_few_runs():
    generator = np.random.default_rng(0)
    for n in (3, 5):
        scores = generator.normal(size=(4_000, n))  # each row is an experiment whose true value is 0
        for statistic, expected in zip((mean, interquartile_mean), COVERAGE[n], strict=True):
            band = estimate_band([scores], statistic, draw_runs([n], 1, (n,)))
            covered = np.mean((band.low <= 0) & (band.high >= 0))
            assert covered == pytest.approx(expected, abs=0.02)

"""The statistics beside rliable's and scipy's, and what their intervals are worth."""

import itertools
import math
import time

import numpy as np
import pytest
from scipy import stats

from fire_rl.experiments.analysis.differences import difference, improvement
from fire_rl.experiments.analysis.resampling import Draws, bounds, bounds_of_difference, draw_runs, multisets
from fire_rl.experiments.analysis.statistics import (
    COVERAGE,
    estimate,
    estimate_band,
    interquartile_mean,
    mean,
    median,
    median_of_means,
    profile,
    share,
)
from fire_rl.experiments.analysis.survival import kaplan_meier_median, median_time
from fire_rl.training.lines import area_under

library = pytest.importorskip("rliable.library")
metrics = pytest.importorskip("rliable.metrics")

SCORES = np.random.default_rng(1).normal(size=(7, 3)) + np.arange(3)  # runs x environments, as rliable has them
OTHERS = np.random.default_rng(2).normal(size=(7, 3)).round(1) + np.arange(3)


def strata(scores):
    return list(scores.T)


# Every resample of few runs


def all_ways(n):
    """All n^n ways to draw, one by one."""
    return np.array(list(itertools.product(range(n), repeat=n)))


def brute_force(samples, confidence=0.95):
    """The definition, on samples that are all alike: no sum of weights, no multiset."""
    tail = (1 - confidence) / 2
    values = np.sort(samples)
    low = next(v for v in values if (values <= v).mean() >= tail - 1e-12)
    return low, next(v for v in values[::-1] if (values >= v).mean() >= tail - 1e-12)


def by_hand(statistic, runs):
    runs = np.sort(runs, axis=-1)
    n = runs.shape[-1]
    if statistic is median:
        return np.median(runs, axis=-1)
    return stats.trim_mean(runs, 0.25, axis=-1) if statistic is interquartile_mean else runs.sum(axis=-1) / n


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("statistic", [interquartile_mean, mean, median])
def test_intervals_of_few_runs_are_those_of_all_ways_to_draw(n, statistic):
    scores = np.random.default_rng(n).normal(size=n).round(2)  # a few of them alike
    samples = by_hand(statistic, scores[all_ways(n)])
    found = estimate([scores], statistic, draw_runs([n], 1, (0,)))
    assert (found.low, found.high) == pytest.approx(brute_force(samples), abs=1e-12)
    low, high = np.quantile(samples.round(12), (0.025, 0.975), method="inverted_cdf")
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert found.method == f"95% percentile bootstrap, exact, all resamples of {n} runs"
    band = estimate_band([np.stack([scores, 10 - scores])], statistic, draw_runs([n], 1, (5,)))
    assert (band.low[0], band.high[0]) == pytest.approx((found.low, found.high), abs=1e-12)
    assert (10 - band.high[1], 10 - band.low[1]) == pytest.approx((found.low, found.high), abs=1e-12)  # mirrored


def test_weights_are_the_ways_to_draw():
    for n in (2, 5, 7):
        taken, ways = multisets(n)
        assert ways.sum() == n**n
        assert len(taken) == math.comb(2 * n - 1, n)
    rows, counts = np.unique(np.sort(all_ways(5), axis=1), axis=0, return_counts=True)
    np.testing.assert_array_equal(rows, multisets(5)[0])
    np.testing.assert_array_equal(counts, multisets(5)[1])


@pytest.mark.parametrize("confidence", [0.5, 0.75, 0.95])
def test_where_a_tail_is_met_exactly_the_wider_interval_is_taken_at_both_ends(confidence):
    low, high = bounds(np.arange(8.0), np.ones(8), confidence)
    drawn = bounds(np.arange(8.0), None, confidence)
    assert (low, high) == drawn == brute_force(np.arange(8.0), confidence)


@pytest.mark.parametrize("sides", [(3, 3), (4, 3), (5, 2)])
def test_differences_of_unpaired_runs_look_at_each_resample_beside_each(sides):
    left, right = (np.random.default_rng(n).normal(size=n).round(1) for n in (sides[0], 10 + sides[1]))
    left, right = left[: sides[0]], right[: sides[1]]
    ours, theirs = (by_hand(mean, runs[all_ways(len(runs))]) for runs in (left, right))
    found = difference([left], [right], mean, draw_runs([len(left)], 9, (0,)), draw_runs([len(right)], 9, (1,)))
    assert (found.low, found.high) == pytest.approx(brute_force(np.subtract.outer(ours, theirs).ravel()), abs=1e-10)
    assert "exact, all resamples of" in found.method
    better = np.array([[np.mean(np.sign(one[:, None] - other[None]) / 2 + 0.5) for other in right[all_ways(len(right))]]
                       for one in left[all_ways(len(left))]])  # fmt: skip
    chance = improvement([left], [right], draw_runs([len(left)], 9, (0,)), draw_runs([len(right)], 9, (1,)))
    assert (chance.low, chance.high) == pytest.approx(brute_force(better.ravel()), abs=1e-12)


def test_paired_differences_look_at_all_ways_to_draw_trunks():
    left, right = np.random.default_rng(0).normal(size=(2, 5)).round(1)
    ways = all_ways(5)
    samples = by_hand(interquartile_mean, left[ways]) - by_hand(interquartile_mean, right[ways])
    found = difference([left], [right], interquartile_mean, draw_runs([5], 9, (0,)))
    assert (found.low, found.high) == pytest.approx(brute_force(samples.round(12)), abs=1e-10)
    assert found.method == "95% percentile bootstrap, exact, all resamples of 5 trunks, jointly for both methods"


def test_several_environments_are_looked_at_together_while_that_is_few_and_drawn_else():
    scores = [np.array([1.0, 2, 4]), np.array([10.0, 12, 11])]
    both = [(one, other) for one in all_ways(3) for other in all_ways(3)]
    samples = np.array([np.mean([scores[0][one].mean(), scores[1][other].mean()]) for one, other in both])
    found = estimate(scores, mean, draw_runs([3, 3], 9, (0,)))
    assert (found.low, found.high) == pytest.approx(brute_force(samples.round(12)), abs=1e-10)
    assert found.method.endswith("all resamples of 2 environments × 3 runs within each environment")
    assert draw_runs([5, 5], 77, (0,)).exact  # 15,876
    many = draw_runs([5, 5, 5], 77, (0,))
    assert (many.exact, len(many)) == (False, 77)
    assert "77 resamples of runs within each" in estimate([np.arange(5.0)] * 3, mean, many).method


def test_no_seed_changes_what_is_computed():
    scores, others = np.random.default_rng(0).normal(size=(2, 7))
    one, another = (
        (
            estimate([scores], interquartile_mean, draw_runs([7], 50, (seed,))),
            difference([scores], [others], mean, draw_runs([7], 50, (seed,)), draw_runs([7], 50, (seed, 1))),
            improvement([scores], [others], draw_runs([7], 50, (seed,)), draw_runs([7], 50, (seed, 1))),
            median_time(scores, scores < 1, draw_runs([7], 50, (seed,))),
        )
        for seed in (0, 1)
    )  # fmt: skip
    assert one == another
    drawn = [estimate([np.arange(12.0)], mean, draw_runs([12], 200, (seed,))) for seed in (0, 1)]
    assert drawn[0] != drawn[1]


def test_a_bound_of_a_difference_that_is_0_is_0():
    values, weights = np.array([0.1 + 0.2, 0.3]), np.ones(2)
    assert bounds_of_difference(values, weights, values[::-1].copy(), weights, 0.95) == (0.0, 0.0)


def test_the_published_intervals_were_drawn_on_the_wrong_atoms():
    fire = np.array([601, 553, 586, 605, 623]) / 30  # final returns of MinAtar/SpaceInvaders, ratio 8
    reset = np.array([522, 571, 548, 524, 470]) / 30
    found = difference([fire], [reset], interquartile_mean, draw_runs([5], 9, (0,)))
    assert (found.low, found.high) == pytest.approx((0.02, 4.30), abs=0.005)
    none = estimate([np.array([17.37, 28.75, 5.58])], interquartile_mean, draw_runs([3], 9, (0,)))
    assert (none.low, none.high) == pytest.approx((5.58, 28.75))


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
    # Of 1,001 the 26th and the 976th are rliable's bounds too, which interpolates elsewhere.
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


def test_paired_differences_leave_out_what_trunks_have_in_common():
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
    better_by_little = trunk + 1e-6  # than its own trunk's, always; than another's, half of the time
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
    assert 49 < first.low < first.high < 52  # a bootstrap over both together would reach far beyond
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
        scores = generator.normal(size=(4_000, n))  # each row an experiment, the truth 0
        for statistic, expected in zip((mean, interquartile_mean), COVERAGE[n], strict=True):
            band = estimate_band([scores], statistic, draw_runs([n], 1, (n,)))
            covered = np.mean((band.low <= 0) & (band.high >= 0))
            assert covered == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("statistic", [interquartile_mean, mean, median_of_means])
def test_resamples_of_several_environments_are_those_of_the_runs_they_took(statistic):
    scores, draws = [SCORES[:4, 0], SCORES[:3, 1], SCORES[:3, 2]], draw_runs([4, 3, 3], 20, (0,))
    assert draws.weights is not None
    one_by_one = [statistic([runs[row] for runs, row in zip(scores, rows, strict=True)]) for rows in zip(*draws.taken)]  # noqa: B905
    repeated = np.repeat(np.array(one_by_one), draws.weights.astype(int))
    found = estimate(scores, statistic, draws)
    assert (found.low, found.high) == pytest.approx(brute_force(repeated.round(12)), abs=1e-9)

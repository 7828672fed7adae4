"""Intervals of few runs equal an enumeration of all resamples."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from fire_rl.experiments.analysis.differences import difference, improvement
from fire_rl.experiments.analysis.resampling import bounds, bounds_of_difference, draw_runs, multisets
from fire_rl.experiments.analysis.statistics import (
    estimate,
    estimate_band,
    interquartile_mean,
    mean,
    median,
    median_of_means,
    median_time,
)


def all_ways(n):
    """Return all n^n ways to draw, one by one."""
    return np.array(list(itertools.product(range(n), repeat=n)))


def brute_force(samples, confidence=0.95):
    """Compute the interval by its definition on equally likely samples, without weights and multisets."""
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
    scores = np.random.default_rng(n).normal(size=n).round(2)  # some of them equal
    samples = by_hand(statistic, scores[all_ways(n)])
    found = estimate([scores], statistic, draw_runs([n], 1, (0,)))
    assert (found.low, found.high) == pytest.approx(brute_force(samples), abs=1e-12)
    low, high = np.quantile(samples.round(12), (0.025, 0.975), method="inverted_cdf")
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert found.method == f"95% percentile bootstrap, exact, all resamples of {n} runs"
    band = estimate_band([np.stack([scores, 10 - scores])], statistic, draw_runs([n], 1, (5,)))
    assert (band.low[0], band.high[0]) == pytest.approx((found.low, found.high), abs=1e-12)
    assert (10 - band.high[1], 10 - band.low[1]) == pytest.approx((found.low, found.high), abs=1e-12)  # mirrored


def test_weights_are_the_numbers_of_ways_to_draw():
    for n in (2, 5, 7):
        taken, ways = multisets(n)
        assert ways.sum() == n**n
        assert len(taken) == math.comb(2 * n - 1, n)
    rows, counts = np.unique(np.sort(all_ways(5), axis=1), axis=0, return_counts=True)
    np.testing.assert_array_equal(rows, multisets(5)[0])
    np.testing.assert_array_equal(counts, multisets(5)[1])


@pytest.mark.parametrize("confidence", [0.5, 0.75, 0.95])
def test_where_a_tail_is_met_exactly_both_ends_take_the_wider_interval(confidence):
    low, high = bounds(np.arange(8.0), np.ones(8), confidence)
    drawn = bounds(np.arange(8.0), None, confidence)
    assert (low, high) == drawn == brute_force(np.arange(8.0), confidence)


@pytest.mark.parametrize("sides", [(3, 3), (4, 3), (5, 2)])
def test_differences_of_unpaired_runs_combine_all_resamples_of_both_sides(sides):
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


def test_paired_differences_use_all_ways_to_draw_trunks():
    left, right = np.random.default_rng(0).normal(size=(2, 5)).round(1)
    ways = all_ways(5)
    samples = by_hand(interquartile_mean, left[ways]) - by_hand(interquartile_mean, right[ways])
    found = difference([left], [right], interquartile_mean, draw_runs([5], 9, (0,)))
    assert (found.low, found.high) == pytest.approx(brute_force(samples.round(12)), abs=1e-10)
    assert found.method == "95% percentile bootstrap, exact, all resamples of 5 trunks, jointly for both methods"


def test_several_environments_are_enumerated_together_while_there_are_few_resamples():
    scores = [np.array([1.0, 2, 4]), np.array([10.0, 12, 11])]
    both = [(one, other) for one in all_ways(3) for other in all_ways(3)]
    samples = np.array([np.mean([scores[0][one].mean(), scores[1][other].mean()]) for one, other in both])
    found = estimate(scores, mean, draw_runs([3, 3], 9, (0,)))
    assert (found.low, found.high) == pytest.approx(brute_force(samples.round(12)), abs=1e-10)
    assert found.method.endswith("all resamples of 2 environments × 3 runs within each environment")
    assert draw_runs([5, 5], 77, (0,)).exact  # 15,876 resamples
    many = draw_runs([5, 5, 5], 77, (0,))
    assert (many.exact, len(many)) == (False, 77)
    assert "77 resamples of runs within each" in estimate([np.arange(5.0)] * 3, mean, many).method


def test_computed_intervals_do_not_depend_on_the_seed():
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


def test_intervals_of_published_results_are_enumerated_on_the_right_values():
    fire = np.array([601, 553, 586, 605, 623]) / 30  # final returns of MinAtar/SpaceInvaders, ratio 8
    reset = np.array([522, 571, 548, 524, 470]) / 30
    found = difference([fire], [reset], interquartile_mean, draw_runs([5], 9, (0,)))
    assert (found.low, found.high) == pytest.approx((0.02, 4.30), abs=0.005)
    none = estimate([np.array([17.37, 28.75, 5.58])], interquartile_mean, draw_runs([3], 9, (0,)))
    assert (none.low, none.high) == pytest.approx((5.58, 28.75))


@pytest.mark.parametrize("statistic", [interquartile_mean, mean, median_of_means])
def test_resamples_of_several_environments_are_those_of_the_runs_they_took(statistic):
    each = np.random.default_rng(1).normal(size=(7, 3)) + np.arange(3)
    scores, draws = [each[:4, 0], each[:3, 1], each[:3, 2]], draw_runs([4, 3, 3], 20, (0,))
    assert draws.weights is not None
    one_by_one = [statistic([runs[row] for runs, row in zip(scores, rows, strict=True)]) for rows in zip(*draws.taken)]  # noqa: B905
    repeated = np.repeat(np.array(one_by_one), draws.weights.astype(int))
    found = estimate(scores, statistic, draws)
    assert (found.low, found.high) == pytest.approx(brute_force(repeated.round(12)), abs=1e-9)

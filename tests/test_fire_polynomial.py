"""The optimal quintic polynomials, derived again by linear programming on a fine grid."""

import numpy as np
import pytest
from scipy.optimize import linprog

from fire_rl.fire.polar import OPTIMAL_QUINTICS, PLAIN_QUINTIC

LOWEST, WIDENING = 1e-4, 1.001


def evaluate(quintic, x):
    a, b, c = quintic
    return a * x + b * x**3 + c * x**5


def best_quintic(lower: float, upper: float) -> tuple[np.ndarray, float]:
    """Return the odd quintic with the smallest largest distance from 1 on [lower, upper], and that distance.

    minimise e over (a, b, c, e) such that -e <= a x + b x^3 + c x^5 - 1 <= e at every grid point x.
    """
    cosine = (1 - np.cos(np.linspace(0, np.pi, 4000))) / 2
    grid = np.unique(np.concatenate([np.geomspace(lower, upper, 4000), lower + (upper - lower) * cosine]))
    powers = np.stack([grid, grid**3, grid**5], axis=1)
    error = np.ones((len(grid), 1))
    solution = linprog(
        c=[0, 0, 0, 1],
        A_ub=np.block([[powers, -error], [-powers, -error]]),
        b_ub=np.concatenate([np.ones(len(grid)), -np.ones(len(grid))]),
        bounds=[(None, None)] * 3 + [(0, None)],
    )
    return solution.x[:3], float(solution.x[3])


def test_each_quintic_is_the_best_for_the_result_of_the_ones_before_it():
    lower, upper = LOWEST, 1.0
    for quintic in OPTIMAL_QUINTICS:
        best, error = best_quintic(lower, WIDENING * upper)
        assert quintic == pytest.approx(best, abs=2e-3)
        grid = np.linspace(lower, WIDENING * upper, 100_000)
        assert np.abs(evaluate(quintic, grid) - 1).max() < error + 1e-4  # six digits
        lower, upper = 1 - error, 1 + error
    assert error == pytest.approx(0.0294, abs=1e-4)


def test_optimal_and_plain_steps_together_reach_float32_precision():
    values = np.concatenate([np.geomspace(LOWEST, 1, 100_000), np.linspace(LOWEST, 1, 100_000)])
    for quintic in (*OPTIMAL_QUINTICS, PLAIN_QUINTIC, PLAIN_QUINTIC):
        values = evaluate(quintic, values)
    assert np.abs(values - 1).max() < 1e-7


def test_the_plain_quintic_is_of_third_order_at_one():
    a, b, c = PLAIN_QUINTIC
    assert a + b + c == 1
    assert a + 3 * b + 5 * c == 0
    assert 6 * b + 20 * c == 0

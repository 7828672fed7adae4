"""The polar factor: agreement with the published code and with SciPy, and isometry for every finite matrix."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fire_rl import fire

REFERENCE = json.loads((Path(__file__).parent / "fixtures" / "fire_reference.json").read_text())
# Every matrix of the agents, as (d_out, d_in): SAC for h1-walk, then the Nature network and a narrow SAC.
AGENT_SHAPES = [(512, 70), (2048, 512), (512, 2048), (1, 512), (128, 51), (512, 128), (128, 512), (19, 128)]
AGENT_SHAPES += [(32, 4), (64, 32), (64, 64), (512, 3136), (6, 512), (128, 70), (256, 64), (64, 256)]


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def with_singular_values(d_out: int, d_in: int, values: Tensor, seed: int = 0) -> Tensor:
    """Return a float64 matrix with these singular values, in random directions."""
    left = torch.linalg.qr(gaussian(d_out, len(values), seed=seed).double())[0]
    right = torch.linalg.qr(gaussian(d_in, len(values), seed=seed + 1).double())[0]
    return left * values @ right.mT


@pytest.mark.parametrize("case", REFERENCE["polar_factor"], ids=lambda case: f"{case['shape']}, {case['steps']} steps")
def test_newton_schulz_equals_the_published_code(case):
    factor = fire.polar_factor(gaussian(*case["shape"], seed=case["seed"]), steps=case["steps"]).flatten()
    assert factor.norm().item() == pytest.approx(case["norm"], rel=1e-5)
    largest = factor.abs().max().item()
    for index, entry in case["entries"].items():
        assert factor[int(index)].item() == pytest.approx(entry, rel=1e-5, abs=1e-5 * largest)


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (40, 40)])
def test_newton_schulz_equals_its_formula_in_float64(shape):
    matrix = gaussian(*shape).double()
    wanted = matrix / matrix.norm()
    for _ in range(10):
        wanted = 1.5 * wanted - 0.5 * wanted @ wanted.mT @ wanted
    torch.testing.assert_close(fire.polar_factor(matrix), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(70, 40), (40, 70), (50, 50)])
@pytest.mark.parametrize(("solver", "distance"), [("newton-schulz", 0.5), ("polar-express", 1e-4), ("exact", 1e-6)])
def test_solvers_approach_scipys_polar_factor(shape, solver, distance):
    matrix = gaussian(*shape, seed=3)
    unitary = torch.from_numpy(scipy.linalg.polar(matrix.double().numpy())[0])
    factor = fire.polar_factor(matrix, solver).double()
    assert (factor - unitary).norm() < distance * unitary.norm()


def test_exact_in_float64_is_as_near_as_scipys():
    matrix = with_singular_values(60, 40, torch.logspace(0, -3, 40, dtype=torch.float64))
    unitary = torch.from_numpy(scipy.linalg.polar(matrix.numpy())[0])
    assert (fire.polar_factor(matrix, "exact") - unitary).abs().max() < 1e-12


@st.composite
def finite_matrices(draw) -> Tensor:
    """Any size, rank, condition and scale; dead rows and columns; very small and very large entries side by side."""
    d_out, d_in = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    rank = draw(st.integers(0, min(d_out, d_in)))
    condition = draw(st.sampled_from([0, 1, 4, 6, 8, 12, 16]))
    matrix = with_singular_values(d_out, d_in, torch.logspace(0, -condition, rank).double(), draw(st.integers(0, 99)))
    for row in draw(st.lists(st.integers(0, d_out - 1), max_size=3)):
        matrix[row] *= draw(st.sampled_from([0.0, 1e-30, 1e-9, 1e12]))
    for column in draw(st.lists(st.integers(0, d_in - 1), max_size=3)):
        matrix[:, column] *= draw(st.sampled_from([0.0, 1e-30, 1e-9, 1e12]))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    matrix = (matrix * draw(st.sampled_from([1.0, 1e-38, 1e-30, 1e-6, 1e6, 1e30]))).to(dtype)
    return matrix.nan_to_num()  # what overflows float32 becomes its largest number


@settings(max_examples=300)
@given(finite_matrices())
def test_exact_makes_an_isometry_of_every_finite_matrix(matrix):
    factor = fire.polar_factor(matrix, "exact")
    assert factor.shape == matrix.shape
    assert factor.dtype == matrix.dtype
    assert fire.deviation_from_isometry(factor) < 1e-6


@settings(max_examples=150)
@given(finite_matrices(), st.sampled_from(["newton-schulz", "polar-express"]), st.integers(1, 12))
def test_iterative_solvers_stay_finite_and_bounded(matrix, solver, steps):
    factor = fire.polar_factor(matrix, solver, steps)
    assert torch.isfinite(factor).all()
    assert torch.linalg.matrix_norm(factor.double(), 2) < 2.01


@pytest.mark.parametrize("shape", AGENT_SHAPES, ids=str)
def test_exact_makes_an_isometry_of_every_shape_the_agents_use(shape):
    healthy = gaussian(*shape)
    dead = healthy.clone()
    dead[:: max(shape[0] // 5, 2)] = 0.0
    dead[:, :: max(shape[1] // 5, 2)] = 0.0
    for matrix in (healthy, dead):
        assert fire.deviation_from_isometry(fire.polar_factor(matrix, "exact")) < 1e-6


@pytest.mark.parametrize("shape", [(80, 80), (300, 60)])
def test_exact_is_an_isometry_at_condition_1e12(shape):
    matrix = with_singular_values(shape[0], shape[1], torch.logspace(0, -12, 60, dtype=torch.float64)).float()
    assert fire.deviation_from_isometry(fire.polar_factor(matrix, "exact")) < 1e-6
    assert fire.deviation_from_isometry(fire.polar_factor(matrix, "newton-schulz")) > 1.0


@pytest.mark.parametrize("scale", [1e30, 1e-30, 3e38, 1e-44])
@pytest.mark.parametrize("solver", fire.SOLVERS)
def test_scale_does_not_matter(solver, scale):
    matrix = torch.sign(gaussian(12, 8)) * scale
    torch.testing.assert_close(fire.polar_factor(matrix, solver), fire.polar_factor(torch.sign(matrix), solver))


def test_exact_keeps_the_directions_a_matrix_has_and_completes_the_others():
    matrix = with_singular_values(40, 30, torch.tensor([5.0, 2.0, 1.0], dtype=torch.float64))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    factor = fire.polar_factor(matrix, "exact")
    torch.testing.assert_close(factor @ right[:3].mT, left[:, :3])
    assert torch.equal(factor, fire.polar_factor(matrix.clone(), "exact"))


def test_exact_of_zeros_is_an_isometry():
    assert fire.deviation_from_isometry(fire.polar_factor(torch.zeros(3, 7, 5), "exact")) < 1e-12


@pytest.mark.parametrize("solver", ["newton-schulz", "polar-express"])
def test_null_directions_stay_null_without_nan(solver):
    stack = torch.stack([torch.zeros(9, 4), gaussian(9, 4)])
    factor = fire.polar_factor(stack, solver)
    assert factor[0].abs().max() == 0.0
    assert fire.deviation_from_isometry(factor[1]) < 1e-6


@pytest.mark.parametrize("shape", [(60, 60), (160, 40), (40, 160)])
def test_polar_express_reaches_isometry_down_to_a_ten_thousandth_of_its_bound(shape):
    values = torch.logspace(0, -3.6, 40, dtype=torch.float64)
    matrix = with_singular_values(shape[0], shape[1], values).float()
    factor = fire.polar_factor(matrix, "polar-express")
    lifted = torch.linalg.svdvals(factor.double())[:40]
    assert (lifted - 1.0).abs().max() < 1e-4
    assert torch.linalg.svdvals(fire.polar_factor(matrix).double())[:40].min() < 0.1


@pytest.mark.parametrize("solver", fire.SOLVERS)
def test_batches_equal_their_members_and_transposes_their_transpose(solver):
    stack = gaussian(2, 3, 20, 12)
    factors = fire.polar_factor(stack, solver)
    for index in np.ndindex(2, 3):
        torch.testing.assert_close(factors[index], fire.polar_factor(stack[index], solver), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fire.polar_factor(stack.mT, solver), factors.mT, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("solver", fire.SOLVERS)
def test_dtypes_come_back_and_half_precision_is_computed_in_float32(solver, dtype):
    matrix = gaussian(24, 16).to(dtype)
    factor = fire.polar_factor(matrix, solver)
    assert factor.dtype == dtype
    if dtype != torch.float64:
        assert torch.equal(factor, fire.polar_factor(matrix.float(), solver).to(dtype))


@pytest.mark.parametrize("solver", fire.SOLVERS)
def test_the_argument_is_left_alone_and_needs_no_gradient(solver):
    matrix = gaussian(6, 5).requires_grad_()
    before = matrix.detach().clone()
    assert not fire.polar_factor(matrix, solver).requires_grad
    assert torch.equal(matrix.detach(), before)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"solver=exakt.*nearest is exact"):
        fire.polar_factor(torch.eye(2), cast(Any, "exakt"))
    with pytest.raises(ValueError, match="steps=0"):
        fire.polar_factor(torch.eye(2), steps=0)
    with pytest.raises(ValueError, match="NaN or infinity"):
        fire.polar_factor(torch.tensor([[1.0, float("nan")]]))
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        fire.polar_factor(torch.ones(3))
    with pytest.raises(ValueError, match="int64"):
        fire.polar_factor(torch.ones(3, 3, dtype=torch.int64))


def test_a_matrix_without_entries_comes_back():
    assert fire.polar_factor(torch.zeros(0, 4)).shape == (0, 4)


@pytest.mark.parametrize("solver", fire.SOLVERS)
def test_mixed_precision_around_the_call_changes_nothing(solver):
    matrix = torch.randn(48, 16, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = fire.polar_factor(matrix, solver)
    assert torch.equal(inside, fire.polar_factor(matrix, solver))


def test_steps_are_refused_for_solvers_without_steps():
    with pytest.raises(ValueError, match="solver exact has no steps"):
        fire.polar_factor(torch.eye(3), "exact", steps=5)

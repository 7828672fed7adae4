"""Values that are not finite are found among everything that a run keeps."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fire_rl.fire import first_not_finite


@given(st.lists(st.sampled_from([0.0, 1e38, -3.5, float("nan"), float("inf"), -float("inf")]), max_size=40))
def test_the_first_value_that_is_not_finite_is_found(values):
    tensors = [(str(index), torch.tensor([[1.0, value, 2.0]])) for index, value in enumerate(values)]
    found: Any = first_not_finite(iter(tensors))
    wanted = [(name, tensor[0, 1]) for name, tensor in tensors if not tensor.isfinite().all()]
    if not wanted:
        assert found is None
    else:
        assert found[0] == wanted[0][0]
        torch.testing.assert_close(torch.tensor(found[1]), wanted[0][1], equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("place", [0, 77, 9_999])
def test_one_value_among_many_is_enough(dtype, place):
    values = torch.zeros(10_000, dtype=dtype)
    assert first_not_finite([("weight", values)]) is None
    values[place] = float("nan")
    name, value = first_not_finite([("count", torch.tensor(3)), ("weight", values)]) or ("", 0.0)
    assert name == "weight"
    assert value != value


def test_the_largest_number_is_finite_and_tensors_without_values_are_skipped():
    largest = torch.tensor([torch.finfo(torch.float64).max], dtype=torch.float64)
    parameter = nn.Parameter(torch.ones(2, 3).t())
    others = [("empty", torch.empty(0)), ("mask", torch.tensor([True])), ("count", torch.tensor([2**60]))]
    assert first_not_finite([("largest", largest), ("weight", parameter), *others]) is None
    assert first_not_finite([]) is None

"""The affine map of rows: y = x Wᵀ + b."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.errors import ShapeError
from minicnn.functional import linear_backward, linear_forward
from tests.support.arrays import assert_close
from tests.support.differences import check_gradients
from tests.support.strategies import seeds

sizes = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))


def draw_arrays(sizes, seed, bias):
    (rows, ins, outs), rng = sizes, np.random.default_rng(seed)
    arrays = {"x": rng.standard_normal((rows, ins)), "weight": rng.standard_normal((outs, ins))}
    return {**arrays, "bias": rng.standard_normal(outs)} if bias else arrays


@given(sizes, seeds, st.booleans())
def test_forward_is_the_loop_over_its_definition(sizes, seed, bias):
    arrays = draw_arrays(sizes, seed, bias)
    x, weight = arrays["x"], arrays["weight"]
    expected = np.zeros((len(x), len(weight)))
    for n, m in np.ndindex(expected.shape):
        expected[n, m] = arrays["bias"][m] if bias else 0
        for d in range(x.shape[1]):
            expected[n, m] += x[n, d] * weight[m, d]
    assert_close(linear_forward(**arrays)[0], expected, 1e-13)


@given(sizes, seeds, st.booleans())
def test_backward_agrees_with_differences(sizes, seed, bias):
    arrays = draw_arrays(sizes, seed, bias)
    _, cache = linear_forward(**arrays)
    check_gradients(
        lambda **moved: linear_forward(**moved)[0],
        arrays,
        lambda v: dict(list(zip(("x", "weight", "bias"), linear_backward(v, cache)))[: len(arrays)]),
        np.random.default_rng(seed),
    )


def test_without_a_bias_its_gradient_is_none(rng):
    y, cache = linear_forward(rng.standard_normal((2, 3)), rng.standard_normal((4, 3)))
    assert linear_backward(y, cache)[2] is None


@pytest.mark.parametrize(
    ("x", "weight", "bias", "text"),
    [
        ((2, 3), (4,), None, r"expects weight \(M, D\), got \(4,\)"),
        ((2, 3), (4, 3), (3,), r"Linear\(3 -> 4\) expects bias \(4,\), got \(3,\)"),
        ((3,), (4, 3), None, r"got \(3,\): one sample must be a row; use x\[None\]"),
        ((), (4, 3), None, r"got \(\): one sample must be a row"),
    ],
)
def test_shapes_that_do_not_fit_are_named(x, weight, bias, text, rng):
    bias = None if bias is None else rng.standard_normal(bias)
    with pytest.raises(ShapeError, match=text):
        linear_forward(np.zeros(x), rng.standard_normal(weight), bias)

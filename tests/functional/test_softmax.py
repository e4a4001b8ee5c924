"""Softmax and log-softmax: probabilities, stability, published values, gradients, strides."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.errors import DTypeError, ShapeError
from minicnn.functional.softmax import (
    log_softmax_backward,
    log_softmax_forward,
    softmax_backward,
    softmax_forward,
)
from tests.support.arrays import AWKWARD, assert_close, bits, read_only
from tests.support.differences import check_gradients
from tests.support.strategies import seeds

PAIRS = {
    "softmax": (softmax_forward, softmax_backward),
    "log_softmax": (log_softmax_forward, log_softmax_backward),
}
each_pair = pytest.mark.parametrize(("forward", "backward"), PAIRS.values(), ids=PAIRS)
CASES = json.loads((Path(__file__).parents[1] / "reference" / "optim_losses.json").read_text())["cases"]


@st.composite
def inputs(draw):
    """An array of one to four axes and one of them to sum over."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    rng = np.random.default_rng(draw(seeds))
    return 3 * rng.standard_normal(shape), draw(st.integers(-len(shape), len(shape) - 1)), rng


@given(inputs())
def test_softmax_gives_probabilities(drawn):
    x, dim, _ = drawn
    y, _ = softmax_forward(x, dim=dim)
    assert (y > 0).all()
    np.testing.assert_allclose(y.sum(axis=dim), 1, rtol=1e-14)
    np.testing.assert_allclose(y, np.exp(x) / np.exp(x).sum(axis=dim, keepdims=True), rtol=1e-13)


@given(inputs())
def test_log_softmax_is_the_logarithm_of_softmax(drawn):
    x, dim, _ = drawn
    np.testing.assert_allclose(
        log_softmax_forward(x, dim=dim)[0], np.log(softmax_forward(x, dim=dim)[0]), rtol=1e-12, atol=1e-13
    )


@each_pair
@given(drawn=inputs())
def test_a_constant_added_to_all_scores_changes_nothing(forward, backward, drawn):
    x, dim, _ = drawn
    np.testing.assert_allclose(forward(x + 100, dim=dim)[0], forward(x, dim=dim)[0], rtol=1e-11, atol=1e-11)


@each_pair
@given(drawn=inputs())
def test_backward_agrees_with_central_differences(forward, backward, drawn):
    x, dim, rng = drawn
    check_gradients(
        lambda x: forward(x, dim=dim)[0],
        {"x": x},
        lambda dy: {"x": backward(dy, forward(x, dim=dim)[1])},
        rng,
    )


def test_large_scores_neither_overflow_nor_vanish():
    x = np.array([[1e4, 0.0, -1e4], [-1e4, -1e4, -1e4]], dtype=np.float32)
    np.testing.assert_allclose(softmax_forward(x)[0], [[1, 0, 0], [1 / 3] * 3], rtol=1e-6)
    np.testing.assert_allclose(log_softmax_forward(x)[0], [[0, -1e4, -2e4], [-np.log(3)] * 3], rtol=1e-6)


def test_a_score_of_minus_infinity_has_probability_zero():
    x = np.array([0.0, -np.inf, 0.0])
    np.testing.assert_array_equal(softmax_forward(x)[0], [0.5, 0, 0.5])
    np.testing.assert_allclose(log_softmax_forward(x)[0], [-np.log(2), -np.inf, -np.log(2)])


@each_pair
@pytest.mark.parametrize("row", [[-np.inf, -np.inf], [np.inf, 0.0], [np.nan, 0.0]])
def test_rows_without_an_answer_are_nan_without_a_warning(forward, backward, row):
    assert np.isnan(forward(np.array(row))[0]).all()


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["op"] == "log_softmax"], ids=lambda case: case["name"]
)
def test_log_softmax_published_values(case):
    for dtype in (np.float32, np.float64):
        x = np.array(case["inputs"]["x"], dtype=dtype)
        y, cache = log_softmax_forward(x, dim=1)
        rtol, atol = case["tol"]
        if "y" in case["expected"]:
            np.testing.assert_allclose(y, case["expected"]["y"], rtol=rtol, atol=atol)
        if "gx" in case["expected"]:
            dx = log_softmax_backward(np.array(case["inputs"]["gy"], dtype=dtype), cache)
            np.testing.assert_allclose(dx, case["expected"]["gx"], rtol=rtol, atol=atol)


@each_pair
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("awkward", AWKWARD)
def test_any_strides_same_answer_and_arguments_unchanged(forward, backward, dtype, awkward, rng):
    x = AWKWARD[awkward](rng.standard_normal((3, 4, 2)).astype(dtype))
    dy = AWKWARD[awkward](rng.standard_normal((3, 4, 2)).astype(dtype))
    before = bits(x, dy)
    y, cache = forward(x, dim=1)
    dx = backward(dy, cache)
    plain_y, plain_cache = forward(read_only(np.ascontiguousarray(x)), dim=1)
    plain_dx = backward(read_only(np.ascontiguousarray(dy)), plain_cache)
    assert bits(x, dy) == before
    assert y.dtype == dx.dtype == dtype
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    assert_close(y, plain_y, tolerance)
    assert_close(dx, plain_dx, tolerance)


@each_pair
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 4)])
def test_empty_inputs_give_empty_outputs(forward, backward, shape):
    y, cache = forward(np.zeros(shape), dim=1)
    assert y.shape == backward(np.zeros(shape), cache).shape == shape


@each_pair
def test_errors_say_what_to_do(forward, backward):
    with pytest.raises(
        DTypeError, match=r"softmax expects x of dtype float32 or float64, got int64: use x.astype"
    ):
        forward(np.arange(3))
    with pytest.raises(ShapeError, match=r"softmax: dim 2 does not exist in an input of shape \(2, 3\)"):
        forward(np.zeros((2, 3)), dim=2)
    with pytest.raises(
        ShapeError, match=r"softmax_backward expects dy of the shape that forward returned, \(2, 3\)"
    ):
        backward(np.zeros((3, 2)), forward(np.zeros((2, 3)))[1])

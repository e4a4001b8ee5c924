"""The mean squared error: values, gradients, strides, and refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.functional.mse import mse_backward, mse_forward
from tests.support.arrays import AWKWARD, assert_close, bits
from tests.support.differences import check_gradients
from tests.support.strategies import seeds

shapes = st.lists(st.integers(1, 4), min_size=0, max_size=4).map(tuple)
reductions = st.sampled_from(["mean", "sum", "none"])


def test_by_hand():
    x, target = np.array([1.0, 2.0, 5.0]), np.array([1.0, 4.0, 2.0])
    assert mse_forward(x, target)[0] == pytest.approx(13 / 3)
    assert mse_forward(x, target, reduction="sum")[0] == 13
    np.testing.assert_array_equal(mse_forward(x, target, reduction="none")[0], [0, 4, 9])
    dx, dtarget = mse_backward(np.ones(()), mse_forward(x, target, reduction="sum")[1])
    np.testing.assert_array_equal(dx, [0, -4, 6])
    np.testing.assert_array_equal(dtarget, [0, 4, -6])


@given(shapes, reductions, seeds)
def test_backward_agrees_with_central_differences(shape, reduction, seed):
    rng = np.random.default_rng(seed)
    arrays = {"x": rng.standard_normal(shape), "target": rng.standard_normal(shape)}
    arrays = {name: np.asarray(array) for name, array in arrays.items()}

    def gradients(dy):
        dx, dtarget = mse_backward(dy, mse_forward(**arrays, reduction=reduction)[1])
        return {"x": dx, "target": dtarget}

    check_gradients(lambda x, target: mse_forward(x, target, reduction=reduction)[0], arrays, gradients, rng)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("awkward", AWKWARD)
def test_any_strides_same_answer_and_arguments_unchanged(dtype, reduction, awkward, rng):
    x, target = (AWKWARD[awkward](rng.standard_normal((3, 4)).astype(dtype)) for _ in range(2))
    before = bits(x, target)
    loss, cache = mse_forward(x, target, reduction=reduction)
    gradients = mse_backward(np.ones_like(loss), cache)
    plain_loss, plain_cache = mse_forward(x.copy(), target.copy(), reduction=reduction)
    assert isinstance(loss, np.ndarray)
    assert loss.shape == ((3, 4) if reduction == "none" else ())
    assert bits(x, target) == before
    assert_close(loss, plain_loss, 1e-6)
    for gradient, plain in zip(gradients, mse_backward(np.ones_like(loss), plain_cache)):
        assert gradient.dtype == loss.dtype == dtype
        assert_close(gradient, plain, 1e-6)


def test_needs_leaves_out_what_is_not_wanted(rng):
    x, target = rng.standard_normal((2, 3)), rng.standard_normal((2, 3))
    _, cache = mse_forward(x, target)
    dx, dtarget = mse_backward(np.ones(()), cache)
    for needs in [(True, False), (False, True), (False, False)]:
        for needed, got, full in zip(needs, mse_backward(np.ones(()), cache, needs=needs), (dx, dtarget)):
            assert (got is not None) == needed
            if needed:
                np.testing.assert_array_equal(got, full)


def test_the_mean_of_nothing_is_nan_without_a_warning():
    empty = np.zeros((0, 3))
    loss, cache = mse_forward(empty, empty)
    assert np.isnan(loss)
    assert mse_backward(np.ones(()), cache)[0].shape == (0, 3)
    assert mse_forward(empty, empty, reduction="sum")[0] == 0


def test_errors_say_what_to_do():
    x = np.zeros((4, 1))
    with pytest.raises(
        ShapeError, match=r"one shape, got \(4, 1\) and \(4,\): it does not broadcast; reshape"
    ):
        mse_forward(x, np.zeros(4))
    with pytest.raises(DTypeError, match=r"mse got arrays of different dtypes \(x float64, target float32\)"):
        mse_forward(x, x.astype(np.float32))
    with pytest.raises(DTypeError, match=r"expects target of dtype float32 or float64, got int64"):
        mse_forward(x, x.astype(np.int64))
    with pytest.raises(ConfigError, match=r"mse: unknown reduction 'average': known: mean, none, sum"):
        mse_forward(x, x, reduction="average")
    with pytest.raises(ShapeError, match=r"mse_backward expects dy .* \(\), got \(4, 1\)"):
        mse_backward(x, mse_forward(x, x)[1])

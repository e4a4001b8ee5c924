"""Batch normalisation against its definition written as loops, training and evaluation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.errors import ConfigError, ShapeError
from minicnn.functional import batch_norm2d_backward, batch_norm2d_forward
from tests.support.arrays import assert_close
from tests.support.differences import check_gradients
from tests.support.strategies import seeds

shapes = st.tuples(st.integers(2, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))


def draw_arrays(shape, seed, affine, given_statistics):
    rng = np.random.default_rng(seed)
    arrays = {"x": 2 * rng.standard_normal(shape) + rng.uniform(-3, 3, (1, shape[1], 1, 1))}
    if affine:
        arrays |= {"weight": rng.standard_normal(shape[1]), "bias": rng.standard_normal(shape[1])}
    constants = {}
    if given_statistics:
        constants = {"mean": rng.standard_normal(shape[1]), "var": rng.uniform(0.1, 2, shape[1])}
    return arrays, constants


@given(shapes, seeds, st.booleans(), st.booleans(), st.sampled_from([1e-5, 0.1]))
def test_forward_is_the_loop_over_its_definition(shape, seed, affine, given_statistics, eps):
    arrays, constants = draw_arrays(shape, seed, affine, given_statistics)
    x, expected = arrays["x"], np.empty(shape)
    for c in range(shape[1]):
        values = [float(value) for value in x[:, c].ravel()]
        mean = sum(values) / len(values)
        var = sum((value - mean) ** 2 for value in values) / len(values)  # biased
        if given_statistics:
            mean, var = constants["mean"][c], constants["var"][c]
        for n, i, j in np.ndindex(shape[0], *shape[2:]):
            normalized = (x[n, c, i, j] - mean) / (var + eps) ** 0.5
            expected[n, c, i, j] = (
                normalized * arrays["weight"][c] + arrays["bias"][c] if affine else normalized
            )
    y, _ = batch_norm2d_forward(**arrays, **constants, eps=eps)
    assert_close(y, expected, 1e-12)


@given(shapes, seeds, st.booleans(), st.booleans())
def test_backward_agrees_with_differences(shape, seed, affine, given_statistics):
    arrays, constants = draw_arrays(shape, seed, affine, given_statistics)
    eps = 0.1  # with two values a channel a small eps makes a step function of it
    _, cache = batch_norm2d_forward(**arrays, **constants, eps=eps)
    check_gradients(
        lambda **moved: batch_norm2d_forward(**moved, **constants, eps=eps)[0],
        arrays,
        lambda v: dict(list(zip(("x", "weight", "bias"), batch_norm2d_backward(v, cache)))[: len(arrays)]),
        np.random.default_rng(seed),
    )


def test_training_gives_every_channel_mean_zero_and_the_biased_variance_one(rng):
    y, _ = batch_norm2d_forward(5 + 3 * rng.standard_normal((6, 4, 5, 5)), eps=0.0)
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-14)
    np.testing.assert_allclose(y.var(axis=(0, 2, 3), ddof=0), 1, rtol=1e-13)


def test_the_cache_tells_the_batch_statistics_with_the_biased_variance(rng):
    x = rng.standard_normal((3, 2, 4, 4))
    _, cache = batch_norm2d_forward(x)
    np.testing.assert_allclose(cache.mean, x.mean(axis=(0, 2, 3)), rtol=1e-13)
    np.testing.assert_allclose(cache.var, x.var(axis=(0, 2, 3), ddof=0), rtol=1e-13)


def test_given_statistics_are_constants_in_backward(rng):
    """In evaluation the gradient of one pixel does not reach the others."""
    x, var = rng.standard_normal((2, 1, 2, 2)), np.array([3.99])
    _, cache = batch_norm2d_forward(x, np.array([6.0]), mean=np.zeros(1), var=var, eps=0.01)
    dy = np.zeros_like(x)
    dy[0, 0, 0, 0] = 1
    dx, _, _ = batch_norm2d_backward(dy, cache)
    np.testing.assert_allclose(dx, 3 * dy)


def test_in_training_a_constant_added_to_dy_or_a_multiple_of_y_changes_nothing(rng):
    """The two directions that normalisation takes out of dy: its mean, and its part along x̂."""
    x = rng.standard_normal((4, 3, 5, 5))
    y, cache = batch_norm2d_forward(x, eps=0.0)
    np.testing.assert_allclose(batch_norm2d_backward(np.ones_like(y), cache)[0], 0, atol=1e-13)
    np.testing.assert_allclose(batch_norm2d_backward(y, cache)[0], 0, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_from_zero_the_variance_keeps_its_digits(dtype, rng):
    """E[x²] - E[x]² would lose them all: here the mean is 4096 times the deviation."""
    x = (4096 + rng.integers(-2, 3, (8, 1, 4, 4))).astype(dtype)
    _, cache = batch_norm2d_forward(x)
    np.testing.assert_allclose(cache.var, (x - 4096).astype(np.float64).var(), rtol=1e-5)


def test_a_constant_channel_gives_the_bias_and_no_nan():
    y, cache = batch_norm2d_forward(np.full((2, 1, 2, 2), 7.0), np.array([3.0]), np.array([0.5]))
    np.testing.assert_array_equal(y, 0.5)
    assert np.isfinite(batch_norm2d_backward(y, cache)[0]).all()


def test_one_value_a_channel_cannot_be_normalised():
    with pytest.raises(ShapeError, match=r"more than one value per channel.*drop_last=True.*eval mode"):
        batch_norm2d_forward(np.zeros((1, 3, 1, 1)))
    assert batch_norm2d_forward(np.zeros((1, 1, 1, 1)), mean=np.zeros(1), var=np.ones(1))[0].shape == (
        1,
        1,
        1,
        1,
    )


def test_mean_without_var_is_refused(rng):
    with pytest.raises(ConfigError, match="both mean and var"):
        batch_norm2d_forward(rng.standard_normal((2, 3, 2, 2)), mean=np.zeros(3))


@pytest.mark.parametrize("name", ["bias", "mean", "var"])
def test_an_array_of_the_wrong_length_is_named(name, rng):
    arrays = {"weight": np.ones(3), "bias": np.ones(3), "mean": np.ones(3), "var": np.ones(3)}
    with pytest.raises(ShapeError, match=rf"expects {name} \(3,\), got \(4,\)"):
        batch_norm2d_forward(rng.standard_normal((2, 3, 2, 2)), **{**arrays, name: np.ones(4)})

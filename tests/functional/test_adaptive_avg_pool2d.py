"""Adaptive average pooling: bins from floor(p H / P) to ceil((p + 1) H / P)."""

import math

import numpy as np
import pytest
from hypothesis import given

from minicnn.errors import ConfigError, ShapeError
from minicnn.functional import adaptive_avg_pool2d_backward, adaptive_avg_pool2d_forward
from tests.support.arrays import assert_close
from tests.support.differences import check_gradients
from tests.support.strategies import adaptive_configs, as_pair


@given(adaptive_configs())
def test_forward_is_the_loop_over_its_definition(config):
    x = config.x()
    y, _ = adaptive_avg_pool2d_forward(x, config.kernel_size)
    wanted = [want or size for want, size in zip(as_pair(config.kernel_size), x.shape[2:])]
    expected = np.empty((*x.shape[:2], *wanted))
    for n, c, p, q in np.ndindex(expected.shape):
        rows, cols = (
            slice(math.floor(o * size / bins), math.ceil((o + 1) * size / bins))
            for o, size, bins in zip((p, q), x.shape[2:], wanted)
        )
        expected[n, c, p, q] = x[n, c, rows, cols].mean()
    assert_close(y, expected, 1e-13)


@given(adaptive_configs())
def test_backward_agrees_with_differences(config):
    x = config.x()
    _, cache = adaptive_avg_pool2d_forward(x, config.kernel_size)
    check_gradients(
        lambda x: adaptive_avg_pool2d_forward(x, config.kernel_size)[0],
        {"x": x},
        lambda v: {"x": adaptive_avg_pool2d_backward(v, cache)},
        np.random.default_rng(config.seed),
    )


def test_the_same_size_changes_nothing(rng):
    x = rng.standard_normal((2, 3, 7, 5))
    np.testing.assert_array_equal(adaptive_avg_pool2d_forward(x, (7, 5))[0], x)
    np.testing.assert_array_equal(adaptive_avg_pool2d_forward(x, (None, None))[0], x)


def test_one_bin_is_the_mean_of_the_image(rng):
    x = rng.standard_normal((2, 3, 7, 5))
    assert_close(adaptive_avg_pool2d_forward(x, 1)[0][:, :, 0, 0], x.mean(axis=(2, 3)), 1e-14)


def test_more_bins_than_pixels_repeat_them():
    x = np.array([[[[1.0, 2.0]]]])
    np.testing.assert_array_equal(adaptive_avg_pool2d_forward(x, (1, 4))[0][0, 0, 0], [1, 1, 2, 2])


@pytest.mark.parametrize("output_size", [0, (2, 0), (1, 2, 3), "7", 2.5])
def test_an_output_size_that_makes_no_sense_is_named(output_size):
    with pytest.raises(ConfigError, match="adaptive_avg_pool2d: output_size must be"):
        adaptive_avg_pool2d_forward(np.zeros((1, 1, 4, 4)), output_size)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ShapeError, match=r"the input \(1, 2, 4, 0\) has no pixels"):
        adaptive_avg_pool2d_forward(np.zeros((1, 2, 4, 0)), 1)

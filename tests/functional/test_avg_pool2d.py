"""Average pooling against its definition written as loops, and what its divisor counts."""

import numpy as np
import pytest
from hypothesis import given

from minicnn.errors import ConfigError, ShapeError
from minicnn.functional import avg_pool2d_backward, avg_pool2d_forward
from tests.functional.test_max_pool2d import windows_by_loops
from tests.support.arrays import assert_close
from tests.support.differences import check_gradients
from tests.support.strategies import as_pair, avg_pool_configs


def avg_pool2d_by_loops(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    counts, seen = windows_by_loops(x.shape, kernel_size, stride, padding, 1, ceil_mode)
    kernel, pad = as_pair(kernel_size), as_pair(padding)
    step = kernel if stride is None else as_pair(stride)
    y = np.empty((*x.shape[:2], *counts))
    for n, c, p, q in np.ndindex(y.shape):
        if divisor_override is not None:
            divisor = divisor_override
        elif count_include_pad:
            divisor = 1
            for axis, o in ((0, p), (1, q)):
                start = o * step[axis] - pad[axis]
                divisor *= min(start + kernel[axis], x.shape[2 + axis] + pad[axis]) - start
        else:
            divisor = len(seen[p, q])
        y[n, c, p, q] = sum(x[n, c, i, j] for i, j in seen[p, q]) / divisor
    return y


@given(avg_pool_configs())
def test_forward_is_the_loop_over_its_definition(config):
    x = config.x()
    y, _ = avg_pool2d_forward(x, config.kernel_size, **config.options)
    assert_close(y, avg_pool2d_by_loops(x, config.kernel_size, **config.options), 1e-13)


@given(avg_pool_configs())
def test_backward_agrees_with_differences(config):
    x = config.x()
    _, cache = avg_pool2d_forward(x, config.kernel_size, **config.options)
    check_gradients(
        lambda x: avg_pool2d_forward(x, config.kernel_size, **config.options)[0],
        {"x": x},
        lambda v: {"x": avg_pool2d_backward(v, cache)},
        np.random.default_rng(config.seed),
    )


@given(avg_pool_configs())
def test_avg_pool2d_is_the_adjoint_of_its_gradient(config):
    x = config.x()
    y, cache = avg_pool2d_forward(x, config.kernel_size, **config.options)
    dy = np.random.default_rng(config.seed).standard_normal(y.shape)
    dx = avg_pool2d_backward(dy, cache)
    assert np.vdot(dy, y) == pytest.approx(np.vdot(dx, x), rel=1e-10, abs=1e-10)


def pool_ones(size, kernel, **options):
    """What pooling makes of a row of ones: the share of each window that is not zeros."""
    return avg_pool2d_forward(np.ones((1, 1, 1, size)), (1, kernel), **options)[0][0, 0, 0]


def test_count_include_pad_divides_by_the_padding_too():
    np.testing.assert_allclose(pool_ones(4, 2, padding=(0, 1)), [0.5, 1, 0.5])
    np.testing.assert_allclose(pool_ones(4, 2, padding=(0, 1), count_include_pad=False), [1, 1, 1])


def test_count_include_pad_does_not_count_what_ceil_mode_adds():
    # Five columns, windows at 0, 2 and 4: the last has one column, and a second beyond the image.
    np.testing.assert_allclose(pool_ones(5, 2, ceil_mode=True), [1, 1, 1])
    # With padding 1 the windows of four start at -1 and 3 and 7 is beyond: 3 of 4, then 2 ones and 1 padding.
    np.testing.assert_allclose(pool_ones(5, 4, stride=4, padding=(0, 1), ceil_mode=True), [3 / 4, 2 / 3])


def test_divisor_override_replaces_every_divisor():
    y = pool_ones(5, 2, padding=(0, 1), ceil_mode=True, divisor_override=8)
    np.testing.assert_allclose(y, [1 / 8, 2 / 8, 2 / 8])


def test_a_gradient_is_shared_out_evenly():
    _, cache = avg_pool2d_forward(np.zeros((1, 1, 2, 4)), 2)
    dx = avg_pool2d_backward(np.array([[[[4.0, 8.0]]]]), cache)
    np.testing.assert_array_equal(dx[0, 0], [[1, 1, 2, 2], [1, 1, 2, 2]])


def test_a_divisor_below_one_is_refused():
    with pytest.raises(ConfigError, match="divisor_override must be at least 1, got 0"):
        avg_pool2d_forward(np.zeros((1, 1, 4, 4)), 2, divisor_override=0)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ShapeError, match=r"avg_pool2d: the input \(1, 2, 4, 0\) has no pixels"):
        avg_pool2d_forward(np.zeros((1, 2, 4, 0)), 2, padding=1)

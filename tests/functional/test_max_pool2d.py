"""Max pooling against its definition written as loops, and its conventions by name."""

import numpy as np
import pytest
from hypothesis import given

from minicnn.errors import ConfigError, ShapeError
from minicnn.functional import max_pool2d_backward, max_pool2d_forward
from tests.support.arrays import separated
from tests.support.differences import check_gradients
from tests.support.strategies import as_pair, max_pool_configs


def windows_by_loops(shape, kernel_size, stride, padding, dilation, ceil_mode):
    """For every output (p, q) the list of (row, column) it looks at inside the image, in row-major order."""
    kernel = as_pair(kernel_size)
    stride = kernel if stride is None else as_pair(stride)
    counts = []
    for axis in (0, 1):
        size, pad = shape[2 + axis], as_pair(padding)[axis]
        room = size + 2 * pad - as_pair(dilation)[axis] * (kernel[axis] - 1) - 1
        count = (-(-room // stride[axis]) if ceil_mode else room // stride[axis]) + 1
        if ceil_mode and (count - 1) * stride[axis] >= size + pad:
            count -= 1  # the last window may not start in the padding after the image
        counts.append(count)
    seen = {}
    for p, q in np.ndindex(*counts):
        seen[p, q] = []
        for r, s in np.ndindex(*kernel):
            i = p * stride[0] + r * as_pair(dilation)[0] - as_pair(padding)[0]
            j = q * stride[1] + s * as_pair(dilation)[1] - as_pair(padding)[1]
            if 0 <= i < shape[2] and 0 <= j < shape[3]:
                seen[p, q].append((i, j))
    return tuple(counts), seen


@given(max_pool_configs())
def test_forward_is_the_loop_over_its_definition(config):
    x = config.x()
    y, _ = max_pool2d_forward(x, config.kernel_size, **config.options)
    counts, seen = windows_by_loops(x.shape, config.kernel_size, **config.options)
    expected = np.empty((*x.shape[:2], *counts))
    for n, c, p, q in np.ndindex(expected.shape):
        expected[n, c, p, q] = max(x[n, c, i, j] for i, j in seen[p, q])
    np.testing.assert_array_equal(y, expected)


@given(max_pool_configs())
def test_backward_agrees_with_differences(config):
    x = config.x()
    _, cache = max_pool2d_forward(x, config.kernel_size, **config.options)
    check_gradients(
        lambda x: max_pool2d_forward(x, config.kernel_size, **config.options)[0],
        {"x": x},
        lambda v: {"x": max_pool2d_backward(v, cache)},
        np.random.default_rng(config.seed),
    )


@given(max_pool_configs())
def test_ties_go_to_the_first_maximum_in_row_major_order(config):
    """Over a handful of values, where most windows hold several maxima."""
    rng = np.random.default_rng(config.seed)
    x = rng.integers(0, 2, config.x_shape).astype(np.float64)
    y, cache = max_pool2d_forward(x, config.kernel_size, **config.options)
    dy = rng.integers(1, 10, y.shape).astype(np.float64)
    _, seen = windows_by_loops(x.shape, config.kernel_size, **config.options)
    expected = np.zeros_like(x)
    for n, c, p, q in np.ndindex(y.shape):
        first = max(seen[p, q], key=lambda at: x[n, c, at[0], at[1]])
        expected[n, c, first[0], first[1]] += dy[n, c, p, q]
    np.testing.assert_array_equal(max_pool2d_backward(dy, cache), expected)


def test_ties_of_a_constant_image_go_to_the_first_corner():
    y, cache = max_pool2d_forward(np.ones((1, 1, 4, 4)), 2)
    dx = max_pool2d_backward(np.ones_like(y), cache)
    np.testing.assert_array_equal(dx[0, 0], [[1, 0, 1, 0], [0] * 4, [1, 0, 1, 0], [0] * 4])


def test_overlapping_windows_add_their_gradients():
    x = np.array([0.0, 5.0, 1.0]).reshape(1, 1, 1, 3)
    _, cache = max_pool2d_forward(x, (1, 2), stride=1)
    dx = max_pool2d_backward(np.array([2.0, 3.0]).reshape(1, 1, 1, 2), cache)
    np.testing.assert_array_equal(dx[0, 0, 0], [0, 5, 0])


def test_padding_never_wins():
    y, cache = max_pool2d_forward(np.full((1, 1, 2, 2), -7.0), 2, stride=1, padding=1)
    np.testing.assert_array_equal(y, np.full((1, 1, 3, 3), -7.0))
    assert max_pool2d_backward(np.ones_like(y), cache).sum() == 9


def test_ceil_mode_adds_a_partial_window():
    x = np.arange(5.0).reshape(1, 1, 1, 5)
    np.testing.assert_array_equal(max_pool2d_forward(x, (1, 2))[0][0, 0, 0], [1, 3])
    np.testing.assert_array_equal(max_pool2d_forward(x, (1, 2), ceil_mode=True)[0][0, 0, 0], [1, 3, 4])


def test_ceil_mode_drops_a_window_that_would_start_in_the_far_padding():
    x = np.arange(5.0).reshape(1, 1, 5, 1)
    y, _ = max_pool2d_forward(x, (2, 1), stride=(3, 1), padding=(1, 0), ceil_mode=True)
    np.testing.assert_array_equal(y[0, 0, :, 0], [0, 3])


def test_a_missing_stride_is_the_kernel_size():
    assert max_pool2d_forward(np.zeros((1, 1, 6, 6)), (2, 3))[0].shape == (1, 1, 3, 2)


def test_nan_is_passed_on_wherever_it_stands_in_the_window():
    for position in range(4):
        x = separated(np.random.default_rng(0), (1, 1, 2, 2))
        x.ravel()[position] = np.nan
        y, cache = max_pool2d_forward(x, 2)
        assert np.isnan(y).all()
        assert max_pool2d_backward(np.ones_like(y), cache).ravel()[position] == 1


@pytest.mark.parametrize(
    ("kernel_size", "options", "text"),
    [
        (2, {"padding": 2}, "padding 2 is more than half the kernel 2"),
        ((3, 2), {"padding": (1, 2)}, "more than half the kernel"),
        (2, {"padding": "same"}, "padding must be an int or a pair, got 'same'"),
        (0, {}, "kernel_size must be at least 1, got 0"),
    ],
)
def test_arguments_that_make_no_sense_are_named(kernel_size, options, text):
    with pytest.raises(ConfigError, match=text):
        max_pool2d_forward(np.zeros((1, 1, 4, 4)), kernel_size, **options)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ShapeError, match=r"the input \(1, 2, 0, 4\) has no pixels"):
        max_pool2d_forward(np.zeros((1, 2, 0, 4)), 2, padding=1)

"""im2col lays windows out, col2im adds them back: each is the other's transpose."""

import numpy as np
import pytest
from hypothesis import given

from minicnn.errors import ConfigError, ShapeError
from minicnn.functional.windows import col2im, im2col, make_window
from tests.support.strategies import ConvConfig, conv_configs


def window_of(config: ConvConfig):
    options = {name: config.options[name] for name in ("stride", "padding", "dilation")}
    return make_window("test", config.x_shape[2:], config.weight_shape[2:], **options)


@given(conv_configs())
def test_im2col_puts_every_pixel_where_its_formula_says(config):
    """columns[c, r, s, n, p, q] = padded x[n, c, p*stride + r*dilation, q*stride + s*dilation]."""
    x, window = config.arrays()["x"], window_of(config)
    columns = im2col(x, window)
    (top, left), (bottom, right) = window.before, window.after
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    assert columns.shape == (x.shape[1], *window.kernel, x.shape[0], *window.output)
    for c, r, s, n, p, q in np.ndindex(columns.shape):
        row = p * window.stride[0] + r * window.dilation[0]
        col = q * window.stride[1] + s * window.dilation[1]
        assert columns[c, r, s, n, p, q] == padded[n, c, row, col]


@given(conv_configs())
def test_col2im_is_the_adjoint_of_im2col(config):
    """<columns, im2col(x)> = <col2im(columns), x>, for overlapping and gapped windows alike."""
    x, window = config.arrays()["x"], window_of(config)
    laid_out = im2col(x, window)
    columns = np.random.default_rng(config.seed + 1).standard_normal(laid_out.shape)
    back = col2im(columns, window)
    assert back.shape == x.shape
    assert np.vdot(columns, laid_out) == pytest.approx(np.vdot(back, x), rel=1e-10, abs=1e-10)


def test_col2im_counts_how_many_windows_see_a_pixel():
    window = make_window("test", (1, 4), (1, 2), 1, 0, 1)
    counts = col2im(np.ones((1, 1, 2, 1, 1, 3)), window)
    np.testing.assert_array_equal(counts[0, 0, 0], [1, 2, 2, 1])


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation", "expected"),
    [
        (28, 5, 1, 2, 1, 28),
        (32, 5, 1, 0, 1, 28),
        (224, 7, 2, 3, 1, 112),
        (224, 11, 4, 2, 1, 55),
        (7, 3, 2, 0, 1, 3),
        (8, 3, 2, 0, 1, 3),  # the last column is not seen
        (9, 3, 1, 0, 2, 5),
        (5, 4, 1, "same", 1, 5),
    ],
)
def test_output_sizes_of_published_networks_and_edges(size, kernel, stride, padding, dilation, expected):
    window = make_window("test", (size, size), kernel, stride, padding, dilation)
    assert window.output == (expected, expected)


def test_same_padding_puts_the_odd_one_after_the_image():
    window = make_window("test", (6, 6), (4, 2), 1, "same", 1)
    assert window.before == (1, 0)
    assert window.after == (2, 1)


def test_ceil_mode_keeps_a_window_that_starts_inside():
    assert make_window("test", (6, 6), 3, 2, 0, 1).output == (2, 2)
    assert make_window("test", (6, 6), 3, 2, 0, 1, ceil_mode=True).output == (3, 3)


def test_ceil_mode_drops_a_window_that_would_start_in_the_far_padding():
    # ceil((5 + 2 - 2) / 3) + 1 = 3 windows, at -1, 2, 5: the third starts at row 5 of 5, and is dropped.
    assert make_window("test", (5, 5), 2, 3, 1, 1, ceil_mode=True).output == (2, 2)


def test_a_kernel_larger_than_the_padded_input_is_refused():
    with pytest.raises(ShapeError, match=r"kernel \(5, 5\).*larger than the padded input \(2 x 8"):
        make_window("test", (2, 8), 5, 1, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"stride": 0}, "stride must be at least 1, got 0"),
        ({"padding": -1}, "padding must be at least 0, got -1"),
        ({"dilation": (1, 0)}, r"dilation must be at least 1, got \(1, 0\)"),
        ({"kernel": 2.0}, r"kernel_size must be an int or a pair \(height, width\), got 2.0"),
        ({"kernel": (1, 2, 3)}, "kernel_size must be an int or a pair"),
        ({"stride": True}, "stride must be an int or a pair"),
        ({"kernel": np.array([2, 2])}, "kernel_size must be an int or a pair"),
    ],
)
def test_arguments_that_make_no_sense_are_named(arguments, text):
    good = {"kernel": 2, "stride": 1, "padding": 0, "dilation": 1}
    with pytest.raises(ConfigError, match=text):
        make_window("test", (8, 8), **{**good, **arguments})


def test_numpy_integers_are_integers():
    window = make_window("test", (8, 8), np.int64(3), (np.int32(2), 2), np.uint8(1), 1)
    assert window.output == (4, 4)

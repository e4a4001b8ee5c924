"""Convolution against its definition written as loops, and its backward against differences."""

import numpy as np
import pytest
from hypothesis import given

from minicnn.errors import ConfigError, ShapeError
from minicnn.functional import conv2d_backward, conv2d_forward
from tests.support.arrays import assert_close
from tests.support.differences import check_gradients
from tests.support.strategies import as_pair, conv_configs


def conv2d_by_loops(x, weight, bias, stride, padding, dilation, groups):
    """y[n,o,p,q] = b[o] + Σ_crs w[o,c,r,s] x[n, c, p*stride + r*dilation - padding, ...], as it stands."""
    (batch, _, height, width), (outs, in_group, kh, kw) = x.shape, weight.shape
    (sh, sw), (dh, dw) = as_pair(stride), as_pair(dilation)
    if padding == "same":
        total = (dh * (kh - 1), dw * (kw - 1))
        pad, far = (total[0] // 2, total[1] // 2), (total[0] - total[0] // 2, total[1] - total[1] // 2)
    else:
        pad = far = as_pair(padding)
    rows = (height + pad[0] + far[0] - dh * (kh - 1) - 1) // sh + 1
    cols = (width + pad[1] + far[1] - dw * (kw - 1) - 1) // sw + 1
    y = np.zeros((batch, outs, rows, cols))
    for n, o, p, q in np.ndindex(y.shape):
        first = o // (outs // groups) * in_group  # the first channel that o's group sees
        total = 0.0 if bias is None else bias[o]
        for c, r, s in np.ndindex(in_group, kh, kw):
            i, j = p * sh + r * dh - pad[0], q * sw + s * dw - pad[1]
            if 0 <= i < height and 0 <= j < width:
                total += weight[o, c, r, s] * x[n, first + c, i, j]
        y[n, o, p, q] = total
    return y


@given(conv_configs())
def test_forward_is_the_loop_over_its_definition(config):
    arrays = config.arrays()
    y, _ = conv2d_forward(**arrays, **config.options)
    assert_close(y, conv2d_by_loops(**arrays, **config.options), 1e-12)


@given(conv_configs())
def test_backward_agrees_with_differences(config):
    arrays = {name: array for name, array in config.arrays().items() if array is not None}
    _, cache = conv2d_forward(**arrays, **config.options)
    check_gradients(
        lambda **moved: conv2d_forward(**moved, **config.options)[0],
        arrays,
        lambda v: {
            name: g for name, g in zip(("x", "weight", "bias"), conv2d_backward(v, cache)) if name in arrays
        },
        np.random.default_rng(config.seed),
    )


@given(conv_configs())
def test_conv2d_is_the_adjoint_of_its_input_gradient(config):
    """<dy, conv(x)> = <conv_backward(dy), x>, and the same for the weight: conv is linear in both."""
    arrays = {**config.arrays(), "bias": None}
    y, cache = conv2d_forward(**arrays, **config.options)
    dy = np.random.default_rng(config.seed + 1).standard_normal(y.shape)
    dx, dweight, dbias = conv2d_backward(dy, cache)
    assert dbias is None
    expected = pytest.approx(np.vdot(dy, y), rel=1e-10, abs=1e-10)
    assert np.vdot(dx, arrays["x"]) == expected
    assert np.vdot(dweight, arrays["weight"]) == expected


@given(conv_configs())
def test_grouped_convolution_is_a_convolution_per_group(config):
    arrays, groups = config.arrays(), config.options["groups"]
    y, _ = conv2d_forward(**arrays, **config.options)
    parts = [
        conv2d_forward(x, w, **{**config.options, "groups": 1})[0]
        for x, w in zip(np.split(arrays["x"], groups, 1), np.split(arrays["weight"], groups, 0))
    ]
    expected = np.concatenate(parts, axis=1)
    if arrays["bias"] is not None:
        expected += arrays["bias"][:, None, None]
    assert_close(y, expected, 1e-12)


def test_the_kernel_is_not_flipped():
    x = np.arange(4.0).reshape(1, 1, 1, 4)
    y, _ = conv2d_forward(x, np.array([1.0, 10.0]).reshape(1, 1, 1, 2))
    np.testing.assert_array_equal(y[0, 0, 0], [10, 21, 32])


def test_a_one_by_one_kernel_mixes_channels_only():
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((6, 3, 1, 1))
    y, _ = conv2d_forward(x, weight)
    assert_close(y, np.einsum("oc,nchw->nohw", weight[:, :, 0, 0], x), 1e-13)


@pytest.mark.parametrize("padding", ["same", 1])
def test_same_padding_of_an_odd_kernel_is_half_of_it(padding, rng):
    y, _ = conv2d_forward(
        rng.standard_normal((1, 1, 4, 7)), rng.standard_normal((1, 1, 3, 3)), padding=padding
    )
    assert y.shape == (1, 1, 4, 7)


def test_the_gradient_of_pixels_that_no_window_sees_is_zero(rng):
    x, weight = rng.standard_normal((1, 1, 6, 6)), rng.standard_normal((1, 1, 3, 3))
    y, cache = conv2d_forward(x, weight, stride=2)
    dx, _, _ = conv2d_backward(np.ones_like(y), cache)
    assert not dx[..., -1].any()
    assert not dx[..., -1, :].any()
    assert dx[..., :-1, :-1].all()


@pytest.mark.parametrize(
    ("bias", "options", "text"),
    [
        ((5,), {}, r"Conv2d\(4 -> 6\) expects bias \(6,\), got \(5,\)"),
        (None, {"groups": 4}, "groups=4 must divide the 6 output channels"),
        (None, {"groups": 0}, "groups=0 must divide"),
        (None, {"padding": "valid"}, "padding must be an int, a pair or \"same\", got 'valid'"),
    ],
)
def test_arguments_that_do_not_fit_are_named(bias, options, text, rng):
    bias = None if bias is None else rng.standard_normal(bias)
    with pytest.raises((ShapeError, ConfigError), match=text):
        conv2d_forward(rng.standard_normal((1, 4, 5, 5)), rng.standard_normal((6, 4, 3, 3)), bias, **options)


def test_a_weight_without_four_axes_is_refused(rng):
    with pytest.raises(ShapeError, match=r"expects weight \(O, C/groups, R, S\), got \(4, 3\)"):
        conv2d_forward(rng.standard_normal((1, 4, 5, 5)), rng.standard_normal((4, 3)))

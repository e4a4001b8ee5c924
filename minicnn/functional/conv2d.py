"""Two-dimensional convolution as a matrix product (im2col).

LeCun et al. 1998, "Gradient-based learning applied to document recognition", sec. II;
the im2col form: Chellapilla et al. 2006, "High performance convolutional neural networks
for document processing". As everywhere in deep learning the kernel is not flipped.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from minicnn.backend import Array
from minicnn.errors import ConfigError, ShapeError
from minicnn.functional.check import Pair, check_float, check_nchw, check_upstream, remembered
from minicnn.functional.windows import Window, col2im, im2col, make_window
from minicnn.kernels.choice import kernel_for
from minicnn.kernels.table import Conv
from minicnn.kernels.threads import matmul

Needs = tuple[bool, bool, bool]


class Conv2dCache(NamedTuple):
    x: Array  # (N, C, H, W)
    weight: Array  # (O, C/G, R, S)
    has_bias: bool
    window: Window
    groups: int


def conv2d_forward(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[Array, Conv2dCache]:
    """y[n,o,p,q] = b[o] + Σ_crs w[o,c,r,s] x[n, c, p*stride + r*dilation - padding, q*... + s*...].

    x (N, C, H, W), weight (O, C/groups, R, S), bias (O,) or None -> y (N, O, P, Q) with
    P = floor((H + 2 padding - dilation (R - 1) - 1) / stride) + 1, likewise Q.
    stride, padding and dilation are an int or a pair (height, width); padding may be "same".
    With groups = G the channels are split into G parts that do not see each other.
    Raises ShapeError, DTypeError or ConfigError when the arguments do not fit.
    """
    window = check_conv2d(x, weight, bias, stride, padding, dilation, groups)
    if kernel := conv2d_kernel(x, weight, window, groups):
        return kernel.forward(x, weight, bias, window)
    rows, cols = _matrix_shape(weight, groups), x.shape[0] * math.prod(window.output)
    columns = im2col(x, window).reshape(groups, rows[2], cols)
    y = matmul(weight.reshape(rows), columns)  # (G, O/G, N*P*Q)
    y = y.reshape(weight.shape[0], x.shape[0], *window.output)
    if bias is not None:
        y += bias[:, None, None, None]
    return y.transpose(1, 0, 2, 3), Conv2dCache(x, weight, bias is not None, window, groups)


def conv2d_backward(
    dy: Array, cache: Conv2dCache, needs: Needs = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    """With columns X of the input:  dW = dY Xᵀ,  dX = Wᵀ dY (then col2im),  db = Σ dY.

    dy (N, O, P, Q) -> dx (N, C, H, W), dweight (O, C/groups, R, S), dbias (O,) or None.
    `needs` says which of the three to compute; the others are None.
    """
    if not isinstance(cache, Conv2dCache):  # a kernel's: it knows its own backward
        check_upstream("conv2d", dy, cache.shape, cache.x.dtype)
        return cache.backward(dy, needs)
    x, weight, has_bias, window, groups = cache
    check_upstream("conv2d", dy, (x.shape[0], weight.shape[0], *window.output), x.dtype)
    dy = dy.transpose(1, 0, 2, 3)  # (O, N, P, Q)
    dx = dweight = dbias = None
    if needs[2] and has_bias:
        dbias = dy.sum(axis=(1, 2, 3))
    rows, cols = _matrix_shape(weight, groups), x.shape[0] * math.prod(window.output)
    dy = dy.reshape(groups, rows[1], cols)
    if needs[1]:
        # The columns are R*S times as large as x: laying them out again beats keeping them.
        columns = im2col(x, window).reshape(groups, rows[2], cols)
        dweight = matmul(dy, columns.swapaxes(1, 2)).reshape(weight.shape)
    if needs[0]:
        dcolumns = matmul(weight.reshape(rows).swapaxes(1, 2), dy)
        dx = col2im(dcolumns.reshape(x.shape[1], *window.kernel, x.shape[0], *window.output), window)
    return dx, dweight, dbias


def conv2d_relu_forward(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[Array, Any] | None:
    """max(conv2d(x), 0) in one pass, or None where no kernel can. conv2d_backward takes the cache."""
    window = check_conv2d(x, weight, bias, stride, padding, dilation, groups)
    kernel = conv2d_kernel(x, weight, window, groups)
    return kernel.forward(x, weight, bias, window, relu=True) if kernel else None


def conv2d_backward_onto(
    dy: Array, cache: Any, needs: Needs, onto: Array
) -> tuple[Array, Array | None, Array | None]:
    """conv2d_backward with dx added to `onto`, which the caller gives up: a kernel may write dx there."""
    if hasattr(cache, "backward_onto"):
        check_upstream("conv2d", dy, cache.shape, cache.x.dtype)
        return cache.backward_onto(dy, needs, onto)
    dx, dweight, dbias = conv2d_backward(dy, cache, needs)
    return onto + dx, dweight, dbias


def conv2d_kernel(x: Array, weight: Array, window: Window, groups: int = 1) -> Any:
    """The kernel that computes this convolution; None for the definition."""
    size, channels, out_channels = x.shape[0], x.shape[1], weight.shape[0]
    return kernel_for("conv2d", x, Conv(size, channels, out_channels, groups, window))


def _matrix_shape(weight: Array, groups: int) -> tuple[int, int, int]:
    """The weight as one matrix a group: (G, O/G, C/G * R * S)."""
    return groups, weight.shape[0] // groups, math.prod(weight.shape[1:])


def check_conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair,
    padding: Pair | str,
    dilation: Pair,
    groups: int,
) -> Window:
    """Check that the arguments of a convolution fit together; returns its windows."""
    check_float("conv2d", x=x, weight=weight, bias=bias)
    return _window_of(
        x.shape, weight.shape, None if bias is None else bias.shape, stride, padding, dilation, groups
    )


@remembered
def _window_of(
    x_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    bias_shape: tuple[int, ...] | None,
    stride: Pair,
    padding: Pair | str,
    dilation: Pair,
    groups: int,
) -> Window:
    if len(weight_shape) != 4:
        raise ShapeError(f"conv2d expects weight (O, C/groups, R, S), got {weight_shape}")
    out_channels = weight_shape[0]
    if groups < 1 or out_channels % groups:
        raise ConfigError(f"conv2d: groups={groups} must divide the {out_channels} output channels")
    in_channels = weight_shape[1] * groups
    who = f"Conv2d({in_channels} -> {out_channels})"
    check_nchw(who, x_shape, in_channels)
    if bias_shape is not None and bias_shape != (out_channels,):
        raise ShapeError(f"{who} expects bias ({out_channels},), got {bias_shape}")
    return make_window(
        who, (x_shape[2], x_shape[3]), (weight_shape[2], weight_shape[3]), stride, padding, dilation
    )

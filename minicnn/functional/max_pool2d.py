"""Max pooling: the largest value of every window."""

from __future__ import annotations

from typing import NamedTuple

from minicnn.backend import Array, get_xp
from minicnn.errors import ConfigError, ShapeError
from minicnn.functional.check import Pair, check_float, check_nchw, check_upstream, remembered
from minicnn.functional.windows import Window, make_window
from minicnn.kernels.choice import kernel_for
from minicnn.kernels.table import Pool


class MaxPool2dCache(NamedTuple):
    argmax: Array  # (N, C, P, Q): which kernel position r*S + s won
    window: Window


def max_pool2d_forward(
    x: Array,
    kernel_size: Pair,
    *,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> tuple[Array, MaxPool2dCache]:
    """y[n,c,p,q] = max_rs x[n, c, p*stride + r*dilation - padding, q*... + s*...].

    x (N, C, H, W) -> y (N, C, P, Q). stride None means kernel_size (windows side by side).
    Padding counts as -infinity and is at most half the kernel. ceil_mode rounds the output
    size up. Among equal values the first in row-major order wins, as in PyTorch.
    """
    window = check_pool("max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode)
    if kernel := kernel_for("max_pool2d", x, Pool(x.shape, window.kernel)):
        return kernel.forward(x, window)
    xp = get_xp(x)
    padded = window.pad(x, -xp.inf)
    # full_like and zeros_like take over the order of x in memory, whatever it is: 3x faster than mixing orders.
    y = xp.full_like(padded, -xp.inf, shape=(*x.shape[:2], *window.output))
    argmax = xp.zeros_like(y, dtype=xp.int32)
    for r, s, (rows, cols) in window.positions():
        candidate = padded[:, :, rows, cols]
        # Strictly greater: the first of several equal values stays. NaN wins, so that it is seen.
        wins = (candidate > y) | (candidate != candidate)
        xp.copyto(y, candidate, where=wins)
        xp.copyto(argmax, r * window.kernel[1] + s, where=wins)
    return y, MaxPool2dCache(argmax, window)


def max_pool2d_backward(dy: Array, cache: MaxPool2dCache) -> Array:
    """Every dy goes to the position that won; where windows overlap, the gradients add up.

    dy (N, C, P, Q) -> dx (N, C, H, W).
    """
    check_upstream("max_pool2d", dy, cache.argmax.shape)
    if not isinstance(cache, MaxPool2dCache) and dy.dtype == cache.dtype:
        return cache.backward(dy)
    argmax, window = cache.argmax, cache.window
    xp = get_xp(dy)
    padded = xp.zeros_like(dy, shape=(*dy.shape[:2], *window.padded))
    for r, s, (rows, cols) in window.positions():
        padded[:, :, rows, cols] += xp.where(argmax == r * window.kernel[1] + s, dy, 0)
    return window.crop(padded)


def check_pool(
    who: str,
    x: Array,
    kernel_size: Pair,
    stride: Pair | None,
    padding: Pair,
    dilation: Pair,
    ceil_mode: bool,
) -> Window:
    """Check the arguments of a pooling operation; returns its windows."""
    check_float(who, x=x)
    return _window_of(who, x.shape, kernel_size, stride, padding, dilation, ceil_mode)


@remembered
def _window_of(
    who: str,
    x_shape: tuple[int, ...],
    kernel_size: Pair,
    stride: Pair | None,
    padding: Pair,
    dilation: Pair,
    ceil_mode: bool,
) -> Window:
    check_nchw(who, x_shape)
    if 0 in x_shape[2:]:
        raise ShapeError(f"{who}: the input {x_shape} has no pixels")
    if isinstance(padding, str):
        raise ConfigError(f"{who}: padding must be an int or a pair, got {padding!r}")
    window = make_window(
        who,
        (x_shape[2], x_shape[3]),
        kernel_size,
        kernel_size if stride is None else stride,
        padding,
        dilation,
        ceil_mode,
    )
    for axis in (0, 1):
        reach = window.dilation[axis] * (window.kernel[axis] - 1) + 1
        if window.before[axis] > reach // 2:
            raise ConfigError(
                f"{who}: padding {padding} is more than half the kernel {kernel_size}: "
                "a window would see nothing but padding"
            )
    return window

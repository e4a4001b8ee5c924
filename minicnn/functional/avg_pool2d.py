"""Average pooling: the mean of every window."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minicnn.backend import Array, device_of, get_xp, to_device
from minicnn.errors import ConfigError
from minicnn.functional.check import Pair, check_upstream
from minicnn.functional.max_pool2d import check_pool
from minicnn.functional.windows import Window
from minicnn.kernels.choice import kernel_for
from minicnn.kernels.table import Pool


class AvgPool2dCache(NamedTuple):
    divisor: Array  # (P, Q): how many values each output averages
    shape: tuple[int, ...]  # of y
    window: Window


def avg_pool2d_forward(
    x: Array,
    kernel_size: Pair,
    *,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> tuple[Array, AvgPool2dCache]:
    """y[n,c,p,q] = 1/d[p,q] Σ_rs x[n, c, p*stride + r - padding, q*stride + s - padding].

    x (N, C, H, W) -> y (N, C, P, Q). stride None means kernel_size. The divisor d counts the
    padding's zeros when count_include_pad, but never what ceil_mode adds beyond the padding;
    without it d counts only the image's own values. divisor_override replaces d.
    """
    window = check_pool("avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode)
    if divisor_override is not None and divisor_override < 1:
        raise ConfigError(f"avg_pool2d: divisor_override must be at least 1, got {divisor_override}")
    divisor = _divisor(window, count_include_pad, divisor_override, x.dtype, device_of(x))
    if kernel := kernel_for("avg_pool2d", x, Pool(x.shape, window.kernel)):
        return kernel.forward(x, divisor, window)
    padded = window.pad(x)
    y = get_xp(x).zeros_like(x, shape=(*x.shape[:2], *window.output))
    for _, _, (rows, cols) in window.positions():
        y += padded[:, :, rows, cols]
    y /= divisor
    return y, AvgPool2dCache(divisor, y.shape, window)


def avg_pool2d_backward(dy: Array, cache: AvgPool2dCache) -> Array:
    """Every dy is shared out evenly over its window: dx += dy / d at each of its positions.

    dy (N, C, P, Q) -> dx (N, C, H, W).
    """
    if not isinstance(cache, AvgPool2dCache):  # a kernel's: it knows its own backward
        check_upstream("avg_pool2d", dy, cache.shape, cache.share.dtype)
        return cache.backward(dy)
    divisor, shape, window = cache
    check_upstream("avg_pool2d", dy, shape, divisor.dtype)
    padded = get_xp(dy).zeros_like(dy, shape=(*dy.shape[:2], *window.padded))
    share = dy / divisor
    for _, _, (rows, cols) in window.positions():
        padded[:, :, rows, cols] += share
    return window.crop(padded)


@lru_cache(maxsize=256)
def _divisor(
    window: Window, count_include_pad: bool, override: int | None, dtype: np.dtype, device: str
) -> Array:
    """(P, Q): what each output's sum is divided by. Kept, since a CUDA graph cannot copy it to the GPU."""
    if override is not None:
        return to_device(np.full(window.output, override, dtype), device)
    rows, cols = (_counts(window, axis, count_include_pad) for axis in (0, 1))
    counts = np.outer(rows, cols)
    return to_device(counts.astype(dtype), device)


def _counts(window: Window, axis: int, count_include_pad: bool) -> list[int]:
    """How many counted positions each output has along one axis."""
    first, last = -window.before[axis], window.input[axis] + window.before[axis]
    counts = []
    for output in range(window.output[axis]):
        start = first + output * window.stride[axis]
        stop = min(start + window.kernel[axis], last)  # ceil_mode's overhang never counts
        if not count_include_pad:
            start, stop = max(start, 0), min(stop, window.input[axis])
        counts.append(stop - start)
    return counts

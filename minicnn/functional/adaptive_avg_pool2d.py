"""Adaptive average pooling: to a given output size, whatever the input size."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import Array, get_xp
from minicnn.errors import ShapeError
from minicnn.functional.avg_pool2d import avg_pool2d_backward, avg_pool2d_forward
from minicnn.functional.check import check_float, check_nchw, check_upstream, pair
from minicnn.kernels.choice import kernel_for
from minicnn.kernels.table import Pool


class AdaptiveAvgPool2dCache(NamedTuple):
    rows: Array  # (P, H): the averaging matrix along the height
    cols: Array  # (Q, W): the one along the width
    shape: tuple[int, ...]  # of y


def adaptive_avg_pool2d_forward(x: Array, output_size: Any) -> tuple[Array, Any]:
    """Y = A X Bᵀ for every channel, where A (P, H) and B (Q, W) average over bins.

    Bin p covers the rows floor(p H / P) to ceil((p + 1) H / P); bins may overlap, and where
    P > H they repeat values. x (N, C, H, W) -> y (N, C, P, Q).
    output_size is an int or a pair; None in it keeps the input's size.
    """
    check_float("adaptive_avg_pool2d", x=x)
    check_nchw("adaptive_avg_pool2d", x)
    height, width = x.shape[2:]
    if height == 0 or width == 0:
        raise ShapeError(f"adaptive_avg_pool2d: the input {x.shape} has no pixels to average")
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    if len(wanted) == 2:
        wanted = tuple(size if want is None else want for want, size in zip(wanted, (height, width)))
    out_height, out_width = pair("adaptive_avg_pool2d", "output_size", wanted, 1)
    if height % out_height == 0 and width % out_width == 0:  # equal bins: an average pooling like any other
        bins = (height // out_height, width // out_width)
        if kernel_for("avg_pool2d", x, Pool(x.shape, bins)):
            return avg_pool2d_forward(x, bins)
    row_bins, col_bins = _bins(height, out_height), _bins(width, out_width)
    if kernel := kernel_for("adaptive_avg_pool2d", x, Pool(x.shape, (out_height, out_width))):
        return kernel.forward(x, row_bins, col_bins)
    rows = _averaging_matrix(x, height, row_bins)
    cols = _averaging_matrix(x, width, col_bins)
    y = rows @ x @ cols.T
    return y, AdaptiveAvgPool2dCache(rows, cols, y.shape)


def adaptive_avg_pool2d_backward(dy: Array, cache: Any) -> Array:
    """dX = Aᵀ dY B.  dy (N, C, P, Q) -> dx (N, C, H, W)."""
    if not isinstance(cache, AdaptiveAvgPool2dCache):
        return avg_pool2d_backward(dy, cache)
    rows, cols, shape = cache
    check_upstream("adaptive_avg_pool2d", dy, shape, rows.dtype)
    return rows.T @ dy @ cols


@lru_cache(maxsize=256)
def _bins(size: int, count: int) -> np.ndarray:
    """(count, 2): where each bin starts and stops."""
    return np.array([(i * size // count, -(-(i + 1) * size // count)) for i in range(count)])


def _averaging_matrix(x: Array, size: int, bins: np.ndarray) -> Array:
    matrix = get_xp(x).zeros((len(bins), size), dtype=x.dtype)
    for i, (start, stop) in enumerate(bins.tolist()):
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix

"""Average pooling in any order of storage, over windows or over bins of any size: see cpu/pooling.py."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels.calls.max_pool2d import as_planes, as_stored
from minicnn.kernels.cpu import pooling
from minicnn.kernels.cpu.layout import NCHW, Order, arrange, as_nchw, order_of
from minicnn.kernels.memory import empty


class AvgPool2dKernelCache(NamedTuple):
    share: np.ndarray  # (P, Q): 1 / how many values each output averages
    shape: tuple[int, ...]  # of y
    input: tuple[int, int]
    order: Order
    rows: np.ndarray  # (P, 2): where each bin starts and stops
    cols: np.ndarray  # (Q, 2)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        share, shape, size, order, rows, cols = self
        dx = empty(as_stored((*shape[:2], *size), order))
        tiling = _tile(rows, size[0]) and _tile(cols, size[1])
        pooling.average_dx(
            as_planes(arrange(dy, order), order), share, as_planes(dx, order), rows, cols, tiling
        )
        return as_nchw(dx, order)


def forward(x: np.ndarray, divisor: np.ndarray, window: Any) -> tuple[np.ndarray, AvgPool2dKernelCache]:
    return average(x, 1 / divisor, _window_bins(window, 0), _window_bins(window, 1))


def average(
    x: np.ndarray, share: np.ndarray, rows: np.ndarray, cols: np.ndarray
) -> tuple[np.ndarray, AvgPool2dKernelCache]:
    """y (N, C, P, Q) = share[p, q] times the sum of x over the bin of rows[p] and cols[q]."""
    order = order_of(x) or NCHW
    shape = (*x.shape[:2], len(rows), len(cols))
    y = empty(as_stored(shape, order))
    pooling.average(as_planes(arrange(x, order), order), share, as_planes(y, order), rows, cols)
    return as_nchw(y, order), AvgPool2dKernelCache(share, shape, (x.shape[2], x.shape[3]), order, rows, cols)


@lru_cache(maxsize=256)
def _window_bins(window: Any, axis: int) -> np.ndarray:
    """(outputs, 2): what each window covers of the image itself."""
    start = np.arange(window.output[axis]) * window.stride[axis] - window.before[axis]
    return np.clip(np.stack([start, start + window.kernel[axis]], axis=1), 0, window.input[axis])


def _tile(bins: np.ndarray, size: int) -> bool:
    """Whether each position of the image lies in exactly one bin."""
    return bins[0, 0] == 0 and bins[-1, 1] == size and bool((bins[1:, 0] == bins[:-1, 1]).all())

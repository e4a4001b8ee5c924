"""Average pooling in any order of storage: see cpu/pooling.py."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels.calls.max_pool2d import as_planes, as_stored
from minicnn.kernels.cpu import pooling
from minicnn.kernels.cpu.layout import NCHW, Order, arrange, as_nchw, order_of
from minicnn.kernels.memory import empty


class AvgPool2dKernelCache(NamedTuple):
    share: np.ndarray  # (P, Q): 1 / how many values each output averages
    shape: tuple[int, ...]  # of y
    order: Order
    window: Any

    def backward(self, dy: np.ndarray) -> np.ndarray:
        share, shape, order, window = self
        dx = empty(as_stored((*shape[:2], *window.input), order))
        planes = as_planes(arrange(dy, order), order)
        covered = tuple(count * step for count, step in zip(window.output, window.stride))
        tiling = window.kernel == window.stride and window.before == (0, 0) and covered == tuple(window.input)
        pooling.average_dx(
            planes, share, as_planes(dx, order), window.stride, window.before, window.kernel, tiling
        )
        return as_nchw(dx, order)


def forward(x: np.ndarray, divisor: np.ndarray, window: Any) -> tuple[np.ndarray, AvgPool2dKernelCache]:
    order = order_of(x) or NCHW
    shape = (*x.shape[:2], *window.output)
    y = empty(as_stored(shape, order))
    share = 1 / divisor
    planes = as_planes(arrange(x, order), order)
    pooling.average(planes, share, as_planes(y, order), window.stride, window.before, window.kernel)
    return as_nchw(y, order), AvgPool2dKernelCache(share, shape, order, window)

"""ReLU over the memory of an array, whatever its order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.kernels.cpu import elementwise
from minicnn.kernels.cpu.layout import Order, arrange, as_nchw, order_of
from minicnn.kernels.memory import empty


class ReLUKernelCache(NamedTuple):
    y: np.ndarray  # stored; y > 0 exactly where x > 0
    order: Order

    @property
    def shape(self) -> tuple[int, ...]:
        return as_nchw(self.y, self.order).shape

    @property
    def dtype(self) -> np.dtype:
        return self.y.dtype

    @property
    def mask(self) -> np.ndarray:
        """x > 0"""
        return as_nchw(self.y, self.order) > 0

    def backward(self, dy: np.ndarray) -> np.ndarray:
        dx = empty(self.y.shape)
        dy = arrange(dy, self.order)
        elementwise.where_positive(dy.reshape(-1), self.y.reshape(-1), dx.reshape(-1))
        return as_nchw(dx, self.order)


def forward(x: np.ndarray) -> tuple[np.ndarray, ReLUKernelCache]:
    order = order_of(x) or tuple(range(x.ndim))
    x = arrange(x, order)
    y = empty(x.shape)
    elementwise.relu(x.reshape(-1), y.reshape(-1))
    return as_nchw(y, order), ReLUKernelCache(y, order)

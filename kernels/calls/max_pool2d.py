"""Max pooling in any order of storage: see cpu/pooling.py."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels.cpu import pooling
from minicnn.kernels.cpu.layout import NCHW, Order, arrange, as_nchw, order_of
from minicnn.kernels.memory import empty


class MaxPool2dKernelCache(NamedTuple):
    won: np.ndarray  # which place r*S + s of its kernel each output came from, in stored order
    y: np.ndarray | None  # kept where the input came from a ReLU, whose backward is done here too
    order: Order
    input_shape: tuple[int, ...]  # stored
    window: Any

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float32)

    @property
    def argmax(self) -> np.ndarray:
        """(N, C, P, Q): which kernel position won."""
        return as_nchw(self.won, self.order)

    def mask_with(self, y: np.ndarray) -> MaxPool2dKernelCache | None:
        """The same, with the mask of a ReLU before the pooling (y > 0) applied in backward; None if it cannot be."""
        return self._replace(y=arrange(y, self.order)) if _is_2x2(self.window) else None

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return _backward(self, dy)


def forward(x: np.ndarray, window: Any) -> tuple[np.ndarray, MaxPool2dKernelCache]:
    order = order_of(x) or NCHW
    x = arrange(x, order)
    y_shape = as_stored((*_outer(x, order), *window.output), order)
    y, won = empty(y_shape), empty(y_shape, np.uint8)
    if _is_2x2(window):
        pooling.max_2x2(as_planes(x, order), as_planes(y, order), as_planes(won, order))
    else:
        pooling.max_any(
            as_planes(x, order),
            as_planes(y, order),
            as_planes(won, order),
            window.stride,
            window.dilation,
            window.before,
            window.kernel,
        )
    cache = MaxPool2dKernelCache(won, None, order, x.shape, window)
    return as_nchw(y, order), cache


def _backward(cache: MaxPool2dKernelCache, dy: np.ndarray) -> np.ndarray:
    won, y, order, input_shape, window = cache
    dx = empty(input_shape)
    dy, won, planes = (as_planes(array, order) for array in (arrange(dy, order), won, dx))
    if _is_2x2(window):
        pooling.max_2x2_dx(dy, dy if y is None else as_planes(y, order), won, y is not None, planes)
    else:
        pooling.max_any_dx(dy, won, window.stride, window.dilation, window.before, window.kernel, planes)
    return as_nchw(dx, order)


def _is_2x2(window: Any) -> bool:
    return (
        window.kernel == window.stride == (2, 2)
        and window.dilation == (1, 1)
        and window.before == (0, 0)
        and all(2 * out <= size for out, size in zip(window.output, window.input))
    )


def _outer(stored: np.ndarray, order: Order) -> tuple[int, int]:
    """N and C of a stored array."""
    return stored.shape[order.index(0)], stored.shape[order.index(1)]


def as_stored(shape: tuple[int, ...], order: Order) -> tuple[int, ...]:
    """The stored shape of an (N, C, H, W) array."""
    return tuple(shape[axis] for axis in order)


def as_planes(stored: np.ndarray, order: Order) -> np.ndarray:
    """A stored array as (A, H, W, V), which the pooling kernels work on."""
    if order != NCHW:
        return stored
    n, c, h, w = stored.shape
    return stored.reshape(n * c, h, w, 1)

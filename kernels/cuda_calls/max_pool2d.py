"""Max pooling: see cuda/max_pool.cu."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels.cuda_calls.geometry import window_arguments
from minicnn.kernels.cuda_calls.launch import contiguous, empty, launch


class MaxPool2dKernelCache(NamedTuple):
    argmax: Any  # (N, C, P, Q): which kernel position r*S + s won
    window: Any
    dtype: np.dtype

    def backward(self, dy: Any) -> Any:
        dy = contiguous(dy)
        dx = empty((*dy.shape[:2], *self.window.input), like=dy)
        args = (dy, self.argmax, dx, dy.shape[0] * dy.shape[1], *window_arguments(self.window))
        launch("max_pool.cu", "max_pool_backward", dx.size, args)
        return dx


def forward(x: Any, window: Any) -> tuple[Any, MaxPool2dKernelCache]:
    x = contiguous(x)
    y = empty((*x.shape[:2], *window.output), like=x)
    argmax = empty(y.shape, like=x, dtype=np.int32)
    args = (x, y, argmax, x.shape[0] * x.shape[1], *window_arguments(window))
    launch("max_pool.cu", "max_pool_forward", y.size, args)
    return y, MaxPool2dKernelCache(argmax, window, x.dtype)

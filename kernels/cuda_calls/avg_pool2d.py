"""Average pooling: see cuda/avg_pool.cu."""

from __future__ import annotations

from typing import Any, NamedTuple

from minicnn.kernels.cuda_calls.geometry import window_arguments
from minicnn.kernels.cuda_calls.launch import contiguous, empty, launch


class AvgPool2dKernelCache(NamedTuple):
    share: Any  # (P, Q): 1 / how many values each output averages
    shape: tuple[int, ...]  # of y
    window: Any

    def backward(self, dy: Any) -> Any:
        dy = contiguous(dy)
        dx = empty((*dy.shape[:2], *self.window.input), like=dy)
        args = (dy, self.share, dx, dy.shape[0] * dy.shape[1], *window_arguments(self.window, dilated=False))
        launch("avg_pool.cu", "avg_pool_backward", dx.size, args)
        return dx


def forward(x: Any, divisor: Any, window: Any) -> tuple[Any, AvgPool2dKernelCache]:
    x, share = contiguous(x), contiguous(1 / divisor)
    y = empty((*x.shape[:2], *window.output), like=x)
    args = (x, share, y, x.shape[0] * x.shape[1], *window_arguments(window, dilated=False))
    launch("avg_pool.cu", "avg_pool_forward", y.size, args)
    return y, AvgPool2dKernelCache(share, y.shape, window)

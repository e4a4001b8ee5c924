"""Batch normalisation, alone or with the addition and the ReLU after it: see cpu/batch_norm.py."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels.cpu import batch_norm
from minicnn.kernels.cpu.layout import NHWC, arrange, as_nchw
from minicnn.kernels.memory import empty


class BatchNorm2dKernelCache(NamedTuple):
    """What the kernels' backward needs. x and y are stored (N, H, W, C)."""

    x: np.ndarray
    weight: np.ndarray | None
    has_bias: bool
    bias: np.ndarray  # (C,): zeros where there is none
    mean: np.ndarray  # (C,): of the batch, or as given
    var: np.ndarray  # (C,): biased, of the batch, or as given
    inverse_std: np.ndarray  # (C,)
    scale: np.ndarray  # (C,): weight / √(var + eps)
    statistics_given: bool
    relu: bool
    y: np.ndarray | None  # kept where a shortcut was added: what is above zero cannot be told from x then

    @property
    def added_shortcut(self) -> bool:
        return self.y is not None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape[axis] for axis in (0, 3, 1, 2))

    def backward(self, dy: np.ndarray, needs: tuple[bool, bool, bool]) -> tuple[Any, Any, Any]:
        """dx, dweight, dbias; of the fused forms too, where dx is that of the normalised input."""
        return _backward(self, dy, needs)[:3]

    def backward_shortcut(
        self, dy: np.ndarray, needs: tuple[bool, bool, bool] = (True, True, True)
    ) -> tuple[Any, Any, Any, np.ndarray]:
        """dx, dweight, dbias and the gradient of the shortcut, (N, C, H, W) and the caller's own."""
        dx, dweight, dbias, dshortcut = _backward(self, dy, needs)
        return dx, dweight, dbias, as_nchw(dshortcut, NHWC)


def forward(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, mean: np.ndarray | None,
    var: np.ndarray | None, eps: float, relu: bool = False, shortcut: np.ndarray | None = None,
) -> tuple[np.ndarray, BatchNorm2dKernelCache]:  # fmt: skip
    x = arrange(x, NHWC)
    channels = x.shape[3]
    given = mean is not None and var is not None
    if mean is None or var is None:
        mean, var = empty((channels,)), empty((channels,))
        batch_norm.batch_statistics(x.reshape(-1, channels), mean, var)
    else:
        mean, var = mean.copy(), var.copy()  # running statistics may have moved on before backward
    inverse_std = (1 / np.sqrt(var + np.float32(eps))).astype(np.float32, copy=False)
    scale = inverse_std if weight is None else weight * inverse_std
    shift = np.zeros(channels, np.float32) if bias is None else np.ascontiguousarray(bias)
    y = empty(x.shape)
    other = None if shortcut is None else arrange(shortcut, NHWC).reshape(-1, channels)
    batch_norm.forward(
        x.reshape(-1, channels), mean, scale, shift, y.reshape(-1, channels),
        shortcut=other, relu=relu,
    )  # fmt: skip
    cache = BatchNorm2dKernelCache(
        x, weight, bias is not None, shift, mean, var, inverse_std, scale, given, relu,
        y if relu and shortcut is not None else None,
    )  # fmt: skip
    return as_nchw(y, NHWC), cache


def _backward(
    cache: BatchNorm2dKernelCache, dy: np.ndarray, needs: tuple[bool, bool, bool]
) -> tuple[Any, Any, Any, np.ndarray]:
    x, channels = cache.x, cache.x.shape[3]
    dy = arrange(dy, NHWC)
    dx, dweight, dbias = empty(x.shape), empty((channels,)), empty((channels,))
    dshortcut = dy if cache.y is None else empty(x.shape)

    def rows(a: np.ndarray) -> np.ndarray:
        return a.reshape(-1, channels)

    batch_norm.gradients(
        rows(dy), rows(x), cache.mean, cache.inverse_std, cache.scale, cache.bias, rows(dx),
        dweight, dbias, relu=cache.relu, constants=cache.statistics_given,
        y=None if cache.y is None else rows(cache.y), dshortcut=None if cache.y is None else rows(dshortcut),
    )  # fmt: skip
    return (
        as_nchw(dx, NHWC) if needs[0] else None,
        dweight if needs[1] and cache.weight is not None else None,
        dbias if needs[2] and cache.has_bias else None,
        dshortcut,
    )

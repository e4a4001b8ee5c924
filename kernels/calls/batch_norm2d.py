"""Batch normalisation, alone or with the addition and the ReLU after it: see cpu/batch_norm.py."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels.cpu import batch_norm
from minicnn.kernels.cpu.layout import NHWC, as_nchw, as_rows
from minicnn.kernels.memory import empty


class BatchNorm2dKernelCache(NamedTuple):
    """What the kernels' backward needs. x and y are rows of pixels, see layout.as_rows."""

    x: np.ndarray
    shape: tuple[int, ...]  # (N, C, H, W)
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

    def backward(self, dy: np.ndarray, needs: tuple[bool, bool, bool]) -> tuple[Any, Any, Any]:
        """dx, dweight, dbias; of the fused forms too, where dx is that of the normalised input."""
        return _backward(self, dy, needs)[:3]

    def backward_onto(
        self, dy: np.ndarray, needs: tuple[bool, bool, bool], onto: np.ndarray
    ) -> tuple[Any, Any, Any]:
        """The same with dx added to onto (N, C, H, W); `onto` itself where it is stored as rows of pixels."""
        return _backward(self, dy, needs, onto)[:3]

    def backward_shortcut(
        self, dy: np.ndarray, needs: tuple[bool, bool, bool] = (True, True, True)
    ) -> tuple[Any, Any, Any, np.ndarray]:
        """dx, dweight, dbias and the gradient of the shortcut, (N, C, H, W) and the caller's own."""
        return _backward(self, dy, needs)


def forward(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, mean: np.ndarray | None,
    var: np.ndarray | None, eps: float, relu: bool = False, shortcut: np.ndarray | None = None,
) -> tuple[np.ndarray, BatchNorm2dKernelCache]:  # fmt: skip
    shape, channels, rows = x.shape, x.shape[1], as_rows(x)
    given = mean is not None and var is not None
    if mean is None or var is None:
        mean, var = np.empty(channels, np.float32), np.empty(channels, np.float32)
        batch_norm.batch_statistics(rows, mean, var)
    else:
        mean, var = mean.copy(), var.copy()  # running statistics may have moved on before backward
    shift = np.zeros(channels, np.float32) if bias is None else np.ascontiguousarray(bias)
    inverse_std, scale = np.empty(channels, np.float32), np.empty(channels, np.float32)
    y = empty((len(rows), channels))
    batch_norm.forward(
        rows, mean, var, eps, None if weight is None else np.ascontiguousarray(weight), shift, inverse_std, scale, y,
        shortcut=None if shortcut is None else as_rows(shortcut), relu=relu,
    )  # fmt: skip
    cache = BatchNorm2dKernelCache(
        rows, shape, weight, bias is not None, shift, mean, var, inverse_std, scale, given, relu,
        y if relu and shortcut is not None else None,
    )  # fmt: skip
    return _images(y, shape), cache


def _backward(
    cache: BatchNorm2dKernelCache,
    dy: np.ndarray,
    needs: tuple[bool, bool, bool],
    onto: np.ndarray | None = None,
) -> tuple[Any, Any, Any, np.ndarray]:
    rows, channels = as_rows(dy), cache.shape[1]
    dweight, dbias = np.empty(channels, np.float32), np.empty(channels, np.float32)
    dx = empty((len(rows), channels)) if onto is None else as_rows(onto)
    dshortcut = empty((len(rows), channels)) if cache.added_shortcut else None
    batch_norm.gradients(
        rows, cache.x, cache.mean, cache.inverse_std, cache.scale, cache.bias, dx, dweight, dbias,
        relu=cache.relu, constants=cache.statistics_given, y=cache.y, dshortcut=dshortcut,
        accumulate=onto is not None,
    )  # fmt: skip
    if onto is None or not np.may_share_memory(dx, onto):  # else dx lies in onto's memory
        onto = _images(dx, cache.shape)
    return (
        onto if needs[0] else None,
        dweight if needs[1] and cache.weight is not None else None,
        dbias if needs[2] and cache.has_bias else None,
        dy if dshortcut is None else _images(dshortcut, cache.shape),
    )


def _images(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Contiguous rows of pixels as (N, C, H, W)."""
    n, c, h, w = shape
    return as_nchw(rows.reshape(n, h, w, c), NHWC)

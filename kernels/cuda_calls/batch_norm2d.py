"""Batch normalisation, alone or with the addition and the ReLU after it: see cuda/batch_norm.cu."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from minicnn.kernels.cuda_calls.geometry import parts_for
from minicnn.kernels.cuda_calls.launch import contiguous, empty, launch
from minicnn.kernels.cuda_calls.sums import sum_parts

FILE = "batch_norm.cu"
Needs = tuple[bool, bool, bool]


class BatchNorm2dKernelCache(NamedTuple):
    """What the kernels' backward needs."""

    x: Any  # (N, C, H, W)
    weight: Any | None
    has_bias: bool
    mean: Any  # (C,): of the batch, or as given
    var: Any  # (C,): biased, of the batch, or as given
    inverse_std: Any  # (C,)
    statistics_given: bool
    y: Any | None  # kept where a ReLU was applied to it
    added_shortcut: bool  # then backward_shortcut is to be called

    @property
    def shape(self) -> tuple[int, ...]:
        return self.x.shape

    def backward(self, dy: Any, needs: Needs) -> tuple[Any, Any, Any]:
        """dx, dweight, dbias; of the fused forms too, where dx is that of the normalised input."""
        return _backward(self, contiguous(dy), needs, None)

    def backward_shortcut(self, dy: Any, needs: Needs = (True, True, True)) -> tuple[Any, Any, Any, Any]:
        """dx, dweight, dbias and the gradient of the shortcut."""
        dshortcut = empty(self.x.shape, like=self.x)
        return *_backward(self, contiguous(dy), (True, *needs[1:]), dshortcut), dshortcut


def forward(
    x: Any, weight: Any | None, bias: Any | None, mean: Any | None, var: Any | None, eps: float,
    relu: bool = False, shortcut: Any | None = None,
) -> tuple[Any, BatchNorm2dKernelCache]:  # fmt: skip
    x, weight, bias, shortcut = (contiguous(array) for array in (x, weight, bias, shortcut))
    sizes = _sizes(x)
    channels = x.shape[1]
    given = mean is not None and var is not None
    inverse_std = empty((channels,), like=x)
    if given:
        mean, var = mean.copy(), var.copy()  # running statistics may have moved on before backward
        launch(FILE, "batch_norm_inverse_std", channels, (var, inverse_std, channels, eps))
    else:
        mean, var = empty((channels,), like=x), empty((channels,), like=x)
        count = parts_for(x.size // channels, channels)
        parts = empty((3, count, channels), like=x)
        launch(FILE, "batch_norm_statistics", (count, channels), (x, parts, *sizes))
        args = (parts, mean, var, inverse_std, count, channels, eps)
        launch(FILE, "batch_norm_combine", channels, args)
    y = empty(x.shape, like=x)
    args = (x, mean, inverse_std, weight, bias, shortcut, y, *sizes, relu)
    launch(FILE, "batch_norm_forward", x.size, args)
    cache = BatchNorm2dKernelCache(
        x, weight, bias is not None, mean, var, inverse_std, given, y if relu else None, shortcut is not None
    )
    return y, cache


def _backward(
    cache: BatchNorm2dKernelCache, dy: Any, needs: Needs, dshortcut: Any | None
) -> tuple[Any, Any, Any]:
    x, weight, has_bias, mean, _, inverse_std, constants, y, _ = cache
    channels, sizes = x.shape[1], _sizes(x)
    count = parts_for(x.size // channels, channels)
    parts = empty((count, 2, channels), like=x)
    launch(FILE, "batch_norm_gradient_sums", (count, channels), (dy, x, y, mean, inverse_std, parts, *sizes))
    sums = sum_parts(parts, (2, channels))
    dx = None
    if needs[0]:
        dx = empty(x.shape, like=x)
        args = (dy, x, y, mean, inverse_std, weight, sums, dx, dshortcut, *sizes, constants)
        launch(FILE, "batch_norm_backward", x.size, args)
    # Copies: two halves of one array would be results that share memory.
    return (
        dx,
        sums[1].copy() if needs[1] and weight is not None else None,
        sums[0].copy() if needs[2] and has_bias else None,
    )


def _sizes(x: Any) -> tuple[int, int, int]:
    """N, C and pixels an image."""
    return x.shape[0], x.shape[1], math.prod(x.shape[2:])

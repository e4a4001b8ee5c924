"""Convolution by the direct kernels with the batch innermost: see cpu/conv_chwn.py."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels.calls import tiles
from minicnn.kernels.cpu import conv_chwn
from minicnn.kernels.cpu.elementwise import where_positive
from minicnn.kernels.cpu.lanes import LANES
from minicnn.kernels.cpu.layout import CHWN, arrange, as_nchw
from minicnn.kernels.cpu.threads import num_threads_available
from minicnn.kernels.memory import empty, zeros

L1_FLOATS = 6000  # 24 of 32 KB: what one block of the weight's gradient reads


class DirectConv2dCache(NamedTuple):
    """What the kernels' backward needs. Arrays are stored (C, H, W, N), N at least a vector wide."""

    x: np.ndarray
    weight: np.ndarray  # (O, C, R, S)
    has_bias: bool
    window: Any  # functional.windows.Window
    batch: int
    y: np.ndarray | None  # kept where a ReLU was applied to it

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.batch, self.weight.shape[0], *self.window.output)

    def backward(self, dy: np.ndarray, needs: tuple[bool, bool, bool]) -> tuple[Any, Any, Any]:
        return _backward(self, dy, needs)


def forward(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, window: Any, relu: bool = False
) -> tuple[np.ndarray, DirectConv2dCache]:
    batch, out_channels = x.shape[0], weight.shape[0]
    x = _with_full_vectors(x)
    weight = np.ascontiguousarray(weight)
    y = empty((out_channels, *window.output, x.shape[3]))
    b = zeros((out_channels,)) if bias is None else np.ascontiguousarray(bias)
    tile = tiles.outer(out_channels, x.shape[3])
    conv_chwn.forward(x, weight, b, y, window.stride, window.dilation, window.before, relu, tile)
    cache = DirectConv2dCache(x, weight, bias is not None, window, batch, y if relu else None)
    return as_nchw(y, CHWN)[:batch], cache


def _backward(
    cache: DirectConv2dCache, dy: np.ndarray, needs: tuple[bool, bool, bool]
) -> tuple[Any, Any, Any]:
    x, weight, has_bias, window, batch, y = cache
    dy = _with_full_vectors(dy)
    if y is not None:
        masked = empty(dy.shape)
        where_positive(dy.reshape(-1), y.reshape(-1), masked.reshape(-1))
        dy = masked
    dx = dweight = dbias = None
    geometry = window.stride, window.dilation, window.before
    if needs[2] and has_bias:
        dbias = empty((weight.shape[0],))
        conv_chwn.row_sums(dy.reshape(len(dy), -1), dbias)
    if needs[1]:
        dweight = empty(weight.shape)
        if weight.shape[1] <= 2 and weight.shape[3] <= 5 and dy.shape[3] % LANES == 0:
            tile, top = tiles.taps(weight.shape[0], weight.shape[3]), window.before[0]
            conv_chwn.dweight_few(_pad_columns(x, window), dy, dweight, *geometry[:2], top, tile)
        else:
            tile = tiles.inner(*weight.shape[:2])
            block = max(1, L1_FLOATS // ((tile.rows + tile.cols) * dy.shape[3]))
            sums = empty((num_threads_available(), weight.shape[3], tile.rows, tile.width))
            conv_chwn.dweight(x, dy, dweight, sums, *geometry, block, tile)
    if needs[0]:
        out = empty(x.shape)
        conv_chwn.dx(dy, weight, out, *geometry, tiles.outer(weight.shape[1], x.shape[3]))
        dx = as_nchw(out, CHWN)[:batch]
    return dx, dweight, dbias


def _pad_columns(x: np.ndarray, window: Any) -> np.ndarray:
    """x (C, H, W, N) with the columns that padding adds."""
    left, width = window.before[1], x.shape[2]
    if window.padded[1] == width:
        return x
    padded = empty((*x.shape[:2], window.padded[1], x.shape[3]))
    padded[:, :, :left], padded[:, :, left + width :] = 0, 0
    padded[:, :, left : left + width] = x
    return padded


def _with_full_vectors(x: np.ndarray) -> np.ndarray:
    """x stored (C, H, W, N), with zero images added to a batch that does not fill one vector."""
    if len(x) >= LANES:
        return arrange(x, CHWN)
    stored = zeros((*x.shape[1:], LANES))
    stored[..., : len(x)] = x.transpose(CHWN)
    return stored

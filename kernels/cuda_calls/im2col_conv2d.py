"""Convolution by im2col and cuBLAS, the readable way: see cuda/im2col.cu and cuda/col2im.cu.

    columns = im2col(x)                         (C/G R S, n P Q)
    y  = weight @ columns + bias                dweight = dy @ columnsᵀ
    dx = col2im(weightᵀ @ dy)

The batch is taken in pieces of n images, so that a piece's columns stay in the GPU's L2 cache between
the kernel that writes them and the product that reads them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from minicnn.backend import get_xp
from minicnn.kernels.cuda_calls.activation import relu_backward
from minicnn.kernels.cuda_calls.geometry import window_arguments
from minicnn.kernels.cuda_calls.launch import contiguous, empty, launch
from minicnn.kernels.cuda_calls.sums import channel_sums

COLUMNS_BYTES = 20 * 2**20  # of the 40 to 50 MB of L2 that A100 and H100 have


class Im2colConv2dCache(NamedTuple):
    x: Any  # (N, C, H, W)
    weight: Any  # (O, C/G, R, S)
    has_bias: bool
    window: Any
    y: Any | None  # kept where a ReLU was applied to it

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.x.shape[0], self.weight.shape[0], *self.window.output)

    def backward(self, dy: Any, needs: tuple[bool, bool, bool]) -> tuple[Any, Any, Any]:
        dy = contiguous(dy)
        if self.y is not None:
            dy = relu_backward(dy, self.y)
        dx, dweight = _backward(self, dy, needs)
        return dx, dweight, channel_sums(dy) if needs[2] and self.has_bias else None


def forward(
    x: Any, weight: Any, bias: Any | None, window: Any, relu: bool = False
) -> tuple[Any, Im2colConv2dCache]:
    x, weight, bias = contiguous(x), contiguous(weight), contiguous(bias)
    out_channels, image = weight.shape[0], math.prod(window.output)
    matrices = _matrices(weight, x)
    y = empty((x.shape[0], out_channels, *window.output), like=x)
    for start, stop in _pieces(x, window):
        columns = _columns(x[start:stop], window, len(matrices))
        product = empty((out_channels, stop - start, image), like=x)
        for rows, matrix, part in zip(_rows(product, len(matrices)), matrices, columns):
            rows[...] = matrix @ part
        args = (product, bias, y[start:stop], stop - start, out_channels, image, relu)
        launch("activation.cu", "channels_second", product.size, args)
    return y, Im2colConv2dCache(x, weight, bias is not None, window, y if relu else None)


def _backward(cache: Im2colConv2dCache, dy: Any, needs: tuple[bool, bool, bool]) -> tuple[Any, Any]:
    x, weight, _, window, _ = cache
    matrices, image = _matrices(weight, x), math.prod(window.output)
    xp = get_xp(x)
    dx = empty(x.shape, like=x) if needs[0] else None
    dmatrices = [xp.zeros_like(matrix) for matrix in matrices] if needs[1] else None
    for start, stop in _pieces(x, window):
        count = stop - start
        rows = empty((weight.shape[0], count, image), like=x)
        args = (dy[start:stop], rows, count, weight.shape[0], image)
        launch("activation.cu", "channels_first", rows.size, args)
        dys = _rows(rows, len(matrices))
        if dmatrices is not None:
            for total, part, columns in zip(dmatrices, dys, _columns(x[start:stop], window, len(matrices))):
                total += part @ columns.T
        if dx is not None:
            taps = matrices[0].shape[1]
            dcolumns = empty((len(matrices), taps, count * image), like=x)
            for out, matrix, part in zip(dcolumns, matrices, dys):
                out[...] = matrix.T @ part
            args = (dcolumns, dx[start:stop], count, x.shape[1], *window_arguments(window))
            launch("col2im.cu", "col2im", dx[start:stop].size, args)
    dweight = None if dmatrices is None else xp.concatenate(dmatrices).reshape(weight.shape)
    return dx, dweight


def _columns(x: Any, window: Any, groups: int) -> Any:
    """(G, C/G R S, n P Q)."""
    taps = x.shape[1] * math.prod(window.kernel)
    columns = empty((taps, x.shape[0] * math.prod(window.output)), like=x)
    args = (x, columns, x.shape[0], x.shape[1], *window_arguments(window))
    launch("im2col.cu", "im2col", columns.size, args)
    return columns.reshape(groups, taps // groups, -1)


def _matrices(weight: Any, x: Any) -> list[Any]:
    """The weight as one (O/G, C/G R S) matrix a group: two-dimensional products go to cuBLAS as they are."""
    groups = x.shape[1] // weight.shape[1]
    return list(weight.reshape(groups, weight.shape[0] // groups, -1))


def _rows(array: Any, groups: int) -> Any:
    """(O, n, image) as (G, O/G, n image)."""
    return array.reshape(groups, array.shape[0] // groups, -1)


def _pieces(x: Any, window: Any) -> Iterator[tuple[int, int]]:
    """(start, stop) of the images whose columns fit the cache."""
    bytes_an_image = x.shape[1] * math.prod(window.kernel) * math.prod(window.output) * x.dtype.itemsize
    step = max(1, COLUMNS_BYTES // bytes_an_image)
    return ((start, min(start + step, len(x))) for start in range(0, len(x), step))

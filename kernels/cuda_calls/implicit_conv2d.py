"""Convolution as a matrix product whose columns are never stored: see cuda/conv_implicit_gemm.cu."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from minicnn.kernels.cuda_calls.activation import relu_backward
from minicnn.kernels.cuda_calls.launch import contiguous, empty, launch
from minicnn.kernels.cuda_calls.sums import channel_sums, sum_parts

FILE = "conv_implicit_gemm.cu"
# What fills a large GPU twice: 132 multiprocessors, two blocks on each. The sum over pixels in the
# weight's gradient is split until there are as many blocks, but no part is shorter than this.
BLOCKS_WANTED = 264
SHORTEST_SUM = 512


class Tile(NamedTuple):
    """The block of results that a thread block computes, and the macros that compile the kernels for it."""

    rows: int
    cols: int
    threads: int
    options: tuple[str, ...]


def _tile(rows: int, cols: int, per_row: int, per_col: int) -> Tile:
    sizes = {"BM": rows, "BN": cols, "BK": 8, "TM": per_row, "TN": per_col}
    options = tuple(f"-D{name}={size}" for name, size in sizes.items())
    return Tile(rows, cols, rows // per_row * (cols // per_col), options)


# The more results a block has, the more often a loaded value is used; but rows that a small layer does
# not have are computed for nothing, and blocks that it cannot fill leave multiprocessors idle.
FLAT, MIDDLE, LARGE = _tile(16, 128, 4, 4), _tile(64, 64, 4, 4), _tile(128, 128, 8, 8)
TF32 = Tile(64, 128, 128, ("-DTF32", "-DBM=64", "-DBN=128", "-DBK=16"))
TF32_LARGE = Tile(128, 128, 256, ("-DTF32", "-DBM=128", "-DBN=128", "-DBK=16"))


def tile_for(rows: int, cols: int, tf32: bool, double: bool) -> Tile:
    """The tile for a product of rows x cols results."""

    def fills(tile: Tile) -> bool:
        return rows > tile.rows // 2 and -(-rows // tile.rows) * -(-cols // tile.cols) >= BLOCKS_WANTED // 2

    if tf32:
        return TF32_LARGE if fills(TF32_LARGE) else TF32
    if rows <= 2 * FLAT.rows:
        return FLAT
    return LARGE if fills(LARGE) and not double else MIDDLE


class ImplicitConv2dCache(NamedTuple):
    """What the kernels' backward needs."""

    x: Any  # (N, C, H, W)
    weight: Any  # (O, C/G, R, S)
    has_bias: bool
    window: Any
    tf32: bool
    y: Any | None  # kept where a ReLU was applied to it

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.x.shape[0], self.weight.shape[0], *self.window.output)

    def backward(self, dy: Any, needs: tuple[bool, bool, bool]) -> tuple[Any, Any, Any]:
        dy = contiguous(dy)
        if self.y is not None:
            dy = relu_backward(dy, self.y)
        dbias = channel_sums(dy) if needs[2] and self.has_bias else None
        dweight = _grad_weight(self, dy) if needs[1] else None
        return _grad_input(self, dy) if needs[0] else None, dweight, dbias


def forward(
    x: Any, weight: Any, bias: Any | None, window: Any, relu: bool = False, tf32: bool = False
) -> tuple[Any, ImplicitConv2dCache]:
    x, weight, bias = contiguous(x), contiguous(weight), contiguous(bias)
    y = empty((x.shape[0], weight.shape[0], *window.output), like=x)
    groups = x.shape[1] // weight.shape[1]
    rows, pixels = weight.shape[0] // groups, x.shape[0] * math.prod(window.output)
    tile = tile_for(rows, pixels, tf32, x.dtype.itemsize == 8)
    args = (x, weight, bias, y, relu, *_geometry(x, weight, window))
    _launch("conv_forward", tile, rows, pixels, groups, args)
    return y, ImplicitConv2dCache(x, weight, bias is not None, window, tf32, y if relu else None)


def _grad_input(cache: ImplicitConv2dCache, dy: Any) -> Any:
    x, weight, _, window, tf32, _ = cache
    dx = empty(x.shape, like=x)
    rows, pixels = weight.shape[1], x.shape[0] * math.prod(window.input)
    tile = tile_for(rows, pixels, tf32, x.dtype.itemsize == 8)
    groups = x.shape[1] // rows
    args = (dy, weight, dx, *_geometry(x, weight, window))
    _launch("conv_grad_input", tile, rows, pixels, groups, args)
    return dx


def _grad_weight(cache: ImplicitConv2dCache, dy: Any) -> Any:
    x, weight, _, window, tf32, _ = cache
    groups = x.shape[1] // weight.shape[1]
    rows, taps = weight.shape[0] // groups, math.prod(weight.shape[1:])
    pixels = x.shape[0] * math.prod(window.output)
    tile = tile_for(rows, taps, tf32, x.dtype.itemsize == 8)
    tiles = groups * -(-rows // tile.rows) * -(-taps // tile.cols)
    per_part = max(SHORTEST_SUM, -(-pixels * tiles // BLOCKS_WANTED))
    count = max(1, -(-pixels // per_part))
    parts = empty((count, *weight.shape), like=x)
    args = (x, dy, parts, per_part, *_geometry(x, weight, window))
    _launch("conv_grad_weight", tile, rows, taps, groups * count, args)
    return sum_parts(parts, weight.shape)


def _launch(name: str, tile: Tile, rows: int, cols: int, layers: int, args: tuple) -> None:
    grid = (-(-cols // tile.cols), -(-rows // tile.rows), layers)
    launch(FILE, name, grid, args, threads=tile.threads, options=tile.options)


def _geometry(x: Any, weight: Any, window: Any) -> tuple[int, ...]:
    """GEOMETRY_PARAMETERS of the .cu file: channels are those of one group."""
    groups = x.shape[1] // weight.shape[1]
    (height, width), output, kernel = window.input, window.output, window.kernel
    sizes = (x.shape[0], weight.shape[1], height, width, weight.shape[0] // groups, *output, *kernel)
    return (*sizes, groups, *window.stride, *window.dilation, *window.before)

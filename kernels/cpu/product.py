"""Matrix products for wide layers, blocked for the caches: 1x1 convolutions and large linear layers.

    y[p, m] = Σₖ a[p, k] w[k, m]          rows p: pixels, or the images of a batch

The gradient of w is in product_gradient. The register tile is `rows` of p by `width` of m. What it reads comes from:

    panels   w cut into columns one tile wide, [block of m][k][width]. A panel is read from top to
             bottom once for every tile of rows, so that it should be contiguous: of a matrix of
             512 columns a panel's rows would lie 2 kB apart, fill a fraction of the cache's sets and
             be thrown out before their next use.
    chunks   of a panel stay in L2 while the rows of a block pass; sums that are not finished wait in a buffer
    blocks   of rows of a, few enough to stay in a core's own cache (L2) until all panels have met them

              panels (in L2, or streaming through)            blocks of rows
               ┌────┬────┬────┬────┐                     a ┌──────────┐  y ┌──┬──┬──┬──┐
             k │ 0  │ 1  │ 2  │ 3  │                       │ block 0  │    │  │  │  │  │
               └────┴────┴────┴────┘                       ├──────────┤ @  ├──┼──┼──┼──┤
                 64 floats wide each                       │ block 1  │    │  │  │  │  │
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.scratch import carve
from minicnn.kernels.cpu.simd import (
    Tile,
    W,
    at_least,
    least,
    plus,
    rank1,
    row,
    rows,
    store,
    width,
    zeros,
)
from minicnn.kernels.cpu.squares import SQUARE, turn
from minicnn.kernels.cpu.threads import fork, get_num_threads

# ---- panels -----------------------------------------------------------------------------------------


@helper
def panels_part(w, panels, turned, square, part, parts):
    """panels[block, k, j] = w[k, block*width + j], or of w transposed; zeros beyond the last column."""
    blocks, depth, block = panels.shape
    columns = w.shape[0] if turned else w.shape[1]
    groups = (depth + W - 1) // W
    for task in range(blocks * groups * part // parts, blocks * groups * (part + 1) // parts):
        mb, k0 = task // groups, task % groups * W
        count, k1 = min(block, columns - mb * block), min(depth, k0 + W)
        if turned:
            k = max(0, k1 - W)  # the last squares are moved back and overlap others
            turn(w[mb * block : mb * block + count, k:k1], panels[mb, k:k1], square)
        else:
            for k in range(k0, k1):
                line, target = w[k, mb * block : mb * block + count], panels[mb, k]
                for j in range(count):
                    target[j] = line[j]
        for k in range(k0, k1):
            for j in range(count, block):
                panels[mb, k, j] = np.float32(0)


# ---- y = a @ w --------------------------------------------------------------------------------------


@helper
def put(acc, y, p, m, low, accumulate, spare):
    """y[p : p + rows, m : m + width] = max(acc, low), or += acc. A tile that hangs over goes through spare."""
    last = y.shape[1]
    acc = at_least(acc, low)
    if m + width(acc) <= last:
        if accumulate:
            acc = plus(acc, y, (p, m), (1, 0))
        store(acc, y, (p, m), (1, 0))
    else:
        store(acc, spare, (0, 0), (1, 0))
        for i in range(rows(acc)):
            for j in range(last - m):
                before = y[p + i, m + j] if accumulate else np.float32(0)
                y[p + i, m + j] = before + spare[i, j]


@helper
def step(tile, a, panels, bias, p, mb, k0, k1, y, low, accumulate, sums):
    """One tile's sums over k0 to k1, with the bias, or what is in sums; finished into y, or left in sums.

    Each chunk is summed by itself: rounding errors grow with the length of a sum.
    """
    depth = a.shape[1]
    whole = k0 + (k1 - k0) // 4 * 4 if rows(tile) <= 7 else k0  # four steps at a time, unless they spill
    acc = row(tile, bias, (mb * width(tile),)) if k0 == 0 else zeros(tile)
    for k in range(k0, whole, 4):
        for i in range(4):
            acc = rank1(acc, a, (p, k + i), (1, 0), panels, (mb, k + i, 0))
    for k in range(whole, k1):
        acc = rank1(acc, a, (p, k), (1, 0), panels, (mb, k, 0))
    if k0 > 0:
        acc = plus(acc, sums, (0, 0), (1, 0))
    if k1 == depth:
        put(acc, y, p, mb * width(tile), low, accumulate, sums)
    else:
        store(acc, sums, (0, 0), (1, 0))


@helper
def product_part(a, panels, bias, y, low, accumulate, block, chunk, by_block, sums, tile, one, part, parts):
    """y = max(a @ w + bias, low), or y += a @ w, `block` rows of a and `chunk` steps of k at a time.

    by_block: each thread takes blocks of rows and all panels. Otherwise each thread takes panels and all
    blocks, which reads large weights only once.
    """
    (count, depth), panel_count, accs = a.shape, panels.shape[0], sums[part]
    blocks = (count + block - 1) // block
    for task in range(blocks * panel_count * part // parts, blocks * panel_count * (part + 1) // parts):
        if by_block:
            start, mb = task // panel_count * block, task % panel_count
        else:
            start, mb = task % blocks * block, task // blocks
        end = min(count, start + block)
        for k0 in range(0, depth, chunk):
            k1 = min(depth, k0 + chunk)
            p = start
            while p + rows(tile) <= end:
                step(tile, a, panels, bias, p, mb, k0, k1, y, low, accumulate, accs[p - start :])
                p += rows(tile)
            while p < end:  # the last few rows of all
                step(one, a, panels, bias, p, mb, k0, k1, y, low, accumulate, accs[p - start :])
                p += 1


@kernel
def multiply(a, w, panels, turn, bias, y, relu, accumulate, block, chunk, by_block, sums, tile, one, square):
    fork(panels_part, (w, panels, turn, square))
    low = least(relu)
    fork(product_part, (a, panels, bias, y, low, accumulate, block, chunk, by_block, sums, tile, one))


# ---- the plan, and what other modules call ------------------------------------------------------------

# Register tiles, rows by columns in vectors: see winograd.
SHAPES = ((6, 4), (10, 2), (12, 1)) if W == 16 else ((6, 2), (12, 1))
COST = {
    4: 1.0,
    2: 1.15,
    1: 1.9,
}  # of a vector in a tile with this many columns: narrow ones load more than they multiply
PANELS_BYTES = 1.2e6  # panels that are read again for every block of rows should fit L2
CHUNK_BYTES = 1 << 17  # of a panel: stays in L2 while all rows of a block pass
BLOCK_BYTES = 300e3  # rows of `a` that stay in L2


@lru_cache(maxsize=1024)
def best_tile(columns: int, shapes: tuple[tuple[int, int], ...]) -> tuple[Tile, Tile]:
    """The tile for this many columns, and its one-row version: a wide one may waste a few vectors."""
    vectors = -(-columns // W)
    height, cols = min(shapes, key=lambda shape: -(-vectors // shape[1]) * shape[1] * COST[shape[1]])
    return Tile(height, cols), Tile(1, cols)


def product(
    a: np.ndarray, w: np.ndarray, bias: np.ndarray | None, y: np.ndarray, *,
    turn: bool = False, relu: bool = False, accumulate: bool = False,
) -> None:  # fmt: skip
    """y = a @ w + bias, then ReLU if asked, or y += a @ w. turn: with w transposed. All C-contiguous."""
    tile, one = best_tile(y.shape[1], SHAPES)
    (count, depth), blocks, threads = a.shape, -(-y.shape[1] // tile.width), get_num_threads()
    block = max(1, int(BLOCK_BYTES / (4 * depth * tile.rows))) * tile.rows
    by_block = 4 * depth * y.shape[1] < PANELS_BYTES and count >= 2 * block * threads
    pieces = -(-4 * depth * tile.width // CHUNK_BYTES)
    panels, shifts, sums = carve(
        (blocks, depth, tile.width), (blocks * tile.width,), (threads, block, tile.width)
    )
    shifts[:] = 0
    if bias is not None:
        shifts[: len(bias)] = bias
    chunk = -(-depth // pieces)
    multiply(a, w, panels, turn, shifts, y, relu, accumulate, block, chunk, by_block, sums, tile, one, SQUARE)

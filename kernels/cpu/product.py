"""Matrix products for wide layers, blocked for the caches: 1x1 convolutions and large linear layers.

    product            y[p, m] = Σₖ a[p, k] w[k, m]          rows p: pixels, or the images of a batch
    product_gradient   dw[k, m] = Σₚ a[p, k] dy[p, m]

The register tile is `rows` of p (or k) by `width` of m. What it reads comes from:

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

import numpy as np

from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.scratch import carve
from minicnn.kernels.cpu.simd import (
    Tile,
    W,
    at_least,
    load,
    plus,
    rank1,
    row,
    rows,
    store,
    transposed,
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
def multiply(a, w, panels, turn, bias, y, low, accumulate, block, chunk, by_block, sums, tile, one, square):
    fork(panels_part, (w, panels, turn, square))
    fork(product_part, (a, panels, bias, y, low, accumulate, block, chunk, by_block, sums, tile, one))


# ---- dw = aᵀ @ dy -----------------------------------------------------------------------------------

ROWS_IN_L1 = 96  # rows of dy, one panel wide (24 kB), that stay in L1 while all k of their block pass


@helper
def pack_rows(dy, start, end, packs):
    """packs[block, p - start, j] = dy[p, block*width + j]: each row is read once, from left to right."""
    columns, block = dy.shape[1], packs.shape[2]
    for p in range(start, end):
        for mb in range(packs.shape[0]):
            target, here = packs[mb, p - start], min(block, columns - mb * block)
            source = dy[p, mb * block : mb * block + here]
            for j in range(here):
                target[j] = source[j]
            for j in range(here, block):
                target[j] = np.float32(0)


@helper
def add_tile(tile, a, pack, dw, start, end, k, m, fresh):
    """dw[k : k + rows, m : m + width] (+)= a[start:end, k : k + rows]ᵀ @ pack."""
    acc = zeros(tile)
    for p in range(start, end):
        acc = rank1(acc, a, (p, k), (0, 1), pack, (p - start, 0))
    if not fresh:
        acc = plus(acc, dw, (k, m), (1, 0))
    store(acc, dw, (k, m), (1, 0))


@helper
def add_rows(a, dy, dw, p0, p1, k0, k1, packs, tile, rest):
    """dw[k0:k1] = a[p0:p1, k0:k1]ᵀ @ dy[p0:p1]."""
    for start in range(p0, p1, ROWS_IN_L1):
        end = min(p1, start + ROWS_IN_L1)
        pack_rows(dy, start, end, packs)
        for mb in range(packs.shape[0]):
            k = k0
            while k + rows(tile) <= k1:
                add_tile(tile, a, packs[mb], dw, start, end, k, mb * width(tile), start == p0)
                k += rows(tile)
            while k < k1:
                add_tile(rest, a, packs[mb], dw, start, end, k, mb * width(tile), start == p0)
                k += rows(rest)


@helper
def gradient_part(a, dy, sums, own, packs, tile, rest, part, parts):
    """The share of one thread: rows of a and dy into sums of its own, or a range of k for all rows."""
    count, depth = a.shape
    if own:
        start, end = count * part // parts, count * (part + 1) // parts
        add_rows(a, dy, sums[part], start, end, 0, depth, packs[part], tile, rest)
    else:
        k0, k1 = share(depth, rows(tile), part, parts), share(depth, rows(tile), part + 1, parts)
        add_rows(a, dy, sums[0], 0, count, k0, k1, packs[part], tile, rest)


@helper
def share(depth, step, part, parts):
    """Where the share of a part begins, in whole tiles."""
    tiles = (depth + step - 1) // step
    return min(depth, tiles * part // parts * step)


@helper
def collect_part(sums, out, turn, square, part, parts):
    """out = Σ over the first axis of sums, or its transpose, in squares that are turned in registers: by single
    numbers a column would be written of which each is 4 kB from the next, more than a set of the cache holds."""
    depth, columns = (out.shape[1], out.shape[0]) if turn else out.shape
    across = (columns + W - 1) // W
    tasks = across * ((depth + W - 1) // W)
    for task in range(tasks * part // parts, tasks * (part + 1) // parts):
        k0, m0 = task // across * W, task % across * W
        if columns >= W and depth >= W:
            k, m = min(k0, depth - W), min(m0, columns - W)
            total = load(square, sums, (0, k, m), (0, 1, 0))
            for owner in range(1, sums.shape[0]):
                total = plus(total, sums, (owner, k, m), (0, 1, 0))
            if turn:
                store(transposed(total), out, (m, k), (1, 0))
            else:
                store(total, out, (k, m), (1, 0))
        else:
            for k in range(k0, min(depth, k0 + W)):
                for m in range(m0, min(columns, m0 + W)):
                    one = sums[0, k, m]
                    for owner in range(1, sums.shape[0]):
                        one += sums[owner, k, m]
                    if turn:
                        out[m, k] = one
                    else:
                        out[k, m] = one


@kernel
def multiply_gradient(a, dy, sums, out, turn, own, packs, tile, rest, square):
    fork(gradient_part, (a, dy, sums, own, packs, tile, rest))
    fork(collect_part, (sums, out, turn, square))


# ---- what other modules call ------------------------------------------------------------------------

# Rows of a register tile by its columns, in vectors: see winograd.
HEIGHTS = {4: 6, 2: 10, 1: 12} if W == 16 else {2: 6, 1: 12}
GRADIENT_HEIGHTS = {4: 6, 2: 8, 1: 16} if W == 16 else {2: 4, 1: 8}
PANELS_BYTES = 1.2e6  # panels that are read again for every block of rows should fit L2
CHUNK_BYTES = 1 << 17  # of a panel: stays in L2 while all rows of a block pass
BLOCK_BYTES = 300e3  # rows of `a` that stay in L2
OWN_BYTES = 600e3  # sums of a gradient of each thread's own


def widest(columns: int, heights: dict[int, int]) -> tuple[Tile, Tile]:
    """The tile for this many columns and its one-row version: the widest that wastes no vector."""
    vectors = -(-columns // W)
    cols = min(heights, key=lambda cols: (-(-vectors // cols) * cols, -cols))
    return Tile(heights[cols], cols), Tile(1, cols)


def product(
    a: np.ndarray, w: np.ndarray, bias: np.ndarray | None, y: np.ndarray, *,
    turn: bool = False, relu: bool = False, accumulate: bool = False,
) -> None:  # fmt: skip
    """y = a @ w + bias, then ReLU if asked, or y += a @ w. turn: with w transposed. All C-contiguous."""
    tile, one = widest(y.shape[1], HEIGHTS)
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
    low = np.float32(0 if relu else -np.inf)
    chunk = -(-depth // pieces)
    multiply(a, w, panels, turn, shifts, y, low, accumulate, block, chunk, by_block, sums, tile, one, SQUARE)


def product_gradient(a: np.ndarray, dy: np.ndarray, dw: np.ndarray) -> None:
    """dw = aᵀ @ dy. All C-contiguous."""
    turn = dy.shape[1] > a.shape[1]
    if turn:  # the narrower of the two is packed: the other may be too wide for its packed rows to stay in L2
        a, dy = dy, a
    (count, depth), threads = a.shape, get_num_threads()
    tile, rest = gradient_tiles(dy.shape[1], depth)
    blocks = -(-dy.shape[1] // tile.width)
    # Sums of each thread's own let it read only its share of a and dy; large ones cost more than that.
    own = threads > 1 and 4 * depth * blocks * tile.width < OWN_BYTES and count >= 2 * threads * ROWS_IN_L1
    sums, packs = carve(
        (threads if own else 1, depth, blocks * tile.width), (threads, blocks, ROWS_IN_L1, tile.width)
    )
    multiply_gradient(a, dy, sums, dw, turn, own, packs, tile, rest, SQUARE)


def gradient_tiles(columns: int, depth: int) -> tuple[Tile, Tile]:
    """The tile for a gradient of this many columns, and one for the rows that are left of `depth`."""
    tile, one = widest(columns, GRADIENT_HEIGHTS)
    return tile, Tile(2, tile.cols) if depth % tile.rows % 2 == 0 else one

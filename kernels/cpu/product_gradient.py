"""dw = aᵀ @ dy: the weight gradient of 1x1 convolutions.

    dw[k, m] = Σₚ a[p, k] dy[p, m]          rows p: pixels

The register tile is `rows` of k by `width` of m, and goes down ROWS rows of both. They are copied before:

    dy   in panels, a tile wide. One (24 kB) stays in L1 while all tiles of a block of a pass.
    a    in blocks of COLUMNS. A tile reads one line of cache in each row. In an array with rows of 2^n bytes
         those lie in one set of the cache and push each other out before the next tile needs their rest; the
         copy has rows of an odd number of lines.

       a   ┌ COLUMNS ┐                 dy  panel  panel
           ┌────┬────┬────┐               ┌──────┬──────┐
      ROWS │    │ ▒▒ │    │          ROWS │      │  ▒▒  │         dw[block, panel] += ▒▒ᵀ @ ▒▒
           ├────┼────┼────┤               ├──────┼──────┤
           │    │    │    │               │      │      │

ROWS rows are summed by themselves: rounding errors grow with the length of a sum.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.product import best_tile
from minicnn.kernels.cpu.scratch import carve
from minicnn.kernels.cpu.simd import Tile, W, load, plus, rank1, rows, store, transposed, width, zeros
from minicnn.kernels.cpu.squares import SQUARE
from minicnn.kernels.cpu.threads import fork, get_num_threads

ROWS = 96
COLUMNS = 240  # a multiple of all tiles' heights, and 15 lines of cache: an odd number


@helper
def copy_rows(a, start, end, k0, k1, block):
    """block[p - start, k - k0] = a[p, k]."""
    for p in range(start, end):
        target, source = block[p - start], a[p, k0:k1]
        for k in range(k1 - k0):
            target[k] = source[k]


@helper
def pack_rows(dy, start, end, packs):
    """packs[panel, p - start, j] = dy[p, panel*width + j]: each row is read once, from left to right."""
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
def add_tile(tile, block, pack, count, j, dw, k, m, fresh):
    """dw[k : k + rows, m : m + width] (+)= block[:count, j : j + rows]ᵀ @ pack[:count]."""
    acc = zeros(tile)
    for p in range(count):
        acc = rank1(acc, block, (p, j), (0, 1), pack, (p, 0))
    if not fresh:
        acc = plus(acc, dw, (k, m), (1, 0))
    store(acc, dw, (k, m), (1, 0))


@helper
def add_rows(a, dy, dw, p0, p1, k0, k1, block, packs, tile, rest):
    """dw[k0:k1] = a[p0:p1, k0:k1]ᵀ @ dy[p0:p1]."""
    for start in range(p0, p1, ROWS):
        end = min(p1, start + ROWS)
        pack_rows(dy, start, end, packs)
        for first in range(k0, k1, COLUMNS):
            last = min(k1, first + COLUMNS)
            copy_rows(a, start, end, first, last, block)
            for mb in range(packs.shape[0]):
                k, m = first, mb * width(tile)
                while k + rows(tile) <= last:
                    add_tile(tile, block, packs[mb], end - start, k - first, dw, k, m, start == p0)
                    k += rows(tile)
                while k < last:
                    add_tile(rest, block, packs[mb], end - start, k - first, dw, k, m, start == p0)
                    k += rows(rest)


@helper
def gradient_part(a, dy, sums, own, blocks, packs, tile, rest, part, parts):
    """The share of one thread: rows of a and dy into sums of its own, or a range of k for all rows."""
    (count, depth), block, pack = a.shape, blocks[part], packs[part]
    if own:
        start, end = count * part // parts, count * (part + 1) // parts
        add_rows(a, dy, sums[part], start, end, 0, depth, block, pack, tile, rest)
    else:
        k0, k1 = share(depth, rows(tile), part, parts), share(depth, rows(tile), part + 1, parts)
        add_rows(a, dy, sums[0], 0, count, k0, k1, block, pack, tile, rest)


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
def multiply_gradient(a, dy, sums, out, turn, own, blocks, packs, tile, rest, square):
    fork(gradient_part, (a, dy, sums, own, blocks, packs, tile, rest))
    fork(collect_part, (sums, out, turn, square))


# ---- the plan, and what other modules call ------------------------------------------------------------

SHAPES = ((6, 4), (8, 2), (16, 1)) if W == 16 else ((4, 2), (8, 1))
OWN_BYTES = 600e3  # sums of each thread's own


def product_gradient(a: np.ndarray, dy: np.ndarray, dw: np.ndarray) -> None:
    """dw = aᵀ @ dy. All C-contiguous."""
    turn = dy.shape[1] > a.shape[1]
    if turn:  # the narrower of the two is packed whole: the other may be too wide for that to stay in L2
        a, dy = dy, a
    (count, depth), threads = a.shape, get_num_threads()
    tile, rest = gradient_tiles(dy.shape[1], depth)
    panels = -(-dy.shape[1] // tile.width)
    # Sums of each thread's own let it read only its share of a and dy; large ones cost more than that.
    own = threads > 1 and 4 * depth * panels * tile.width < OWN_BYTES and count >= 2 * threads * ROWS
    sums, blocks, packs = carve(
        (threads if own else 1, depth, panels * tile.width),
        (threads, ROWS, COLUMNS),
        (threads, panels, ROWS, tile.width),
    )
    multiply_gradient(a, dy, sums, dw, turn, own, blocks, packs, tile, rest, SQUARE)


@lru_cache(maxsize=1024)
def gradient_tiles(columns: int, depth: int) -> tuple[Tile, Tile]:
    """The tile for a gradient of this many columns, and one for the rows that are left of `depth`."""
    tile, one = best_tile(columns, SHAPES)
    return tile, Tile(2, tile.cols) if depth % tile.rows % 2 == 0 else one

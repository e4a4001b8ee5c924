"""The fully connected layer with the batch innermost: x (D, N) -> y (M, N).

The same tile as in conv_chwn: `rows` features by 64 rows of the batch, and each weight is one
number that multiplies a run of the batch. For the weight gradient a run is one of features, of x (N, D).

A layer such as AlexNet's (9216 -> 4096, 150 MB) is a matter of memory: its weights are read and its
gradients written once, in runs of 2 kB and more. Tiles that go down a column of w instead, a few numbers from
every row, take four times as long.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.simd import added, at_least, column, plus, rank1, rows, store, width, zeros
from minicnn.kernels.cpu.threads import fork

ROWS, TILES = 128, 96  # of w in one block of the input gradient: 6 x 96 columns, 2.3 kB of each row
RUN = 256  # terms that are summed by themselves: rounding errors grow with the length of a sum
COLUMNS = 512  # of x in one block of the weight gradient


@helper
def tile_of_task(t, height, batch, tile):
    """(first row, first of the batch) of the t-th tile; the last ones are moved back onto the array."""
    across = (batch + width(tile) - 1) // width(tile)
    return min(t // across * rows(tile), height - rows(tile)), min(
        t % across * width(tile), batch - width(tile)
    )


@helper
def tiles_in(height, batch, tile):
    """How many tiles cover (height, batch)."""
    return ((height + rows(tile) - 1) // rows(tile)) * ((batch + width(tile) - 1) // width(tile))


@helper
def forward_part(x, w, b, y, rectify, tile, part, parts):
    """y[o,n] = b[o] + Σ_k w[o,k] x[k,n]"""
    O, N = y.shape
    tasks = tiles_in(O, N, tile)
    for t in range(tasks * part // parts, tasks * (part + 1) // parts):
        o, n = tile_of_task(t, O, N, tile)
        acc = column(tile, b, (o,), (1,))
        for k0 in range(0, x.shape[0], RUN):
            run = zeros(tile)
            for k in range(k0, min(x.shape[0], k0 + RUN)):
                run = rank1(run, w, (o, k), (1, 0), x, (k, n))
            acc = added(acc, run)
        if rectify:
            acc = at_least(acc, np.float32(0))
        store(acc, y, (o, n), (1, 0))


@helper
def dx_part(dy, w, dx, tile, part, parts):
    """dx[k,n] = Σ_o w[o,k] dy[o,n], a block of w at a time: ROWS of its rows by TILES tiles of their columns."""
    D, N = dx.shape
    O = dy.shape[0]
    tiles = D // rows(tile)
    last = tiles * (part + 1) // parts
    for first in range(tiles * part // parts, last, TILES):
        for o0 in range(0, O, ROWS):
            o1 = min(O, o0 + ROWS)
            for n0 in range(0, N, width(tile)):
                if n0 + width(tile) <= N:
                    for t in range(first, min(last, first + TILES)):
                        k = t * rows(tile)
                        acc = zeros(tile)
                        for o in range(o0, o1):
                            acc = rank1(acc, w, (o, k), (0, 1), dy, (o, n0))
                        if o0 > 0:
                            acc = plus(acc, dx, (k, n0), (1, 0))
                        store(acc, dx, (k, n0), (1, 0))
    # What is left over at the end, by tiles that are moved back over others: these take all of the sum at once.
    for t in range(tiles * part // parts, last):
        if N % width(tile):
            dx_tile(dy, w, dx, t * rows(tile), N - width(tile), tile)
    if part == parts - 1 and D % rows(tile):
        for n in range(0, N, width(tile)):
            dx_tile(dy, w, dx, D - rows(tile), min(n, N - width(tile)), tile)


@helper
def dx_tile(dy, w, dx, k, n, tile):
    acc = zeros(tile)
    for o0 in range(0, dy.shape[0], RUN):
        run = zeros(tile)
        for o in range(o0, min(dy.shape[0], o0 + RUN)):
            run = rank1(run, w, (o, k), (0, 1), dy, (o, n))
        acc = added(acc, run)
    store(acc, dx, (k, n), (1, 0))


@helper
def dweight_part(x, dy, dw, db, tile, part, parts):
    """dw[o,k] = Σ_n dy[o,n] x[n,k],  db[o] = Σ_n dy[o,n], for x (N, D). COLUMNS of x at a time stay in L1 or L2."""
    N, D = x.shape
    O = dy.shape[0]
    down = (O + rows(tile) - 1) // rows(tile)
    for k0 in range(0, D, COLUMNS):
        for line in range(down * part // parts, down * (part + 1) // parts):
            o = min(line * rows(tile), O - rows(tile))
            if width(tile) > D:
                for m in range(o, o + rows(tile)):
                    for k in range(D):
                        total = dy.dtype.type(0)
                        for n in range(N):
                            total += dy[m, n] * x[n, k]
                        dw[m, k] = total
            else:
                for k1 in range(k0, min(D, k0 + COLUMNS), width(tile)):
                    k = min(k1, D - width(tile))
                    acc = zeros(tile)
                    for n in range(N):
                        acc = rank1(acc, dy, (o, n), (1, 0), x, (n, k))
                    store(acc, dw, (o, k), (1, 0))
    for o in range(O * part // parts, O * (part + 1) // parts):
        total = dy.dtype.type(0)
        for n in range(N):
            total += dy[o, n]
        db[o] = total


@kernel
def forward(x, w, b, y, rectify, tile):
    fork(forward_part, (x, w, b, y, rectify, tile))


@kernel
def dx(dy, w, out, tile):
    fork(dx_part, (dy, w, out, tile))


@kernel
def dweight(x, dy, dw, db, tile):
    fork(dweight_part, (x, dy, dw, db, tile))

"""The fully connected layer with the batch innermost: x (D, N) -> y (M, N).

The same tile as in conv_chwn: `rows` features by 64 rows of the batch, and each weight is one
number that multiplies a run of the batch.
"""

from __future__ import annotations

from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.simd import W, column, dots, load, rank1, relu, rows, store, store_sums, width, zeros
from minicnn.kernels.cpu.threads import fork


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
        for k in range(x.shape[0]):
            acc = rank1(acc, w, (o, k), (1, 0), x, (k, n))
        if rectify:
            acc = relu(acc)
        store(acc, y, (o, n), (1, 0))


@helper
def dx_part(dy, w, dx, tile, part, parts):
    """dx[k,n] = Σ_o w[o,k] dy[o,n]"""
    D, N = dx.shape
    tasks = tiles_in(D, N, tile)
    for t in range(tasks * part // parts, tasks * (part + 1) // parts):
        k, n = tile_of_task(t, D, N, tile)
        acc = zeros(tile)
        for o in range(dy.shape[0]):
            acc = rank1(acc, w, (o, k), (0, 1), dy, (o, n))
        store(acc, dx, (k, n), (1, 0))


@helper
def dweight_part(x, dy, dw, db, sums, tile, part, parts):
    """dw[o,k] = Σ_n dy[o,n] x[k,n],  db[o] = Σ_n dy[o,n].  Tile: `rows` of o by `cols` of k."""
    D, N = x.shape
    O = dy.shape[0]
    cols = width(tile) // W
    whole = N - N % W
    across = (D + cols - 1) // cols
    down = (O + rows(tile) - 1) // rows(tile)
    for t in range(across * part // parts, across * (part + 1) // parts):
        k = min(t * cols, D - cols)
        for line in range(down):
            o = min(line * rows(tile), O - rows(tile))
            acc = zeros(tile)
            for n in range(0, whole, W):
                acc = dots(acc, dy, (o, n), (1, 0), x, (k, n), (1, 0))
            if whole < N:  # the batch's last few, into lane 0 of their sums
                store(acc, sums, (part, 0, 0), (0, 1, 0))
                for m in range(rows(tile)):
                    for j in range(cols):
                        for n in range(whole, N):
                            sums[part, m, j * W] += dy[o + m, n] * x[k + j, n]
                acc = load(tile, sums, (part, 0, 0), (0, 1, 0))
            store_sums(acc, dw, (o, k), (1, 0), (0, 1))
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
def dweight(x, dy, dw, db, sums, tile):
    fork(dweight_part, (x, dy, dw, db, sums, tile))

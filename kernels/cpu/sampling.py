"""Pictures moved about: bilinear sampling along an affine map, and whole-pixel crops with flips.

Used by the loader's threads, so these kernels are serial, touch no thread pool, and let go of the GIL. The
bilinear one reads as a GPU kernel would: one output pixel at a time, its place computed from its indices.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.compiler import helper, kernel

# How far inside a place must be for its four pixels to be read unchecked: more than rounding could move it.
MARGIN = 1e-6


@helper
def pixel(plane, r, c, fill, clamp):
    """plane[r, c]; outside, the fill value or the nearest pixel of the border."""
    H, Wd = plane.shape
    if clamp:
        r, c = min(max(r, 0), H - 1), min(max(c, 0), Wd - 1)
    return np.float64(plane[r, c]) if 0 <= r < H and 0 <= c < Wd else fill


@helper
def at_border(plane, row, column, fill, clamp):
    """plane at (row, column), each of the four pixels checked."""
    H, Wd = plane.shape
    if clamp:
        row, column = min(max(row, 0.0), H - 1.0), min(max(column, 0.0), Wd - 1.0)
    # Also false for a NaN; and no place far away is made an integer, which would overflow.
    if not (-1.0 < row < H and -1.0 < column < Wd):
        return fill
    r, s = int(np.floor(row)), int(np.floor(column))
    down, right = row - r, column - s
    a, b = pixel(plane, r, s, fill, clamp), pixel(plane, r, s + 1, fill, clamp)
    d, e = pixel(plane, r + 1, s, fill, clamp), pixel(plane, r + 1, s + 1, fill, clamp)
    above, below = a + right * (b - a), d + right * (e - d)
    return above + down * (below - above)


@helper
def is_inside(m, i, j, H, Wd):
    row = m[0, 0] * i + m[0, 1] * j + m[0, 2]
    column = m[1, 0] * i + m[1, 1] * j + m[1, 2]
    return MARGIN <= row <= H - 1 - MARGIN and MARGIN <= column <= Wd - 1 - MARGIN


@helper
def inner_range(m, i, Q, H, Wd):
    """The columns [first, last) of output row i whose places are inside: one stretch, since the map is affine."""
    low, high = 0.0, float(Q)
    for axis in range(2):
        length = H if axis == 0 else Wd
        start, step = m[axis, 0] * i + m[axis, 2], m[axis, 1]
        if step > 0:
            low, high = max(low, -start / step), min(high, (length - 1 - start) / step + 1)
        elif step < 0:
            low, high = max(low, (length - 1 - start) / step), min(high, -start / step + 1)
    if not low < high:  # also where a number is not finite
        return 0, 0
    first, last = int(low), int(high)
    # Rounding: the ends are tried, and what is between two places inside is inside.
    while first < last and not is_inside(m, i, first, H, Wd):
        first += 1
    while first < last and not is_inside(m, i, last - 1, H, Wd):
        last -= 1
    return first, last


@kernel
def affine(x, maps, fill, clamp, half, weights, y):
    """y[n,c,i,j] = x[n,c] between its pixels at (row, column) = maps[n] (i, j, 1).

    Outside lies `fill` or, with clamp, the nearest pixel of the border. half is 0.5 where y is an integer
    type, which makes the conversion round, and 0 otherwise. weights (2, Q) is scratch, of the type to compute in.
    """
    N, C, P, Q = y.shape
    H, Wd = x.shape[2:]
    flat = x.reshape(x.size)
    # Of one output row: the first of the four pixels, and how far below and right of it the place is.
    place = np.empty(Q, np.int64)
    down, right = weights
    one_half = weights.dtype.type(half)
    for n in range(N):
        m = maps[n]
        for i in range(P):
            first, last = inner_range(m, i, Q, H, Wd)
            for j in range(first, last):
                row = m[0, 0] * i + m[0, 1] * j + m[0, 2]
                column = m[1, 0] * i + m[1, 1] * j + m[1, 2]
                r, s = np.int32(row), np.int32(column)
                place[j] = r * Wd + s
                down[j] = row - r
                right[j] = column - s
            for c in range(C):
                start = (n * C + c) * H * Wd
                out = y[n, c, i]
                for j in range(first, last):
                    at = start + place[j]
                    u, v = down[j], right[j]
                    a, b = down.dtype.type(flat[at]), down.dtype.type(flat[at + 1])
                    d, e = down.dtype.type(flat[at + Wd]), down.dtype.type(flat[at + Wd + 1])
                    above, below = a + v * (b - a), d + v * (e - d)
                    out[j] = above + u * (below - above) + one_half
                if last - first < Q:
                    plane = x[n, c]
                    for k in range(Q - (last - first)):  # the rest, on either side
                        j = k if k < first else k + last - first
                        row = m[0, 0] * i + m[0, 1] * j + m[0, 2]
                        column = m[1, 0] * i + m[1, 1] * j + m[1, 2]
                        out[j] = at_border(plane, row, column, fill, clamp) + half


@kernel
def crop(x, tops, lefts, flip_rows, flip_columns, fill, y):
    """y[n,c,i,j] = x[n,c, tops[n] + i, lefts[n] + j], i and j counted from the far side where flipped."""
    N, C, P, Q = y.shape
    H, Wd = x.shape[2:]
    for n in range(N):
        for c in range(C):
            for i in range(P):
                r = tops[n] + (P - 1 - i if flip_rows[n] else i)
                out = y[n, c, i]
                if not 0 <= r < H:
                    out[:] = fill
                    continue
                line = x[n, c, r]
                left, step = lefts[n], 1
                if flip_columns[n]:
                    left, step = left + Q - 1, -1
                for j in range(Q):
                    s = left + step * j
                    out[j] = line[s] if 0 <= s < Wd else fill

"""Pictures moved about: whole-pixel windows with flips, and bilinear sampling along an affine map.

Used by the loader's threads, so these kernels are serial, touch no thread pool, and let go of the GIL.

Sampling takes images with a BORDER of two pixels of the outside all around, which `crop` makes on the way. A
place farther out than that looks the same as one in the border: so places are clipped, and no pixel needs
a test of its own. What cannot be vectorised, reading at computed places, stands in a loop by itself
(`gather`), and the loops around it are vectors. Indices are unsigned: a signed one could count from the
end, which Numba would test for every pixel (2.5x slower).
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.compiler import helper, kernel

BORDER = 2
# Output pixels sampled at a time, in whole rows: their places and weights stay in the L1 cache.
BAND = 1024


@kernel
def crop(x, tops, lefts, flip_rows, flip_columns, fill, border, y):
    """y[n,c,b+i,b+j] = x[n,c, tops[n] + i, lefts[n] + j], i and j counted from the far side where flipped.

    y (N, C, P + 2b, Q + 2b) with b = border; `fill` where the window lies outside x, and in the border.
    """
    N, C, H, W = x.shape
    P, Q = y.shape[2] - 2 * border, y.shape[3] - 2 * border
    given, out = x.reshape(x.size), y.reshape(y.size)
    out[:] = fill
    for n in range(N):
        # Where window and image overlap: rows [above, below) and columns [left, right) of the image.
        above, below = max(tops[n], 0), min(tops[n] + P, H)
        left, right = max(lefts[n], 0), min(lefts[n] + Q, W)
        for c in range(C):
            for r in range(above, below):
                i, j = r - tops[n], left - lefts[n]
                if flip_rows[n]:
                    i = P - 1 - i
                if flip_columns[n]:
                    j = Q - 1 - j
                start = np.uint64(((n * C + c) * H + r) * W + left)
                to = np.uint64(((n * C + c) * y.shape[2] + border + i) * y.shape[3] + border + j)
                if flip_columns[n]:
                    for k in range(np.uint64(max(right - left, 0))):
                        out[to - k] = given[start + k]
                else:
                    for k in range(np.uint64(max(right - left, 0))):
                        out[to + k] = given[start + k]


@helper
def places(m, first_row, grid, H, W, clamp, count, place, down, right):
    """Of `count` output pixels, from row `first_row` on: where each is read, (row, column) = m (i, j, 1).

    place: the index, in a plane (H + 4, W + 4) with its border, of the upper left of the four pixels around;
    down, right: how far from it the place is. grid (2, count): rows and columns of the output pixels.
    """
    rows, columns = grid[0], grid[1]
    row_down, row_right, row_start = m[0, 0], m[0, 1], m[0, 0] * first_row + m[0, 2]
    column_down, column_right, column_start = m[1, 0], m[1, 1], m[1, 0] * first_row + m[1, 2]
    low = 0.0 if clamp else -float(BORDER)
    last_row, last_column = (H - 1.0, W - 1.0) if clamp else (float(H), float(W))
    pitch = np.int32(W + 2 * BORDER)
    for k in range(count):
        row = row_start + row_down * rows[k] + row_right * columns[k]
        column = column_start + column_down * rows[k] + column_right * columns[k]
        # In this order a NaN, too, ends in the border.
        row = row if row > low else low
        row = row if row < last_row else last_row
        column = column if column > low else low
        column = column if column < last_column else last_column
        row += BORDER
        column += BORDER
        r, s = np.int32(row), np.int32(column)  # at least 0, so this is the floor
        place[k] = np.uint32(r * pitch + s)
        down[k] = row - r
        right[k] = column - s


@helper
def gather(plane, place, count, values):
    """values[k] = plane[place[k]]."""
    for k in range(count):
        values[k] = plane[place[k]]


@helper
def pack(plane, pitch, fours):
    """fours[p]: the bytes of a plane at p, to its right, below, and below to the right, in one number."""
    a, b, d, e = plane, plane[1:], plane[pitch:], plane[pitch + 1 :]
    for p in range(e.size):
        low = np.int32(a[p]) + np.int32(b[p]) * 256 + np.int32(d[p]) * 65536
        fours[p] = np.uint32(low) | np.uint32(e[p]) << np.uint32(24)


@helper
def blend_bytes(fours, down, right, out):
    """Bilinear between the four bytes of every number, rounded."""
    byte = np.uint32(255)
    for k in range(out.size):
        # By way of int32, since a vector of them becomes float32 in one instruction.
        a, b = np.int32(fours[k] & byte), np.int32(fours[k] >> np.uint32(8) & byte)
        d, e = np.int32(fours[k] >> np.uint32(16) & byte), np.int32(fours[k] >> np.uint32(24))
        above = np.float32(a) + right[k] * np.float32(b - a)
        below = np.float32(d) + right[k] * np.float32(e - d)
        out[k] = np.int32(above + down[k] * (below - above) + np.float32(0.5))


@helper
def blend(a, b, d, e, down, right, out):
    for k in range(out.size):
        above, below = a[k] + right[k] * (b[k] - a[k]), d[k] + right[k] * (e[k] - d[k])
        out[k] = above + down[k] * (below - above)


@kernel
def affine_bytes(x, maps, grid, clamp, y):
    """y[n,c,i,j] = x[n,c] between its pixels at (row, column) = maps[n] (i, j, 1), rounded; uint8.

    x (N, C, H + 4, W + 4): with its border; with clamp it is not looked at, places outside count as the
    nearest pixel. y (N, C, P, Q). grid (2, R Q) float64: rows and columns of R output rows.

    The four bytes around every pixel are first packed into one number, so that a place costs one read, not four.
    """
    N, C, P, Q = y.shape
    H, W = x.shape[2] - 2 * BORDER, x.shape[3] - 2 * BORDER
    planes, out = x.reshape(N, C, x.shape[2] * x.shape[3]), y.reshape(N, C, P * Q)
    fours = np.zeros((C, planes.shape[2]), np.uint32)
    band = grid.shape[1]
    place, values = np.empty(band, np.uint32), np.empty(band, np.uint32)
    down, right = np.empty(band, np.float32), np.empty(band, np.float32)
    for n in range(N):
        for c in range(C):
            pack(planes[n, c], x.shape[3], fours[c])
        for start in range(0, P * Q, band):
            count = min(band, P * Q - start)
            places(maps[n], start // Q, grid, H, W, clamp, count, place, down, right)
            for c in range(C):
                gather(fours[c], place, count, values)
                blend_bytes(values, down, right, out[n, c, start : start + count])


@kernel
def affine_floats(x, maps, grid, clamp, y):
    """The same for float32 and float64, each computed in its own precision."""
    N, C, P, Q = y.shape
    H, W = x.shape[2] - 2 * BORDER, x.shape[3] - 2 * BORDER
    planes, out = x.reshape(N, C, x.shape[2] * x.shape[3]), y.reshape(N, C, P * Q)
    band, pitch = grid.shape[1], x.shape[3]
    place = np.empty(band, np.uint32)
    scratch = np.empty((6, band), y.dtype)
    down, right, a, b, d, e = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4], scratch[5]
    for n in range(N):
        for start in range(0, P * Q, band):
            count = min(band, P * Q - start)
            places(maps[n], start // Q, grid, H, W, clamp, count, place, down, right)
            for c in range(C):
                plane = planes[n, c]
                gather(plane, place, count, a)
                gather(plane[1:], place, count, b)
                gather(plane[pitch:], place, count, d)
                gather(plane[pitch + 1 :], place, count, e)
                blend(a, b, d, e, down, right, out[n, c, start : start + count])

"""The weight gradient of the direct convolution, channels last.

    dw[o, c, r, s] = Σ_npq x[n, p*stride + r*dilation - before, q*stride + s*dilation - before, c] dy[n, p, q, o]

A register tile holds `rows` neighbouring entries of the run (s, c) by `width` channels o and goes over
pixels. A thread takes bands of output rows (see bands), and in each band patches of about a hundred pixels, of
which dy, one tile wide, is copied into a panel that stays in L1 while the tile goes over all (r, s, c).

    small dw   each thread has one of its own and its share of the bands; they are added up at the end.
    large dw   all threads go over all bands, each for its share of the (r, s, c).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicnn.kernels.cpu.bands import Geometry, check_arrays, extent, fill, make_bands
from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.product_gradient import ROWS, gradient_tiles
from minicnn.kernels.cpu.scratch import carve
from minicnn.kernels.cpu.simd import plus, rank1, rows, store, width, zeros
from minicnn.kernels.cpu.threads import fork, get_num_threads

Floats = NDArray[np.float32]
Pair = tuple[int, int]


@helper
def pack_patch(dy, n, p0, p1, q0, q1, o, panel):
    """panel[pixel, j] = dy[n, p, q, o + j], zeros beyond the last channel."""
    here = min(panel.shape[1], dy.shape[3] - o)
    for p in range(p0, p1):
        for q in range(q0, q1):
            target, source = panel[(p - p0) * (q1 - q0) + q - q0], dy[n, p, q, o : o + here]
            for j in range(here):
                target[j] = source[j]
            for j in range(here, panel.shape[1]):
                target[j] = np.float32(0)


@helper
def taps(tile, x, panel, dw, n, h, w, down, across, stride, k, line, at, o, fresh):
    """dw[line, at : at + rows, o : o + width] (+)= Σ x[n, h + i*stride, w + j*stride, k + m] panel[pixel]."""
    acc = zeros(tile)
    for i in range(down):
        for j in range(across):
            acc = rank1(
                acc, x, (n, h + i * stride[0], w + j * stride[1], k), (0, 0, 0, 1), panel, (i * across + j, 0)
            )
    if not fresh:  # added at the end: a patch is summed by itself
        acc = plus(acc, dw, (line, at, o), (0, 1, 0))
    store(acc, dw, (line, at, o), (0, 1, 0))


@helper
def gradient_part(x, dy, sums, g, bands, own, patch, copies, packs, tile, rest, part, parts):
    """The share of one thread. sums (owners, R, S*C, O)."""
    _, kernel_rows, depth, columns = sums.shape
    dw, panel = sums[part if own else 0], packs[part]
    runs = 1 if g.dilation[1] == 1 else g.kernel[1]
    run = depth // runs
    per_line = (run + rows(tile) - 1) // rows(tile)  # tiles in a run
    tiles = kernel_rows * runs * per_line
    b0, b1, t0, t1 = 0, bands.count, tiles * part // parts, tiles * (part + 1) // parts
    if own:
        b0, b1, t0, t1 = bands.count * part // parts, bands.count * (part + 1) // parts, 0, tiles
    for band in range(b0, b1):
        n0, n1, p0, p1 = extent(bands, band)
        source, n_first, p_first = x, 0, 0
        if bands.copied:
            source, n_first, p_first = copies[part], n0, p0
            fill(x, source, n0, n1, p0 * g.stride[0] - bands.before[0], -bands.before[1])
        for o in range(0, columns, width(tile)):
            for n in range(n0, n1):
                for p in range(p0, p1, patch[0]):
                    for q in range(0, dy.shape[2], patch[1]):
                        p_end, q_end = min(p1, p + patch[0]), min(dy.shape[2], q + patch[1])
                        pack_patch(dy, n, p, p_end, q, q_end, o, panel)
                        fresh = band == b0 and n == n0 and p == p0 and q == 0
                        for t in range(t0, t1):
                            r, s = t // (runs * per_line), t // per_line % runs
                            k = t % per_line * rows(tile)
                            h = (p - p_first) * g.stride[0] + r * g.dilation[0]
                            w = q * g.stride[1] + s * g.dilation[1]
                            down, across = p_end - p, q_end - q
                            if k + rows(tile) <= run:
                                taps(
                                    tile, source, panel, dw, n - n_first, h, w, down, across, g.stride,
                                    k, r, s * run + k, o, fresh,
                                )  # fmt: skip
                            else:
                                for last in range(k, run, rows(rest)):
                                    taps(
                                        rest, source, panel, dw, n - n_first, h, w, down, across, g.stride,
                                        last, r, s * run + last, o, fresh,
                                    )  # fmt: skip


@helper
def collect_part(sums, dw, part, parts):
    """dw[o, c, r, s] = Σ over the owners of sums[owner, r, s*C + c, o], 16 x 16 channels at a time.

    A run of o is read, and written to that many filters: 16 lines of cache that are filled one after another.
    """
    outputs, inputs, kernel_rows, kernel_cols = dw.shape
    across = (outputs + 15) // 16
    tasks = across * ((inputs + 15) // 16)
    for task in range(tasks * part // parts, tasks * (part + 1) // parts):
        o0, c0 = task % across * 16, task // across * 16
        count = min(16, outputs - o0)
        for c in range(c0, min(inputs, c0 + 16)):
            for r in range(kernel_rows):
                for s in range(kernel_cols):
                    target, source = dw[o0 : o0 + count, c, r, s], sums[:, r, s * inputs + c, o0 : o0 + count]
                    for j in range(count):
                        target[j] = source[0, j]
                    for owner in range(1, sums.shape[0]):
                        for j in range(count):
                            target[j] += source[owner, j]


@kernel
def gradient(x, dy, sums, dw, g, bands, own, patch, copies, packs, tile, rest):
    fork(gradient_part, (x, dy, sums, g, bands, own, patch, copies, packs, tile, rest))
    fork(collect_part, (sums, dw))


BAND_BYTES = 400e3
OWN_BYTES = 1.2e6  # a dw of each thread's own, beside the band


def grad_weight(
    x: Floats, dy: Floats, dw: Floats, *,
    stride: Pair = (1, 1), padding: Pair = (0, 0), dilation: Pair = (1, 1),
) -> None:  # fmt: skip
    """dw = the weight gradient (O, C, R, S)."""
    check_arrays("conv_nhwc", x, dw, dy)
    kernel_size, count, channels = dw.shape[2:], dy.shape[1:3], x.shape[3]
    g = Geometry(kernel_size, stride, dilation, padding, count, (1, 1), (0, 0))
    threads = get_num_threads()
    depth = kernel_size[1] * channels
    tile, rest = gradient_tiles(dy.shape[3], depth if dilation[1] == 1 else channels)
    columns = -(-dy.shape[3] // tile.width) * tile.width
    own = threads > 1 and 4 * kernel_size[0] * depth * columns < OWN_BYTES
    bands, shape = make_bands(x.shape, g, BAND_BYTES, 2 * threads if own else 1)
    own = own and bands.count >= threads
    # A patch: a part of a row, or several rows, of at most ROWS pixels.
    pieces = -(-count[1] // ROWS)
    patch = (max(1, ROWS // count[1]), -(-count[1] // pieces))
    packs, copies, sums = carve(
        (threads, patch[0] * patch[1], tile.width),
        (threads, *shape),
        (threads if own else 1, kernel_size[0], depth, columns),
    )
    gradient(x, dy, sums, dw, g, bands, own, patch, copies, packs, tile, rest)

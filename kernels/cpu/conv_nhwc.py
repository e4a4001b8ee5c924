"""Direct convolution, channels last: any kernel size, stride, padding and dilation; forward and input gradient.

    y[n, p, q, o] = b[o] + Σ_rsc x[n, p*stride + r*dilation - before, q*stride + s*dilation - before, c] w[o, c, r, s]

A register tile holds `rows` neighbouring pixels q of an output row by `width` channels o, and goes over r,
s and c. In channels-last storage (s, c) is one run of S*C numbers: where the dilation is 1, the three
channels of a 7x7 stem are as good as the 21 of a 1x1. The weights are packed in panels one tile wide (see
product), the input is gone through in bands (see bands).

    chunks          of a panel stay in L2 while all tiles of the band pass, whose sums wait in a buffer
    small weights   stay in L2, and each thread takes its share of the bands.
    large weights   each thread takes its share of the panels and goes over all bands, a megabyte each,
                    so that the weights are read from memory only once a band.

The input gradient is a sum over the outputs that saw a pixel. For stride 1 that is the same convolution
over dy, with the kernel turned. For stride s the pixels fall into s*s classes by (h mod s, w mod s); those
of a class saw the same kernel positions, and their gradients are a convolution with these positions, of
stride 1, written to every s-th pixel. The weight gradient is in conv_nhwc_gradient.

Error: that of a float32 sum of R*S*C terms: at most R*S*C * 6e-8 of the sum of their magnitudes.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn.kernels.cpu.bands import Geometry, check_arrays, extent, fill, make_bands
from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.conv_nhwc_gradient import grad_weight
from minicnn.kernels.cpu.scratch import carve
from minicnn.kernels.cpu.simd import Tile, W, at_least, least, load, rank1, row, rows, store, width
from minicnn.kernels.cpu.threads import fork, get_num_threads

__all__ = ["forward", "grad_input", "grad_weight"]

Floats = NDArray[np.float32]
Pair = tuple[int, int]


CHANNELS_AT_ONCE = 16


@helper
def panels_part(w, panels, first, step, turn, part, parts):
    """panels[block, k, m*C + c, j] = w[block*width + j, c, r, s] at r = first + k*step, likewise s from m.

    turn: with input and output channels swapped. Zeros beyond the last column.
    """
    blocks, kernel_rows, depth, block = panels.shape
    outputs, inputs = (w.shape[1], w.shape[0]) if turn else (w.shape[0], w.shape[1])
    kernel_cols = depth // inputs
    groups = (inputs + CHANNELS_AT_ONCE - 1) // CHANNELS_AT_ONCE
    for task in range(blocks * groups * part // parts, blocks * groups * (part + 1) // parts):
        mb, c0 = task // groups, task % groups * CHANNELS_AT_ONCE
        count, c1 = min(block, outputs - mb * block), min(inputs, c0 + CHANNELS_AT_ONCE)
        for j0 in range(0, count, W):
            here = min(count, j0 + W) - j0  # filters that are read at a time: they lie in a few sets of L1
            o = mb * block + j0
            for c in range(c0, c1):
                for k in range(kernel_rows):
                    for m in range(kernel_cols):
                        r, s = first[0] + k * step[0], first[1] + m * step[1]
                        taps = w[c, o : o + here, r, s] if turn else w[o : o + here, c, r, s]
                        line = panels[mb, k, m * inputs + c, j0 : j0 + here]
                        for j in range(here):
                            line[j] = taps[j]
        if count < block:
            for c in range(c0, c1):
                for k in range(kernel_rows):
                    for m in range(kernel_cols):
                        line = panels[mb, k, m * inputs + c]
                        for j in range(count, block):
                            line[j] = np.float32(0)


@helper
def add_chunk(acc, x, panels, n, h, w, stride, dilation, ob, r0, r1, s, k0, k1, shift):
    """acc + kernel rows r0 to r1 and entries k0 to k1 of the run that begins at kernel column s.

    acc holds pixels that are `stride` apart; the window of the first begins at x[n, h, w].
    """
    # Small tiles gain from four steps at a time; tall ones would no longer fit the registers.
    whole = k0 + (k1 - k0) // 4 * 4 if rows(acc) <= 7 else k0
    for r in range(r0, r1):
        a, b = h + r * dilation[0], w + s * dilation[1]
        for k in range(k0, whole, 4):
            for i in range(4):
                acc = rank1(acc, x, (n, a, b, k + i), (0, 0, stride, 0), panels, (ob, r, shift + k + i, 0))
        for k in range(whole, k1):
            acc = rank1(acc, x, (n, a, b, k), (0, 0, stride, 0), panels, (ob, r, shift + k, 0))
    return acc


@helper
def put(acc, y, n, h, w, step, o, low, spare):
    """y[n, h, w + m*step, o : o + width] = max(row m of acc, low), through spare where channels hang over."""
    acc = at_least(acc, low)
    if o + width(acc) <= y.shape[3]:
        store(acc, y, (n, h, w, o), (0, 0, step, 0))
    else:
        store(acc, spare, (0, 0), (1, 0))
        for m in range(rows(acc)):
            for j in range(y.shape[3] - o):
                y[n, h, w + m * step, o + j] = spare[m, j]


@helper
def convolve_part(x, panels, bias, y, g, bands, groups, chunks, low, copies, sums, tile, part, parts):
    """y[n, offset + p*step, offset + q*step] for all p, q < g.count."""
    blocks, accs = panels.shape[0], sums[part]
    run = panels.shape[2] if g.dilation[1] == 1 else panels.shape[2] // g.kernel[1]
    for task in range(groups * bands.count * part // parts, groups * bands.count * (part + 1) // parts):
        group = task // bands.count
        n0, n1, p0, p1 = extent(bands, task % bands.count)
        source, n_first, p_first = x, 0, 0
        if bands.copied:
            source, n_first, p_first = copies[part], n0, p0
            fill(x, source, n0, n1, p0 * g.stride[0] - bands.before[0], -bands.before[1])
        for ob in range(blocks * group // groups, blocks * (group + 1) // groups):
            for i in range(len(chunks)):
                r0, r1, s, k0, k1 = chunks[i]
                place = 0  # of the tile among the unfinished sums
                for n in range(n0, n1):
                    for p in range(p0, p1):
                        h = (p - p_first) * g.stride[0]
                        for begin in range(0, g.count[1], rows(tile)):
                            q = min(
                                begin, g.count[1] - rows(tile)
                            )  # the last tile is moved back onto the row
                            if i == 0:
                                acc = row(tile, bias, (ob * width(tile),))
                            else:
                                acc = load(tile, accs, (place, 0, 0), (0, 1, 0))
                            acc = add_chunk(
                                acc, source, panels, n - n_first, h, q * g.stride[1], g.stride[1], g.dilation,
                                ob, r0, r1, s, k0, k1, s * run,
                            )  # fmt: skip
                            if i == len(chunks) - 1:
                                put(
                                    acc, y, n, g.offset[0] + p * g.step[0], g.offset[1] + q * g.step[1], g.step[1],
                                    ob * width(tile), low, accs[place],
                                )  # fmt: skip
                            else:
                                store(acc, accs, (place, 0, 0), (0, 1, 0))
                            place += 1


@kernel
def convolve(x, w, turn, first, along, panels, bias, y, g, bands, groups, chunks, relu, copies, sums, tile):
    fork(panels_part, (w, panels, first, along, turn))
    low = least(relu)
    fork(convolve_part, (x, panels, bias, y, g, bands, groups, chunks, low, copies, sums, tile))


# ---- the plan ---------------------------------------------------------------------------------------


# (pixels, vectors of channels) of the tiles to choose from. Several heights, since a row of 7, 14, 28, 55 or
# 224 pixels is covered by different ones without loss. Not as tall as the registers allow: every row of
# pixels needs an address too, and 14 x 2 runs at two thirds of the speed of 7 x 2 and 10 x 2.
if W == 16:
    TILES = ((6, 4), (5, 4), (4, 4), (2, 4), (1, 4), (10, 2), (7, 2), (4, 2), (1, 2), (12, 1), (4, 1), (1, 1))
else:
    TILES = ((6, 2), (5, 2), (4, 2), (2, 2), (1, 2), (12, 1), (7, 1), (4, 1), (1, 1))

OWN_BYTES = 300e3  # of a band beside panels that stay in L2
LARGE_BYTES = 1e6  # of a band while the panels stream past
PANELS_BYTES = 1.2e6  # panels up to this size stay in L2, or nearly
CHUNK_BYTES = 1 << 18  # of a panel: a quarter of L2


@lru_cache(maxsize=1024)
def best_tile(pixels: int, channels: int) -> Tile:
    """The tile that needs the fewest cycles for a row.

    In a cycle two multiply-adds or two loads; the panel's run comes from L2, a vector in a good two cycles.
    """
    vectors = -(-channels // W)

    def cycles(shape: Pair) -> float:
        height, cols = shape
        tiles = -(-pixels // height) * -(-vectors // cols)
        return tiles * max(height * cols / 2, (height + cols) / 2, 2.3 * cols, 4)

    return Tile(*min((shape for shape in TILES if shape[0] <= pixels), key=cycles))


def _convolve(
    x: Floats, w: Floats, bias: Floats | None, y: Floats, g: Geometry, first: Pair, along: Pair, turn: bool,
    relu: bool,
) -> None:  # fmt: skip
    """Kernel position k of g.kernel is w[first + k*along]."""
    threads, (channels, outputs) = get_num_threads(), (x.shape[3], y.shape[3])
    tile = best_tile(g.count[1], outputs)
    blocks = -(-outputs // tile.width)
    small = 4 * g.kernel[0] * g.kernel[1] * channels * outputs < PANELS_BYTES or blocks < threads
    target, fewest = (OWN_BYTES, 2 * threads) if small else (LARGE_BYTES, 1)
    bands, shape = make_bands(x.shape, g, target, fewest)
    chunks = make_chunks(g, channels, CHUNK_BYTES // (4 * tile.width))
    tiles = bands.images * bands.height * -(-g.count[1] // tile.rows)
    panels, shifts, sums, copies = carve(
        (blocks, g.kernel[0], g.kernel[1] * channels, tile.width),
        (blocks * tile.width,),
        (threads, tiles, tile.rows, tile.width),
        (threads, *shape),
    )
    shifts[:] = 0
    if bias is not None:
        shifts[: len(bias)] = bias
    groups = 1 if small else threads
    convolve(x, w, turn, first, along, panels, shifts, y, g, bands, groups, chunks, relu, copies, sums, tile)


@lru_cache(maxsize=1024)
def make_chunks(g: Geometry, channels: int, steps: int) -> NDArray[np.int64]:
    """(r0, r1, s, k0, k1) of the pieces in which a panel is gone through, each for all tiles of a band."""
    runs = 1 if g.dilation[1] == 1 else g.kernel[1]
    run = g.kernel[1] * channels // runs
    tall, pieces = max(1, steps // run), -(-run // steps)  # whole kernel rows, or pieces of one
    length = -(-run // (4 * pieces)) * 4
    return np.array(
        [
            (r, min(g.kernel[0], r + tall), s, k, min(run, k + length))
            for r in range(0, g.kernel[0], tall)
            for s in range(runs)
            for k in range(0, run, length)
        ]
    )


# ---- what a layer calls -----------------------------------------------------------------------------


def forward(
    x: Floats, w: Floats, bias: Floats | None, y: Floats, *,
    stride: Pair = (1, 1), padding: Pair = (0, 0), dilation: Pair = (1, 1), relu: bool = False,
) -> None:  # fmt: skip
    """y = w * x + bias, then ReLU if asked. x (N, H, W, C), w (O, C, R, S), y (N, P, Q, O), bias (O,).

    padding is what lies above and to the left; below and to the right there is as much as y asks for.
    """
    check_arrays("conv_nhwc", x, w, y)
    kernel_size = (w.shape[2], w.shape[3])
    g = Geometry(kernel_size, stride, dilation, padding, (y.shape[1], y.shape[2]), (1, 1), (0, 0))
    _convolve(x, w, bias, y, g, (0, 0), (1, 1), False, relu)


def grad_input(
    dy: Floats, w: Floats, dx: Floats, *,
    stride: Pair = (1, 1), padding: Pair = (0, 0), dilation: Pair = (1, 1), accumulate: bool = False,
) -> None:  # fmt: skip
    """dx = the input gradient, or dx += it. dy (N, P, Q, O), w (O, C, R, S), dx (N, H, W, C)."""
    check_arrays("conv_nhwc", dx, w, dy)
    if accumulate:
        (gradient,) = carve(dx.shape)
        grad_input(dy, w, gradient, stride=stride, padding=padding, dilation=dilation)
        dx += gradient
        return
    for a in range(min(stride[0], dx.shape[1])):
        for b in range(min(stride[1], dx.shape[2])):
            down = _class(a, 0, w, dx, stride, padding, dilation)
            across = _class(b, 1, w, dx, stride, padding, dilation)
            if down is None or across is None:  # pixels that no output looked at
                dx[:, a :: stride[0], b :: stride[1]] = 0
                continue
            g = Geometry(*zip(down.kernel, across.kernel), stride, (a, b))  # type: ignore[arg-type]
            _convolve(dy, w, None, dx, g, *zip(down.taps, across.taps), True, False)  # type: ignore[arg-type, call-arg]


class _Class(NamedTuple):
    """One axis of a class of input pixels: its kernel, stride, dilation, before and count, and the taps of w."""

    kernel: tuple[int, int, int, int, int]
    taps: tuple[int, int]  # first and step


def _class(
    a: int, axis: int, w: Floats, dx: Floats, stride: Pair, padding: Pair, dilation: Pair
) -> _Class | None:
    """Pixels h = a + t*s: the kernel positions r with  p*s + r*d - padding = h  for some p.

    Those are r, r - s/g, r - 2 s/g, ... from the last one down, g = gcd(s, d), and p = (h + padding - r*d) / s
    rises by d/g from each to the next.
    """
    s, d = stride[axis], dilation[axis]
    seen = [r for r in range(w.shape[2 + axis]) if (a + padding[axis] - r * d) % s == 0]
    if not seen:
        return None
    common = gcd(s, d)
    before = -((a + padding[axis] - seen[-1] * d) // s)
    count = -(-(dx.shape[1 + axis] - a) // s)
    return _Class((len(seen), 1, d // common, before, count), (seen[-1], -(s // common)))

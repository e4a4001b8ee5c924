"""Images to and from the 6x6 tiles of Winograd's convolution, on the register tile.

Every transform is a matrix from the left and its transpose from the right, F X Fᵀ, on a small square X
of which each entry is a vector of channels. See winograd_matrices for F and winograd for the algorithm.

What is transformed lies in 36 *planes*, number 6a + b for position (a, b) of the square. A plane is cut
into blocks of channels, and in a block lie the tiles, one after another:

    planes[6a + b, (block * tiles + tile) * width + channel]       position of channel 0 of a tile: start

An image is cut into 4x4 output tiles from its top left corner; the last row and column of tiles may
hang over. Such a tile, and every tile where the channels do not fill whole vectors, goes through a
small buffer (`edge`) that is filled with zeros where there is no image: no padded copy of an image is made.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.compiler import helper
from minicnn.kernels.cpu.simd import at_least, linear, load, plus, store, width
from minicnn.kernels.cpu.squares import turn
from minicnn.kernels.cpu.winograd_matrices import FILTER_IN, FILTER_OUT, OUTPUT_IN, OUTPUT_OUT, PATCH_IN

patch_in = linear(*PATCH_IN)
filter_in = linear(*FILTER_IN)
output_in = linear(*OUTPUT_IN)
output_out = linear(*OUTPUT_OUT)
filter_out = linear(*FILTER_OUT)

NO_LEAST = np.float32(-np.inf)
FILTERS_AT_ONCE = 8  # input channels laid out together: with 64 outputs 18 kB, in L1


@helper
def to_planes(f, column, src, first, count, between, planes, start):
    """planes[:, start + c] = F src[:, :, first + c] Fᵀ for c < count, one tile width of channels at a time."""
    for c in range(0, count, width(column)):
        for j in range(src.shape[1]):
            store(f(load(column, src, (0, j, first + c), (1, 0, 0))), between, (0, j, 0), (1, 0, 0))
        for i in range(6):
            store(f(load(column, between, (i, 0, 0), (0, 1, 0))), planes, (6 * i, start + c), (1, 0))


@helper
def from_planes(f, column, planes, start, between, bias, dst, side, low, accumulate):
    """dst = max(F planes[:, start + c] Fᵀ + bias[c], low) for every channel c, or dst += that. dst (side, side, C)."""
    for c in range(0, dst.shape[2], width(column)):
        for j in range(6):
            store(f(load(column, planes, (j, start + c), (6, 0))), between, (0, j, 0), (1, 0, 0))
        for i in range(side):
            out = f(load(column, between, (i, 0, 0), (0, 1, 0)))
            if bias is not None:
                out = plus(out, bias, (c,), (0,))
            out = at_least(out, low)
            if accumulate:
                out = plus(out, dst, (i, 0, c), (0, 1, 0))
            store(out, dst, (i, 0, c), (0, 1, 0))


@helper
def place(t, height, breadth):
    """Image, row and column of the t-th 4x4 tile of images of this size."""
    down, across = (height + 3) // 4, (breadth + 3) // 4
    return t // (down * across), t // across % down * 4, t % across * 4


@helper
def window(x, n, h, w, side, channels, edge):
    """x[n, h : h + side, w : w + side], or a copy in edge with zeros outside the image and its channels."""
    _, height, breadth, real = x.shape
    if channels == real and h >= 0 and w >= 0 and h + side <= height and w + side <= breadth:
        return x[n, h : h + side, w : w + side]
    copy = edge[:side, :side, :channels]
    for a in range(side):
        for b in range(side):
            inside = 0 <= h + a < height and 0 <= w + b < breadth
            start = real if inside else 0
            if inside:
                for c in range(real):
                    copy[a, b, c] = x[n, h + a, w + b, c]
            for c in range(start, channels):
                copy[a, b, c] = np.float32(0)
    return copy


@helper
def patches_part(x, v, t0, t1, size, pad, shape, edges, betweens, column, part, parts):
    """v = Bᵀ (6x6 input patch of output tile t) B for the tiles t0 to t1 of outputs of `size`.

    shape: blocks, tiles and channels of a block, of v.
    """
    blocks, tiles, block = shape
    for t in range(t0 + (t1 - t0) * part // parts, t0 + (t1 - t0) * (part + 1) // parts):
        n, p, q = place(t, size[0], size[1])
        patch = window(x, n, p - pad[0], q - pad[1], 6, blocks * block, edges[part])
        for k in range(blocks):
            start = (k * tiles + t - t0) * block
            to_planes(patch_in, column, patch, k * block, block, betweens[part], v, start)


@helper
def gradients_part(dy, d, t0, t1, shape, edges, betweens, column, part, parts):
    """d = A (4x4 tile t of dy) Aᵀ."""
    blocks, tiles, block = shape
    for t in range(t0 + (t1 - t0) * part // parts, t0 + (t1 - t0) * (part + 1) // parts):
        n, p, q = place(t, dy.shape[1], dy.shape[2])
        tile = window(dy, n, p, q, 4, blocks * block, edges[part])
        for k in range(blocks):
            start = (k * tiles + t - t0) * block
            to_planes(output_in, column, tile, k * block, block, betweens[part], d, start)


@helper
def add_up(planes, start, count):
    """planes[0] = Σ planes[owner], each from start on."""
    for owner in range(1, planes.shape[0]):
        for plane in range(36):
            total, more = planes[0, plane, start : start + count], planes[owner, plane, start : start + count]
            for c in range(count):
                total[c] += more[c]


@helper
def outputs_part(m, bias, y, t0, t1, channels, low, accumulate, edges, betweens, column, part, parts):
    """4x4 tile t of y = max(Aᵀ m A + bias, low), or added to what is there.

    m (owners, 36, ...), summed over its first axis, is one block of `channels`.
    """
    _, height, breadth, real = y.shape
    between = betweens[part]
    for t in range(t0 + (t1 - t0) * part // parts, t0 + (t1 - t0) * (part + 1) // parts):
        n, p, q = place(t, height, breadth)
        start = (t - t0) * channels
        add_up(m, start, channels)
        if channels == real and p + 4 <= height and q + 4 <= breadth:
            inside = y[n, p : p + 4, q : q + 4]
            from_planes(output_out, column, m[0], start, between, bias, inside, 4, low, accumulate)
        else:
            tile = edges[part, :4, :4, :channels]
            from_planes(output_out, column, m[0], start, between, bias, tile, 4, low, False)
            for a in range(min(4, height - p)):
                for b in range(min(4, breadth - q)):
                    for c in range(real):
                        before = y[n, p + a, q + b, c] if accumulate else np.float32(0)
                        y[n, p + a, q + b, c] = before + tile[a, b, c]


@helper
def filters_part(w, u, turned, first, shape, packs, betweens, column, square, part, parts):
    """u = G w Gᵀ for w (O, I, 3, 3), zero beyond its channels; its blocks are of outputs, its "tiles" the inputs.

    first: the output and the input channel where u begins. turned: of w turned by 180 degrees with its channels
    swapped, as the input gradient needs it.
    Filters are laid out with their channels innermost first, FILTERS_AT_ONCE inputs of one block at a time.
    """
    blocks, inputs, block = shape
    o_first, i_first = first
    real_i, real_o = (w.shape[0], w.shape[1]) if turned else (w.shape[1], w.shape[0])
    pack = packs[part]
    groups = (inputs + FILTERS_AT_ONCE - 1) // FILTERS_AT_ONCE
    for task in range(blocks * groups * part // parts, blocks * groups * (part + 1) // parts):
        ob, u0 = task // groups, task % groups * FILTERS_AT_ONCE
        o0, i0 = o_first + ob * block, i_first + u0
        count = min(FILTERS_AT_ONCE, inputs - u0)
        ni, no = max(0, min(count, real_i - i0)), max(0, min(block, real_o - o0))
        if ni < count or no < block:
            pack[:] = np.float32(0)
        if turned:
            for i in range(ni):
                for a in range(3):
                    for b in range(3):
                        line, taps = pack[i, 2 - a, 2 - b], w[i0 + i, o0 : o0 + no, a, b]
                        for o in range(no):
                            line[o] = taps[o]
        else:
            filters = w.reshape(w.shape[0], 9 * w.shape[1])
            turn(filters[o0 : o0 + no, 9 * i0 : 9 * (i0 + ni)], pack.reshape(9 * len(pack), block), square)
        for i in range(count):
            start = (ob * inputs + u0 + i) * block
            to_planes(filter_in, column, pack[i], 0, block, betweens[part], u, start)


@helper
def filter_gradients_part(du, dw, outputs, packs, betweens, column, square, part, parts):
    """dw[:, i] = Gᵀ du G for dw (O, I, 3, 3), du (owners, 36, I * outputs) summed over its first axis."""
    real_o, inputs = dw.shape[:2]
    pack = packs[part]
    block = pack.shape[3]
    blocks = outputs // block
    groups = (inputs + FILTERS_AT_ONCE - 1) // FILTERS_AT_ONCE
    for task in range(blocks * groups * part // parts, blocks * groups * (part + 1) // parts):
        o0, i0 = task // groups * block, task % groups * FILTERS_AT_ONCE
        ni, no = min(FILTERS_AT_ONCE, inputs - i0), min(block, real_o - o0)
        for i in range(ni):
            start = (i0 + i) * outputs + o0
            add_up(du, start, block)
            from_planes(filter_out, column, du[0], start, betweens[part], None, pack[i], 3, NO_LEAST, False)
        filters = dw.reshape(real_o, 9 * inputs)
        turn(
            pack.reshape(9 * len(pack), block)[: 9 * ni, :no],
            filters[o0 : o0 + no, 9 * i0 : 9 * (i0 + ni)],
            square,
        )

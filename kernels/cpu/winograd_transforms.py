"""Images to and from the 6x6 tiles of Winograd's convolution, on the register tile.

Every transform is a matrix from the left and its transpose from the right, F X Fᵀ, on a small square X
of which each entry is a vector of channels. See winograd_matrices for F and winograd for the algorithm.

    V  6, 6, tile, C     patches of the input, transformed          M  the same for products, before
    U  6, 6, O block, C, block width   filters, transformed            they become 4x4 outputs

An image is cut into 4x4 output tiles from its top left corner; the last row and column of tiles may
hang over. Such a tile, and every tile where the channels do not fill whole vectors, goes through a
small buffer (`edge`) that is filled with zeros where there is no image: no padded copy of an image is made.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.compiler import helper
from minicnn.kernels.cpu.simd import at_least, linear, load, plus, store, width
from minicnn.kernels.cpu.winograd_matrices import FILTER_IN, FILTER_OUT, OUTPUT_IN, OUTPUT_OUT, PATCH_IN

patch_in = linear(*PATCH_IN)
filter_in = linear(*FILTER_IN)
output_in = linear(*OUTPUT_IN)
output_out = linear(*OUTPUT_OUT)
filter_out = linear(*FILTER_OUT)

FILTERS_AT_ONCE = 8  # input channels laid out together: with 64 outputs 18 kB, in L1


@helper
def both_sides(f, column, src, between, dst):
    """dst[:, :, c] = F src[:, :, c] Fᵀ for every channel c, one tile width of channels at a time."""
    for c in range(0, dst.shape[2], width(column)):
        for j in range(src.shape[1]):
            store(f(load(column, src, (0, j, c), (1, 0, 0))), between, (0, j, 0), (1, 0, 0))
        for i in range(dst.shape[0]):
            store(f(load(column, between, (i, 0, 0), (0, 1, 0))), dst, (i, 0, c), (0, 1, 0))


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
def patches_part(x, v, t0, t1, size, pad, edges, betweens, column, part, parts):
    """v[:, :, t - t0] = Bᵀ (6x6 input patch of output tile t) B for the tiles t0 to t1 of outputs of `size`."""
    for t in range(t0 + (t1 - t0) * part // parts, t0 + (t1 - t0) * (part + 1) // parts):
        n, p, q = place(t, size[0], size[1])
        patch = window(x, n, p - pad[0], q - pad[1], 6, v.shape[3], edges[part])
        both_sides(patch_in, column, patch, betweens[part], v[:, :, t - t0])


@helper
def gradients_part(dy, d, t0, t1, edges, betweens, column, part, parts):
    """d[:, :, t - t0] = A (4x4 tile t of dy) Aᵀ."""
    for t in range(t0 + (t1 - t0) * part // parts, t0 + (t1 - t0) * (part + 1) // parts):
        n, p, q = place(t, dy.shape[1], dy.shape[2])
        tile = window(dy, n, p, q, 4, d.shape[3], edges[part])
        both_sides(output_in, column, tile, betweens[part], d[:, :, t - t0])


@helper
def finish(column, src, between, dst, low, accumulate):
    """dst = max(Aᵀ src A, low), or dst += Aᵀ src A."""
    for c in range(0, dst.shape[2], width(column)):
        for j in range(6):
            store(output_out(load(column, src, (0, j, c), (1, 0, 0))), between, (0, j, 0), (1, 0, 0))
        for i in range(4):
            out = at_least(output_out(load(column, between, (i, 0, 0), (0, 1, 0))), low)
            if accumulate:
                out = plus(out, dst, (i, 0, c), (0, 1, 0))
            store(out, dst, (i, 0, c), (0, 1, 0))


@helper
def outputs_part(m, y, t0, t1, low, accumulate, edges, betweens, column, part, parts):
    """4x4 tile t of y = max(Aᵀ m[:, :, t - t0] A, low), or added to what is there."""
    _, height, breadth, real = y.shape
    channels = m.shape[3]
    for t in range(t0 + (t1 - t0) * part // parts, t0 + (t1 - t0) * (part + 1) // parts):
        n, p, q = place(t, height, breadth)
        if channels == real and p + 4 <= height and q + 4 <= breadth:
            inside = y[n, p : p + 4, q : q + 4]
            finish(column, m[:, :, t - t0], betweens[part], inside, low, accumulate)
        else:
            tile = edges[part, :4, :4, :channels]
            finish(column, m[:, :, t - t0], betweens[part], tile, low, False)
            for a in range(min(4, height - p)):
                for b in range(min(4, breadth - q)):
                    for c in range(real):
                        before = y[n, p + a, q + b, c] if accumulate else np.float32(0)
                        y[n, p + a, q + b, c] = before + tile[a, b, c]


@helper
def filters_part(w, u, turn, packs, betweens, column, part, parts):
    """u[:, :, block, i] = G w[block of o, i] Gᵀ for w (O, I, 3, 3), zero beyond its channels.

    turn: of w turned by 180 degrees with its channels swapped, as the input gradient needs it.
    Filters are laid out with their channels innermost first, FILTERS_AT_ONCE inputs of one block at a time.
    """
    _, _, blocks, inputs, block = u.shape
    real_i, real_o = (w.shape[0], w.shape[1]) if turn else (w.shape[1], w.shape[0])
    pack = packs[part]
    groups = (inputs + FILTERS_AT_ONCE - 1) // FILTERS_AT_ONCE
    for task in range(blocks * groups * part // parts, blocks * groups * (part + 1) // parts):
        ob, i0 = task // groups, task % groups * FILTERS_AT_ONCE
        o0 = ob * block
        count = min(FILTERS_AT_ONCE, inputs - i0)
        ni, no = max(0, min(count, real_i - i0)), max(0, min(block, real_o - o0))
        if ni < count or no < block:
            pack[:] = np.float32(0)
        if turn:
            for i in range(ni):
                for o in range(no):
                    for a in range(3):
                        for b in range(3):
                            pack[2 - a, 2 - b, i, o] = w[i0 + i, o0 + o, a, b]
        else:
            for o in range(no):
                for i in range(ni):
                    for a in range(3):
                        for b in range(3):
                            pack[a, b, i, o] = w[o0 + o, i0 + i, a, b]
        for i in range(count):
            both_sides(filter_in, column, pack[:, :, i], betweens[part], u[:, :, ob, i0 + i])


@helper
def filter_gradients_part(du, dw, packs, betweens, column, part, parts):
    """dw[:, i] = Gᵀ du[:, :, i] G for dw (O, I, 3, 3), du (owners, 6, 6, I, O) summed over its first axis."""
    outputs, inputs, _, _ = dw.shape
    pack = packs[part]
    block = pack.shape[3]
    blocks = du.shape[4] // block
    groups = (inputs + FILTERS_AT_ONCE - 1) // FILTERS_AT_ONCE
    for task in range(blocks * groups * part // parts, blocks * groups * (part + 1) // parts):
        o0, i0 = task // groups * block, task % groups * FILTERS_AT_ONCE
        ni, no = min(FILTERS_AT_ONCE, inputs - i0), min(block, outputs - o0)
        for i in range(ni):
            for owner in range(1, du.shape[0]):
                for a in range(6):
                    for b in range(6):
                        total, more = (
                            du[0, a, b, i0 + i, o0 : o0 + block],
                            du[owner, a, b, i0 + i, o0 : o0 + block],
                        )
                        for o in range(block):
                            total[o] += more[o]
            both_sides(
                filter_out, column, du[0, :, :, i0 + i, o0 : o0 + block], betweens[part], pack[:, :, i]
            )
        for o in range(no):
            for i in range(ni):
                for a in range(3):
                    for b in range(3):
                        dw[o0 + o, i0 + i, a, b] = pack[a, b, i, o]

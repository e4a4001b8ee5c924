"""Convolution with the batch innermost (CHWN): a vector holds one pixel of 16 images.

For few channels, as in LeNet or the first layer of any network: nothing is padded to a vector's
width but the batch. A tile is `rows` channels by 64 images; every weight is one number that
multiplies a run of images:

    y[o+m, p, q, n:n+64]  +=  w[o+m, c, r, s] * x[c, p', q', n:n+64]          for m < rows

The weights are read where they lie (O, C, R, S), and padding is not stored: each output pixel
takes part only in those taps that fall on the image. Where a tile does not divide the channels
or the batch, the last one is moved back and computes some results twice, with the same outcome.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.simd import (
    W,
    at_least,
    column,
    dots,
    load,
    rank1,
    rows,
    store,
    store_sums,
    width,
    zeros,
)
from minicnn.kernels.cpu.threads import fork


@helper
def taps_on_image(start, step, size, count):
    """The taps t of 0 .. count - 1 with 0 <= start + t step < size, as (first, end)."""
    first = 0 if start >= 0 else (step - 1 - start) // step
    end = 0 if start >= size else (size - 1 - start) // step + 1
    return min(first, count), min(end, count)


@helper
def forward_part(x, w, b, y, stride, dilation, before, rectify, tile, part, parts):
    """y[o,p,q,n] = b[o] + Σ_crs w[o,c,r,s] x[c, p*stride + r*dilation - before, q*... + s*..., n]"""
    C, H, Wd, N = x.shape
    O, P, Q, _ = y.shape
    R, S = w.shape[2:]
    across = (N + width(tile) - 1) // width(tile)
    for t in range(P * across * part // parts, P * across * (part + 1) // parts):
        p, n = t // across, min(t % across * width(tile), N - width(tile))
        top = p * stride[0] - before[0]
        r0, r1 = taps_on_image(top, dilation[0], H, R)
        for q in range(Q):
            left = q * stride[1] - before[1]
            s0, s1 = taps_on_image(left, dilation[1], Wd, S)
            for o0 in range(0, O, rows(tile)):
                o = min(o0, O - rows(tile))
                acc = column(tile, b, (o,), (1,))
                for c in range(C):
                    for r in range(r0, r1):
                        h = top + r * dilation[0]
                        for s in range(s0, s1):
                            v = left + s * dilation[1]
                            acc = rank1(acc, w, (o, c, r, s), (1, 0, 0, 0), x, (c, h, v, n))
                if rectify:
                    acc = at_least(acc, np.float32(0))
                store(acc, y, (o, p, q, n), (1, 0, 0, 0))


@helper
def output_of(position, stride, size):
    """The output that meets an input position by one tap: position / stride if that is one, else -1."""
    if stride > 1:  # a division costs as much as ten products: none where there is nothing to divide
        position = position // stride if position % stride == 0 else -1
    return position if 0 <= position < size else -1


@helper
def dx_part(dy, w, dx, stride, dilation, before, tile, part, parts):
    """dx[c,h,v,n] = Σ_ors w[o,c,r,s] dy[o,p,q,n]  over the taps with p*stride + r*dilation - before = h"""
    C, H, Wd, N = dx.shape
    O, P, Q, _ = dy.shape
    R, S = w.shape[2:]
    across = (N + width(tile) - 1) // width(tile)
    for t in range(H * across * part // parts, H * across * (part + 1) // parts):
        h, n = t // across, min(t % across * width(tile), N - width(tile))
        for v in range(Wd):
            for c0 in range(0, C, rows(tile)):
                c = min(c0, C - rows(tile))
                acc = zeros(tile)
                for r in range(R):
                    p = output_of(h + before[0] - r * dilation[0], stride[0], P)
                    if p >= 0:
                        for s in range(S):
                            q = output_of(v + before[1] - s * dilation[1], stride[1], Q)
                            if q >= 0:
                                for o in range(O):
                                    acc = rank1(acc, w, (o, c, r, s), (0, 1, 0, 0), dy, (o, p, q, n))
                store(acc, dx, (c, h, v, n), (1, 0, 0, 0))


@helper
def dweight_part(x, dy, dw, sums, stride, dilation, before, block, tile, part, parts):
    """dw[o,c,r,s] = Σ_pqn dy[o,p,q,n] x[c, p*stride + r*dilation - before, q*... + s*..., n]

    A tile is `rows` of o by `cols` of c, each a vector of partial sums. `sums` keeps those of
    all S taps of a kernel row, while `block` output pixels at a time stay in the first cache.
    """
    C, H, Wd, N = x.shape
    O, P, Q, _ = dy.shape
    R, S = dw.shape[2:]
    cols = width(tile) // W
    across = (C + cols - 1) // cols
    tasks = (O + rows(tile) - 1) // rows(tile) * across * R
    for t in range(tasks * part // parts, tasks * (part + 1) // parts):
        o = min(t // (across * R) * rows(tile), O - rows(tile))
        c = min(t // R % across * cols, C - cols)
        r = t % R
        for s in range(S):
            store(zeros(tile), sums, (part, s, 0, 0), (0, 0, 1, 0))
        p0, p1 = taps_on_image(r * dilation[0] - before[0], stride[0], H, P)
        for p in range(p0, p1):
            h = p * stride[0] + r * dilation[0] - before[0]
            for start in range(0, Q, block):
                for s in range(S):
                    shift = s * dilation[1] - before[1]
                    q0, q1 = taps_on_image(start * stride[1] + shift, stride[1], Wd, min(block, Q - start))
                    # At stride 1 neighbouring pixels lie side by side in both arrays: one long run.
                    runs, length = (1, (q1 - q0) * N) if stride[1] == 1 else (q1 - q0, N)
                    whole = length - length % W
                    acc = load(tile, sums, (part, s, 0, 0), (0, 0, 1, 0))
                    for q in range(start + q0, start + q0 + runs):
                        v = q * stride[1] + shift
                        for n in range(0, whole, W):
                            acc = dots(acc, dy, (o, p, q, n), (1, 0, 0, 0), x, (c, h, v, n), (1, 0, 0, 0))
                    store(acc, sums, (part, s, 0, 0), (0, 0, 1, 0))
                    if whole < length:
                        for q in range(start + q0, start + q0 + runs):
                            add_rest(
                                x, dy, sums[part, s], o, c, p, q, h, q * stride[1] + shift, whole, length
                            )
        for s in range(S):
            acc = load(tile, sums, (part, s, 0, 0), (0, 0, 1, 0))
            store_sums(acc, dw, (o, c, r, s), (1, 0, 0, 0), (0, 1, 0, 0))


@helper
def dweight_few_part(x, dy, dw, stride, dilation, top, tile, part, parts):
    """The same for one or two input channels: `rows` of o by all S taps of a kernel row.

    x has its columns padded, so that every tap of every pixel is there.
    """
    C, H, _, N = x.shape
    O, P, Q, _ = dy.shape
    R = dw.shape[2]
    whole = N - N % W
    tasks = (O + rows(tile) - 1) // rows(tile) * C * R
    for t in range(tasks * part // parts, tasks * (part + 1) // parts):
        o = min(t // (C * R) * rows(tile), O - rows(tile))
        c, r = t // R % C, t % R
        acc = zeros(tile)
        p0, p1 = taps_on_image(r * dilation[0] - top, stride[0], H, P)
        for p in range(p0, p1):
            h = p * stride[0] + r * dilation[0] - top
            for q in range(Q):
                for n in range(0, whole, W):
                    acc = dots(
                        acc,
                        dy,
                        (o, p, q, n),
                        (1, 0, 0, 0),
                        x,
                        (c, h, q * stride[1], n),
                        (0, 0, dilation[1], 0),
                    )
        store_sums(acc, dw, (o, c, r, 0), (1, 0, 0, 0), (0, 0, 0, 1))


@helper
def add_rest(x, dy, sums, o, c, p, q, h, v, whole, length):
    """The last elements of a run, fewer than a vector, into lane 0 of their sums."""
    for m in range(sums.shape[0]):
        for j in range(sums.shape[1] // W):
            for n in range(whole, length):
                sums[m, j * W] += dy[o + m, p, q, n] * x[c + j, h, v, n]


@helper
def row_sums_part(a, total, part, parts):
    """total[i] = Σ a[i, :]: the bias's gradient."""
    for i in range(a.shape[0] * part // parts, a.shape[0] * (part + 1) // parts):
        line = a[i]
        sum_of_line = a.dtype.type(0)
        for j in range(line.size):
            sum_of_line += line[j]
        total[i] = sum_of_line


@kernel
def forward(x, w, b, y, stride, dilation, before, rectify, tile):
    fork(forward_part, (x, w, b, y, stride, dilation, before, rectify, tile))


@kernel
def dx(dy, w, out, stride, dilation, before, tile):
    fork(dx_part, (dy, w, out, stride, dilation, before, tile))


@kernel
def dweight(x, dy, dw, sums, stride, dilation, before, block, tile):
    fork(dweight_part, (x, dy, dw, sums, stride, dilation, before, block, tile))


@kernel
def dweight_few(x, dy, dw, stride, dilation, top, tile):
    fork(dweight_few_part, (x, dy, dw, stride, dilation, top, tile))


@kernel
def row_sums(a, total):
    fork(row_sums_part, (a, total))

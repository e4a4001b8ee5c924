"""Pooling. Arrays are seen as (A, H, W, V): images or channels, rows, columns, and what a vector runs over.

So one kernel serves every order of storage: CHWN is (C, H, W, N), NHWC is (N, H, W, C), and NCHW is
(N*C, H, W, 1). Which input won a maximum is kept as one byte, its place r*S + s in the kernel.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.threads import fork


@helper
def take_larger(x, y, won, place):
    """Where x > y, or x is NaN: y = x, won = place. Among equals the first stays."""
    for i in range(x.size):
        v, best, before = x[i], y[i], won[i]
        wins = v > best or v != v
        y[i] = v if wins else best
        won[i] = place if wins else before


@helper
def max_part(x, y, won, stride, dilation, before, kernel_size, part, parts):
    """y[a,p,q] = max_rs x[a, p*stride + r*dilation - before, q*... + s*...]"""
    A, P, Q = y.shape[:3]
    H, Wd = x.shape[1:3]
    R, S = kernel_size
    for t in range(A * P * part // parts, A * P * (part + 1) // parts):
        a, p = t // P, t % P
        for q in range(Q):
            best, place = y[a, p, q], won[a, p, q]
            best[:] = -np.inf
            place[:] = 0
            for r in range(R):
                h = p * stride[0] + r * dilation[0] - before[0]
                if 0 <= h < H:
                    for s in range(S):
                        v = q * stride[1] + s * dilation[1] - before[1]
                        if 0 <= v < Wd:
                            take_larger(x[a, h, v], best, place, np.uint8(r * S + s))


@helper
def max_2x2_part(x, y, won, part, parts):
    """The same for windows of 2 x 2 side by side: everything is read once."""
    A, P, Q, V = y.shape
    for t in range(A * P * part // parts, A * P * (part + 1) // parts):
        a, p = t // P, t % P
        for q in range(Q):
            x0, x1 = x[a, 2 * p, 2 * q], x[a, 2 * p, 2 * q + 1]
            x2, x3 = x[a, 2 * p + 1, 2 * q], x[a, 2 * p + 1, 2 * q + 1]
            best, place = y[a, p, q], won[a, p, q]
            for i in range(V):  # as in take_larger
                m, k = x0[i], np.uint8(0)
                v = x1[i]
                m, k = (v, np.uint8(1)) if v > m or v != v else (m, k)
                v = x2[i]
                m, k = (v, np.uint8(2)) if v > m or v != v else (m, k)
                v = x3[i]
                m, k = (v, np.uint8(3)) if v > m or v != v else (m, k)
                best[i] = m
                place[i] = k


@helper
def route(dy, y, won, place, rectified, dx):
    """dx = dy where this place won, else 0; if the input came from a ReLU, also 0 unless y > 0"""
    zero = dy.dtype.type(0)
    for i in range(dy.size):
        g, k = dy[i], won[i]
        if rectified:
            g = g if y[i] > zero else zero
        dx[i] = g if k == place else zero


@helper
def add_route(dy, won, place, first, dx):
    """dx += dy where this place won; dx = that at first"""
    zero = dy.dtype.type(0)
    for i in range(dy.size):
        g, k = dy[i], won[i]
        before = zero if first else dx[i]
        dx[i] = before + (g if k == place else zero)


@helper
def max_2x2_dx_part(dy, y, won, rectified, dx, part, parts):
    A, P, Q = dy.shape[:3]
    for t in range(A * P * part // parts, A * P * (part + 1) // parts):
        a, p = t // P, t % P
        for q in range(Q):
            g, m, k = dy[a, p, q], y[a, p, q], won[a, p, q]
            for place in range(4):
                route(g, m, k, np.uint8(place), rectified, dx[a, 2 * p + place // 2, 2 * q + place % 2])
        # An odd last row or column belongs to no window.
        for q in range(2 * Q, dx.shape[2]):
            dx[a, 2 * p, q, :] = 0
            dx[a, 2 * p + 1, q, :] = 0
        if p == P - 1:
            dx[a, 2 * P :] = 0


@helper
def max_dx_part(dy, won, stride, dilation, before, kernel_size, dx, part, parts):
    """dx[a,h,v] = Σ dy[a,p,q] over the windows that (h, v) won: every pixel gathers from the windows that hold it"""
    A, P, Q = dy.shape[:3]
    H, Wd = dx.shape[1:3]
    R, S = kernel_size
    for t in range(A * H * part // parts, A * H * (part + 1) // parts):
        a, h = t // H, t % H
        for v in range(Wd):
            out = dx[a, h, v]
            first = True
            for r in range(R):
                p = (h + before[0] - r * dilation[0]) // stride[0]
                if 0 <= p < P and p * stride[0] == h + before[0] - r * dilation[0]:
                    for s in range(S):
                        q = (v + before[1] - s * dilation[1]) // stride[1]
                        if 0 <= q < Q and q * stride[1] == v + before[1] - s * dilation[1]:
                            add_route(dy[a, p, q], won[a, p, q], np.uint8(r * S + s), first, out)
                            first = False
            if first:  # in no window
                out[:] = 0


@helper
def average_part(x, share, y, rows, cols, part, parts):
    """y[a,p,q] = share[p,q] Σ x[a,h,v] over h in rows[p] = (start, stop) and v in cols[q]"""
    A, P, Q, V = y.shape
    for t in range(A * P * part // parts, A * P * (part + 1) // parts):
        a, p = t // P, t % P
        for q in range(Q):
            total, weight = y[a, p, q], share[p, q]
            total[:] = 0
            for h in range(rows[p, 0], rows[p, 1]):
                for v in range(cols[q, 0], cols[q, 1]):
                    value = x[a, h, v]
                    for i in range(V):
                        total[i] += value[i] * weight


@helper
def average_dx_part(dy, share, dx, rows, cols, tiling, part, parts):
    """dx[a,h,v] = Σ share[p,q] dy[a,p,q] over the bins that hold (h, v); exactly one where they tile the image"""
    A, P, Q, V = dy.shape
    for a in range(A * part // parts, A * (part + 1) // parts):
        if not tiling:
            dx[a] = 0
        for p in range(P):
            for q in range(Q):
                g, weight = dy[a, p, q], share[p, q]
                for h in range(rows[p, 0], rows[p, 1]):
                    for v in range(cols[q, 0], cols[q, 1]):
                        out = dx[a, h, v]
                        if tiling:
                            for i in range(V):
                                out[i] = g[i] * weight
                        else:
                            for i in range(V):
                                out[i] += g[i] * weight


@kernel
def max_2x2(x, y, won):
    fork(max_2x2_part, (x, y, won))


@kernel
def max_any(x, y, won, stride, dilation, before, kernel_size):
    fork(max_part, (x, y, won, stride, dilation, before, kernel_size))


@kernel
def max_2x2_dx(dy, y, won, rectified, dx):
    fork(max_2x2_dx_part, (dy, y, won, rectified, dx))


@kernel
def max_any_dx(dy, won, stride, dilation, before, kernel_size, dx):
    fork(max_dx_part, (dy, won, stride, dilation, before, kernel_size, dx))


@kernel
def average(x, share, y, rows, cols):
    fork(average_part, (x, share, y, rows, cols))


@kernel
def average_dx(dy, share, dx, rows, cols, tiling):
    fork(average_dx_part, (dy, share, dx, rows, cols, tiling))

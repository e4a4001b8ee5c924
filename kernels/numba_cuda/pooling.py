"""Max pooling, forward and backward: beside ../cuda/max_pool.cu."""

from __future__ import annotations

import math

from numba import cuda


@cuda.jit
def max_pool(x, y, won, kernel, stride):  # type: ignore[no-untyped-def]
    """y (N, C, P, Q), the largest of every window of x, and won: which place r*S + s it came from."""
    N, C, P, Q = y.shape
    R, S = kernel
    for i in range(cuda.grid(1), N * C * P * Q, cuda.gridsize(1)):
        n, c, p, q = i // (C * P * Q), i // (P * Q) % C, i // Q % P, i % Q
        best, place = x.dtype.type(-math.inf), 0
        for r in range(R):
            for s in range(S):
                value = x[n, c, p * stride + r, q * stride + s]
                if value > best:  # strictly: the first of equal values stays
                    best, place = value, r * S + s
        y[n, c, p, q] = best
        won[n, c, p, q] = place


@cuda.jit
def max_pool_backward(dy, won, dx, kernel, stride):  # type: ignore[no-untyped-def]
    """Every pixel asks the windows that saw it whether it won there: no atomics, the same sums every time."""
    N, C, H, W = dx.shape
    _, _, P, Q = dy.shape
    R, S = kernel
    for i in range(cuda.grid(1), N * C * H * W, cuda.gridsize(1)):
        n, c, h, w = i // (C * H * W), i // (H * W) % C, i // W % H, i % W
        total = dy.dtype.type(0)
        for r in range(R):
            for s in range(S):
                p, q = (h - r) // stride, (w - s) // stride
                on_top = h >= r and w >= s and (h - r) % stride == 0 and (w - s) % stride == 0
                if on_top and p < P and q < Q and won[n, c, p, q] == r * S + s:
                    total += dy[n, c, p, q]
        dx[n, c, h, w] = total

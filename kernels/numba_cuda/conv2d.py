"""Convolution straight from its definition: one thread an output, no shared memory. The first rung of the ladder."""

from __future__ import annotations

from numba import cuda


@cuda.jit
def conv2d(x, weight, bias, y, stride, padding):  # type: ignore[no-untyped-def]
    """y[n, o, p, q] = bias[o] + sum over c, r, s of weight[o, c, r, s] x[n, c, p*stride + r - padding, ...].

    x (N, C, H, W), weight (O, C, R, S), bias (O,) -> y (N, O, P, Q). Neighbouring threads are
    neighbouring q: they read neighbouring pixels, and the same weight.
    """
    _, C, H, W = x.shape
    O, _, R, S = weight.shape
    N, _, P, Q = y.shape
    for i in range(cuda.grid(1), N * O * P * Q, cuda.gridsize(1)):
        n, o, p, q = i // (O * P * Q), i // (P * Q) % O, i // Q % P, i % Q
        total = bias[o]
        for c in range(C):
            for r in range(R):
                h = p * stride + r - padding
                if h < 0 or h >= H:
                    continue
                for s in range(S):
                    w = q * stride + s - padding
                    if 0 <= w < W:
                        total += weight[o, c, r, s] * x[n, c, h, w]
        y[n, o, p, q] = total

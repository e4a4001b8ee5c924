"""im2col and col2im: beside ../cuda/im2col.cu and ../cuda/col2im.cu.

    columns[(c, r, s), (n, p, q)] = x[n, c, p*stride + r - padding, q*stride + s - padding], 0 outside

Launched as kernel[blocks, threads](...). Any number of threads does: each takes every
gridsize-th element.
"""

from __future__ import annotations

from numba import cuda


@cuda.jit
def im2col(x, columns, kernel, stride, padding):  # type: ignore[no-untyped-def]
    """x (N, C, H, W) -> columns (C R S, N P Q). A thread an element of columns. kernel is (R, S)."""
    N, C, H, W = x.shape
    R, S = kernel
    P, Q = (H + 2 * padding - R) // stride + 1, (W + 2 * padding - S) // stride + 1
    for i in range(cuda.grid(1), C * R * S * N * P * Q, cuda.gridsize(1)):
        row, column = i // (N * P * Q), i % (N * P * Q)
        c, r, s = row // (R * S), row // S % R, row % S
        n, p, q = column // (P * Q), column // Q % P, column % Q
        h, w = p * stride + r - padding, q * stride + s - padding
        if 0 <= h < H and 0 <= w < W:
            columns[row, column] = x[n, c, h, w]
        else:
            columns[row, column] = 0


@cuda.jit
def col2im(columns, dx, kernel, stride, padding):  # type: ignore[no-untyped-def]
    """The transpose: columns (C R S, N P Q) -> dx (N, C, H, W). A thread a pixel, which gathers: no atomics."""
    N, C, H, W = dx.shape
    R, S = kernel
    P, Q = (H + 2 * padding - R) // stride + 1, (W + 2 * padding - S) // stride + 1
    for i in range(cuda.grid(1), N * C * H * W, cuda.gridsize(1)):
        n, c, h, w = i // (C * H * W), i // (H * W) % C, i // W % H, i % W
        total = columns.dtype.type(0)
        for r in range(R):
            above = h + padding - r
            if above < 0 or above % stride != 0 or above // stride >= P:
                continue
            for s in range(S):
                left = w + padding - s
                if left < 0 or left % stride != 0 or left // stride >= Q:
                    continue
                total += columns[(c * R + r) * S + s, (n * P + above // stride) * Q + left // stride]
        dx[n, c, h, w] = total

"""Bytes to network input in one pass: picked out, padded, repeated, scaled. Serial, for the loader's threads."""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.compiler import kernel


@kernel
def normalize(x, rows, scale, shift, padding, y):
    """y[n,c] = x[rows[n], c] * scale[c] - shift[c], as if `padding` zeros stood around x.

    x (M, C or 1, H, W) uint8; rows (N,); scale, shift (C,) float32; y (N, C, H + 2 padding, W + 2 padding)
    float32. Of one channel in x there are copies in y.
    """
    N, C, P, Q = y.shape
    own, H, W = x.shape[1:]
    given, out = x.reshape(x.size), y.reshape(y.size)
    if padding > 0:
        for n in range(N):
            for c in range(C):
                y[n, c] = -shift[c]
    # Without padding a plane is one long row.
    lines, length = (1, H * W) if padding == 0 else (H, W)
    for n in range(N):
        for c in range(C):
            plane = (rows[n] * own + min(c, own - 1)) * H * W
            a, b = scale[c], shift[c]
            for i in range(lines):
                # Unsigned: a signed index could count from the end, which would be tested for every pixel.
                start = np.uint64(plane + i * length)
                to = np.uint64(((n * C + c) * P + padding + i) * Q + padding)
                for k in range(np.uint64(length)):
                    out[to + k] = np.float32(given[start + k]) * a - b

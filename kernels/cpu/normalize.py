"""Bytes to network input in one pass: picked out, padded, repeated, scaled. Serial, for the loader's threads."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minicnn.kernels.cpu.compiler import kernel

LINE = 64  # bytes in a cache line


@intrinsic
def prefetch(typing: Any, array: types.Array, index: types.Integer) -> Any:
    """Ask for the cache line of array[index], one-dimensional and contiguous, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        data = builder.bitcast(builder.gep(data, [args[1]]), cgutils.voidptr_t)
        flag = ir.IntType(32)
        fetch = builder.module.declare_intrinsic(
            "llvm.prefetch",
            [cgutils.voidptr_t],
            ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, flag, flag, flag]),
        )
        builder.call(fetch, [data, flag(0), flag(3), flag(1)])  # to read, into every cache, data
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@kernel
def normalize(x, rows, scale, shift, padding, y):
    """y[n,c] = x[rows[n], c] * scale[c] - shift[c], as if `padding` zeros stood around x.

    x (M, C or 1, H, W) uint8; rows (N,); scale, shift (C,) float32; y (N, C, H + 2 padding, W + 2 padding)
    float32. Of one channel in x there are copies in y. False, and nothing done, where a row is not one of x.
    """
    N, C, P, Q = y.shape
    M, own, H, W = x.shape
    for n in range(N):
        if rows[n] < 0 or rows[n] >= M:
            return False
    given, out = x.reshape(x.size), y.reshape(y.size)
    if padding > 0:
        for n in range(N):
            for c in range(C):
                y[n, c] = -shift[c]
    # Without padding a plane is one long row.
    lines, length = (1, H * W) if padding == 0 else (H, W)
    size = own * H * W
    for n in range(N):
        if n + 1 < N:
            # Shuffled images lie anywhere in memory: the next one is on its way while this one is worked on
            # (a batch of 128 of 60,000 images in 45 us instead of 65).
            next_image = rows[n + 1] * size
            for i in range(next_image, next_image + size, LINE):
                prefetch(given, i)
        for c in range(C):
            plane = rows[n] * size + min(c, own - 1) * H * W
            a, b = scale[c], shift[c]
            for i in range(lines):
                # Unsigned: a signed index could count from the end, which would be tested for every pixel.
                start = np.uint64(plane + i * length)
                to = np.uint64(((n * C + c) * P + padding + i) * Q + padding)
                for k in range(np.uint64(length)):
                    out[to + k] = np.float32(given[start + k]) * a - b
    return True

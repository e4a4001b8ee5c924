"""Kernels on single elements: plain loops, which LLVM vectorises. All arrays are flat, in storage order."""

from __future__ import annotations

from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.threads import fork


@helper
def share(x, part, parts):
    """This part's slice of a flat array. Loops over it start at 0, which LLVM needs to vectorise them."""
    return x[x.size * part // parts : x.size * (part + 1) // parts]


@helper
def relu_part(x, y, part, parts):
    """y = max(x, 0); NaN stays NaN"""
    x, y = share(x, part, parts), share(y, part, parts)
    zero = x.dtype.type(0)
    for i in range(x.size):
        v = x[i]
        y[i] = zero if v < zero else v


@kernel
def relu(x, y):
    fork(relu_part, (x, y))


@helper
def where_positive_part(dy, y, dx, part, parts):
    """dx = dy where y > 0, else 0: ReLU's backward"""
    dy, y, dx = share(dy, part, parts), share(y, part, parts), share(dx, part, parts)
    zero = dy.dtype.type(0)
    for i in range(y.size):
        g = dy[i]  # loaded before the test, or the loop is not vectorised
        dx[i] = g if y[i] > zero else zero


@kernel
def where_positive(dy, y, dx):
    fork(where_positive_part, (dy, y, dx))


@helper
def masked_part(x, kept, scale, y, part, parts):
    """y = scale x where kept, else 0: dropout, forward and backward"""
    x, kept, y = share(x, part, parts), share(kept, part, parts), share(y, part, parts)
    zero = x.dtype.type(0)
    for i in range(x.size):
        v = x[i] * scale
        y[i] = v if kept[i] else zero


@kernel
def masked(x, kept, scale, y):
    fork(masked_part, (x, kept, scale, y))


@helper
def add_part(a, b, y, part, parts):
    """y = a + b: where a fork's gradients meet"""
    a, b, y = share(a, part, parts), share(b, part, parts), share(y, part, parts)
    for i in range(a.size):
        y[i] = a[i] + b[i]


@kernel
def add(a, b, y):
    fork(add_part, (a, b, y))

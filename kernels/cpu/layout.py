"""How arrays lie in memory: the order in which their axes are stored.

Every array of minicnn has the shape (N, C, H, W), or (N, D), whatever its storage. Kernels work on
the storage, as a C-contiguous array whose axes are in stored order:

    CHWN  the batch innermost: a vector holds one pixel of 16 images. Any number of channels will do.
    NHWC  the channels innermost: a vector holds 16 channels of one pixel. Any batch will do.
    NCHW  as NumPy and data sets store images.

    stored = arrange(x, CHWN)      a view where x is stored so already, else a copy from the pool
    y = as_nchw(stored, CHWN)      the same memory under the shape (N, C, H, W)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.simd import W
from minicnn.kernels.cpu.squares import SQUARE, turn
from minicnn.kernels.cpu.threads import fork
from minicnn.kernels.memory import empty

Order = tuple[int, ...]  # x.transpose(order) is what lies in memory

CHWN, NHWC, NCHW = (1, 2, 3, 0), (0, 2, 3, 1), (0, 1, 2, 3)
DN, ND = (1, 0), (0, 1)  # (N, D): features first, or rows first

_KNOWN: dict[int, tuple[Order, ...]] = {4: (CHWN, NHWC, NCHW), 2: (DN, ND)}
_INVERSE = {
    order: tuple(order.index(axis) for axis in range(len(order))) for order in (CHWN, NHWC, NCHW, DN, ND)
}


def order_of(x: np.ndarray) -> Order | None:
    """The order in which x is stored without gaps; None if there is none (slices, negative strides)."""
    for order in _KNOWN.get(x.ndim, ()):
        if x.transpose(order).flags.c_contiguous:
            return order
    return tuple(range(x.ndim)) if x.flags.c_contiguous else None


def arrange(x: np.ndarray, order: Order) -> np.ndarray:
    """x in the given order of storage, C-contiguous: a view of x where that can be, else a copy."""
    wanted = x.transpose(order)
    flags = wanted.flags
    if flags.c_contiguous and flags.aligned and flags.writeable:  # Numba compiles read-only arrays separately
        return wanted
    stored = empty(wanted.shape, x.dtype)
    copy_into(x, stored, order)
    return stored


def as_rows(x: np.ndarray) -> np.ndarray:
    """x (N, C, H, W) as rows of pixels, (N*H*W, C or more), of which the first C numbers are x's.

    A view where x is stored channels-last, or is a slice of channels of such an array (then rows go on beyond
    x's channels, and the last one beyond the array: look at C numbers only); else a copy from the pool.
    """
    pixels = x.transpose(NHWC)
    n, h, w, c = pixels.shape
    flags = pixels.flags
    if flags.c_contiguous and flags.aligned and flags.writeable:
        return pixels.reshape(n * h * w, c)
    row = pixels.strides[2]
    if (
        pixels.strides == (h * w * row, w * row, row, x.itemsize)
        and row % x.itemsize == 0
        and row >= c * x.itemsize
        and x.flags.aligned
        and x.flags.writeable
    ):
        return as_strided(pixels, (n * h * w, row // x.itemsize), (row, x.itemsize))
    return arrange(x, NHWC).reshape(-1, c)


def as_nchw(stored: np.ndarray, order: Order) -> np.ndarray:
    """The inverse of arrange, as a view."""
    return stored.transpose(_INVERSE.get(order) or tuple(np.argsort(order)))


def copy_into(x: np.ndarray, stored: np.ndarray, order: Order) -> None:
    """stored = x in the given order, by the fast kernel where x is one of the known orders."""
    source = order_of(x) if x.dtype == np.float32 and x.size else None
    if source is not None and source != order and x.ndim in _KNOWN:
        groups, outer, middle, inner = _as_swap(x.shape, source, order)
        swap(
            x.transpose(source).reshape(groups, outer, middle, inner),
            stored.reshape(groups, inner, middle, outer),
            SQUARE,
        )
    else:
        np.copyto(stored, x.transpose(order))


def _as_swap(shape: tuple[int, ...], source: Order, target: Order) -> tuple[int, int, int, int]:
    """(G, A, P, B) such that source storage seen as [g, a, p, b] is target storage as [g, b, p, a]."""
    if len(shape) == 2:
        first, second = (shape[axis] for axis in source)
        return 1, first, 1, second
    n, c, pixels = shape[0], shape[1], math.prod(shape[2:])
    return {
        (NCHW, CHWN): (1, n, 1, c * pixels),
        (CHWN, NCHW): (1, c * pixels, 1, n),
        (NHWC, CHWN): (1, n, pixels, c),
        (CHWN, NHWC): (1, c, pixels, n),
        (NCHW, NHWC): (n, c, 1, pixels),
        (NHWC, NCHW): (n, pixels, 1, c),
    }[source, target]


LONG = 256  # numbers: a block of them and of where they go stay in L1


@helper
def swap_part(x, y, square, part, parts):
    """y[g, b, p, a] = x[g, a, p, b], in squares of W x W that are transposed in registers, or where one of the two
    is shorter than W (the colours of an image, say) number by number."""
    G, A, P, B = x.shape
    block = W if A >= W and B >= W else LONG
    blocks = (B + block - 1) // block
    tasks = G * P * blocks
    for t in range(tasks * part // parts, tasks * (part + 1) // parts):
        g = t // (P * blocks)
        p = t // blocks % P
        end = min(B, t % blocks * block + block)
        start = max(0, end - block)  # the last block is moved back and overlaps another
        turn(x[g, :, p, start:end], y[g, start:end, p], square)


@kernel
def swap(x, y, square):
    fork(swap_part, (x, y, square))

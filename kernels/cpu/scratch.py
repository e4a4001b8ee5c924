"""Scratch: the buffers that one call of a kernel needs and nobody sees afterwards.

Layers differ in how much they need, and a pool that kept a block for each of them would hold the sum
of all. So a call takes one block for everything, of a size rounded up to one of a few, which the
next call of another layer takes again.
"""

from __future__ import annotations

import math

import numpy as np

from minicnn.kernels.memory import empty

LINE = 16  # floats in a cache line: every piece starts on one
SMALLEST = 1 << 14  # floats


def carve(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Float32 arrays of the given shapes, uninitialised, cut from one block of the pool."""
    sizes = [-(-math.prod(shape) // LINE) * LINE for shape in shapes]
    block = empty((round_up(sum(sizes)),))
    starts = np.cumsum([0, *sizes])
    return [
        block[start : start + math.prod(shape)].reshape(shape)
        for start, shape in zip(starts.tolist(), shapes)
    ]


def round_up(floats: int) -> int:
    """The next of SMALLEST, 1.5 SMALLEST, 2 SMALLEST, 3 SMALLEST, 4 SMALLEST, ...: at most half as much again."""
    size = SMALLEST
    while size < floats:
        size *= 2
    return size * 3 // 4 if size * 3 // 4 >= floats and size > SMALLEST else size

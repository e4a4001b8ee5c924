"""Scratch: the buffers that one call of a kernel needs and nobody sees afterwards.

Layers differ in how much they need, and a pool that kept a block for each of them would hold the sum
of all. So a call takes everything in one piece, from one block as large as the largest call needs.
"""

from __future__ import annotations

import math

import numpy as np

from minicnn.kernels.memory import pool

LINE = 16  # floats in a cache line: every piece starts on one


def carve(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Float32 arrays of the given shapes, uninitialised, cut from one block."""
    sizes = [math.prod(shape) for shape in shapes]
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + -(-size // LINE) * LINE)
    block = pool().scratch(4 * starts[-1]).view(np.float32)
    return [block[start : start + size].reshape(shape) for start, size, shape in zip(starts, sizes, shapes)]

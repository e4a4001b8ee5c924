"""Scratch: the buffers that one call of a kernel needs and nobody sees afterwards.

Layers differ in how much they need, and a pool that kept a block for each of them would hold the sum
of all. So a call takes everything in one piece, from one block as large as the largest call needs.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from minicnn.kernels.memory import pool

LINE = 64  # bytes in a cache line: every piece starts on one


def carve(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Float32 arrays of the given shapes, uninitialised, cut from one block."""
    starts, size = _places(shapes)
    block = pool().scratch(size)
    return [np.ndarray(shape, np.float32, block, start) for shape, start in zip(shapes, starts)]


@lru_cache(maxsize=1024)
def _places(shapes: tuple[tuple[int, ...], ...]) -> tuple[list[int], int]:
    """Where each piece starts in the block, and the bytes of all."""
    starts = [0]
    for shape in shapes:
        starts.append(starts[-1] + -(-4 * math.prod(shape) // LINE) * LINE)
    return starts[:-1], starts[-1]

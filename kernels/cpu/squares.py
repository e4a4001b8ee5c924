"""Transposition, in squares that are turned in registers.

Number by number, one of the two sides is read or written a whole row apart each time. Rows of 2^k bytes, which
are usual, fall into the same few sets of the cache and push each other out before their line is used up.
In squares of W x W every line is read and written once, in whole vectors.
"""

from __future__ import annotations

from minicnn.kernels.cpu.compiler import helper
from minicnn.kernels.cpu.simd import Tile, W, load, store, transposed

SQUARE = Tile(W, 1)  # a kernel takes it as an argument, as all its tiles


@helper
def turn(source, target, square):
    """target[j, i] = source[i, j]. The last squares are moved back and overlap others."""
    height, breadth = source.shape
    if height >= W and breadth >= W:
        for i0 in range(0, height, W):
            i = min(i0, height - W)
            for j0 in range(0, breadth, W):
                j = min(j0, breadth - W)
                store(transposed(load(square, source, (i, j), (1, 0))), target, (j, i), (1, 0))
    else:
        for i in range(height):
            for j in range(breadth):
                target[j, i] = source[i, j]

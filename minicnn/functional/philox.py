"""Random bits as a pure function of a counter: Philox4x32-10.

Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3". Four 32-bit words of a
counter and a 64-bit key give four random words, with no state: every device and any
number of threads computes the same bits for the same position.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from minicnn.backend import Array

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)  # golden ratio and √3 - 1: the key's increments each round
_MASK = 0xFFFFFFFF


def philox4x32(counter: tuple[Array, Array, Array, Array], key: int, rounds: int = 10) -> tuple[Array, ...]:
    """Four words of 32 random bits per counter.

    counter: four uint64 arrays (or scalars) that hold 32-bit words; key: 64 bits.
    Each round multiplies two words to 64 bits, and mixes the halves with the key:
    (c0, c1, c2, c3) <- (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0)).
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key & _MASK, (key >> 32) & _MASK
    mask, half = np.uint64(_MASK), np.uint64(32)
    m0, m1 = (np.uint64(m) for m in _MULTIPLIERS)
    for _ in range(rounds):
        first, second = m0 * c0, m1 * c2  # 32 x 32 bits fit in 64
        c0, c1, c2, c3 = (
            (second >> half) ^ c1 ^ np.uint64(k0),
            second & mask,
            (first >> half) ^ c3 ^ np.uint64(k1),
            first & mask,
        )
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return c0, c1, c2, c3


def random_bits(xp: ModuleType, count: int, seed: int, offset: int) -> Array:
    """`count` uint32: element i is word i % 4 of the block with counter (i // 4, offset).

    seed is the 64-bit key; offset (64 bits) numbers the draws, so that each draw has bits of
    its own.
    """
    block = xp.arange(-(-count // 4), dtype=np.uint64)
    low, high = np.uint64(offset & _MASK), np.uint64((offset >> 32) & _MASK)
    zeros = xp.zeros(block.shape, dtype=np.uint64)
    words = philox4x32((block & np.uint64(_MASK), block >> np.uint64(32), zeros + low, zeros + high), seed)
    return xp.stack(words, axis=1).ravel()[:count].astype(np.uint32)

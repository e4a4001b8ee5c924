"""Dropout's mask: Philox4x32-10 (Salmon et al. 2011), the same bits as functional/philox.py.

Value i, counted in the logical order of the array (N first), gets word i % 4 of the block with
counter (i // 4, offset) and key seed.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.threads import fork

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
STEP0, STEP1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@helper
def kept_part(seed, offset, threshold, kept, part, parts):
    """kept[i] = (random word i >= threshold)"""
    blocks = (kept.size + 3) // 4
    for block in range(blocks * part // parts, blocks * (part + 1) // parts):
        c0, c1 = np.uint64(block) & LOW, np.uint64(block) >> HALF
        c2, c3 = offset & LOW, offset >> HALF
        k0, k1 = seed & LOW, seed >> HALF
        for _ in range(10):
            first, second = M0 * c0, M1 * c2
            c0, c1 = (second >> HALF) ^ c1 ^ k0, second & LOW
            c2, c3 = (first >> HALF) ^ c3 ^ k1, first & LOW
            k0, k1 = (k0 + STEP0) & LOW, (k1 + STEP1) & LOW
        i = 4 * block
        kept[i] = c0 >= threshold
        if i + 1 < kept.size:
            kept[i + 1] = c1 >= threshold
        if i + 2 < kept.size:
            kept[i + 2] = c2 >= threshold
        if i + 3 < kept.size:
            kept[i + 3] = c3 >= threshold


@kernel
def keep(seed, offset, threshold, kept):
    fork(kept_part, (seed, offset, threshold, kept))

"""The pool that arrays of activations, gradients and scratch come from.

A training step needs the same arrays each time. Fresh memory from the system has to be mapped
page by page at the first touch, which costs more than a ReLU; so blocks are kept and lent again.

    y = empty((128, 32, 28, 28))

lends a block as an ordinary NumPy array. The block is free again when nobody refers to it any
more: neither the array nor any view of it. That is seen from the block's reference count, so
nothing has to be given back by hand, and an array that somebody still holds is never lent twice.
Each thread has a pool of its own.
"""

from __future__ import annotations

import bisect
import math
import threading
from sys import getrefcount
from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes: a cache line, and a vector of AVX-512
_SLACK = 1.25  # a block may serve a smaller array if at most this much larger


class Pool:
    """Blocks by size. `misses` counts the requests that needed fresh memory from the system."""

    def __init__(self) -> None:
        self.blocks: dict[int, list[np.ndarray]] = {}  # size in bytes -> blocks of that size
        self.scratch_blocks: list[np.ndarray] = []
        self.misses = 0
        self._sizes: list[int] = []  # of blocks, sorted
        self._returned: set[int] = set()  # sizes that were given back to the system
        self._regretted: set[int] = set()  # those of them that were wanted again: not given back any more

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        """An array with arbitrary contents."""
        need = math.prod(shape) * np.dtype(dtype).itemsize
        block = self._free_of(need)
        if block is None:
            block = self._larger(need)
        return np.ndarray(shape, dtype, self._fresh(need) if block is None else block)

    def _free_of(self, size: int) -> np.ndarray | None:
        """A free block of this size, which becomes the last of them.

        Looked for from both ends: the first was lent longest ago, in the step before, and a forward pass finds it
        free; a backward pass finds the last ones free, in the reverse order of lending.
        """
        blocks = self.blocks.get(size, ())
        first, last = 0, len(blocks) - 1
        while first <= last:
            if getrefcount(blocks[first]) == _FREE:
                blocks.append(blocks.pop(first))
                return blocks[-1]
            if getrefcount(blocks[last]) == _FREE:
                blocks.append(blocks.pop(last))
                return blocks[-1]
            first, last = first + 1, last - 1
        return None

    def _larger(self, need: int) -> np.ndarray | None:
        """A free block that is a little larger than wanted, the smallest of them."""
        sizes = self._sorted_sizes
        for place in range(bisect.bisect_right(sizes, need), bisect.bisect_right(sizes, need * _SLACK)):
            block = self._free_of(sizes[place])
            if block is not None:
                return block
        return None

    @property
    def _sorted_sizes(self) -> list[int]:
        if len(self._sizes) != len(self.blocks):
            self._sizes = sorted(self.blocks)
        return self._sizes

    def _fresh(self, need: int) -> np.ndarray:
        self.misses += 1
        self._regretted |= {size for size in self._returned if need <= size <= need * _SLACK}
        self._give_back_surplus(need)
        block = _new_block(need)
        self.blocks.setdefault(need, []).append(block)
        self._sizes = []
        return block

    def scratch(self, size: int) -> np.ndarray:
        """`size` bytes for the inside of one call: one block serves all layers, as large as the largest needs.

        A call inside another call gets a second one.
        """
        places = _free_places(self.scratch_blocks)
        for place in places:
            if len(self.scratch_blocks[place]) >= size:
                return np.ndarray((size,), np.uint8, self.scratch_blocks[place])
        self.misses += 1
        for place in reversed(places):  # one that is large enough takes the place of those that were not
            del self.scratch_blocks[place]
        self.scratch_blocks = sorted([*self.scratch_blocks, _new_block(size)], key=len)
        return self.scratch(size)

    def _give_back_surplus(self, need: int) -> None:
        """Before growing: return free blocks to the system while they outweigh what is in use.

        So a pass over larger batches, such as an evaluation, does not keep its memory for ever. What was given back
        and wanted again, as in a training step that needs some sizes early and others late, stays.
        """
        free = [
            block
            for size, blocks in self.blocks.items()
            if size not in self._regretted
            for block in _free(blocks)
        ]
        surplus = sum(block.nbytes for block in free) - (self.total_bytes + need) // 2
        for block in sorted(free, key=lambda block: -block.nbytes):
            if surplus <= 0:
                break
            surplus -= block.nbytes
            self._returned.add(block.nbytes)
            kept = [other for other in self.blocks[block.nbytes] if other is not block]
            self.blocks[block.nbytes] = kept
            if not kept:
                del self.blocks[block.nbytes]
                self._sizes = []

    @property
    def total_bytes(self) -> int:
        """Bytes of all blocks, lent or free."""
        scratch = sum(len(block) for block in self.scratch_blocks)
        return scratch + sum(size * len(blocks) for size, blocks in self.blocks.items())

    def free_blocks(self) -> list[np.ndarray]:
        """The blocks that nobody refers to. For tests, which fill them with NaN."""
        kept = [*self.blocks.values(), self.scratch_blocks]
        return [block for blocks in kept for block in _free(blocks)]


def _new_block(size: int) -> np.ndarray:
    raw = np.empty(size + ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    # A memoryview between the two, so that views refer to this block and not to `raw`.
    return np.frombuffer(memoryview(raw)[start : start + size], dtype=np.uint8)


def _free_places(blocks: list[np.ndarray]) -> list[int]:
    return [place for place in range(len(blocks)) if getrefcount(blocks[place]) == _FREE]


def _free(blocks: list[np.ndarray]) -> list[np.ndarray]:
    return [blocks[place] for place in _free_places(blocks)]


def _references_to_a_free_block() -> int:
    """Those of a block that only a list refers to, counted as the functions above do."""
    blocks = [np.empty(0, dtype=np.uint8)]
    return getrefcount(blocks[0])


_FREE = _references_to_a_free_block()


_local = threading.local()


def pool() -> Pool:
    """The calling thread's pool."""
    try:
        return _local.pool
    except AttributeError:
        _local.pool = Pool()
        return _local.pool


def empty(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """An array from the calling thread's pool, with arbitrary contents."""
    return pool().empty(shape, dtype)


def zeros(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    """An array of zeros from the calling thread's pool."""
    array = empty(shape, dtype)
    array.fill(0)
    return array

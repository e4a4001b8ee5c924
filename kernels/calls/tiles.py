"""Which register tile for which extent."""

from __future__ import annotations

from functools import lru_cache

from minicnn.kernels.cpu.lanes import LANES
from minicnn.kernels.cpu.tile import Tile

# AVX-512 has 32 vector registers, AVX2 and SSE 16. A tile of 6 x 4 vectors leaves room for the
# run of b and the number that multiplies it; one of 6 x 2 does so with 16 registers.
COLS = 4 if LANES == 16 else 2


@lru_cache
def tile(rows: int, cols: int) -> Tile:
    return Tile(rows, cols)


@lru_cache
def outer(channels: int, batch: int) -> Tile:
    """For rank1: rows of channels by a run of the batch. 6 rows, or 4 where that covers them with less waste."""
    if channels < 6:
        rows = channels
    else:
        rows = 4 if -(-channels // 4) * 4 * 1.06 < -(-channels // 6) * 6 else 6
    cols = next(cols for cols in (COLS, COLS // 2, 1) if batch >= cols * LANES or cols == 1)
    return tile(rows, max(cols, 1))


@lru_cache
def inner(left: int, right: int) -> Tile:
    """For dots: rows by cols of inner products, about 4 x 6 (2 x 4 with 16 registers)."""
    rows, most = (4, 6) if LANES == 16 else (2, 4)
    rows = min(left, rows)
    if right <= most:
        return tile(rows, right)
    # The width that covers `right` with the least waste. A wider one loads less, and each is one to compile.
    return tile(
        rows, min(range(most, 2, -1), key=lambda cols: -(-right // cols) * cols * (1 + 0.02 * (most - cols)))
    )


@lru_cache
def taps(out_channels: int, kernel_width: int) -> Tile:
    """For dots over the taps of a kernel row: rows of output channels by all taps."""
    rows = 4 if out_channels % 4 == 0 and LANES == 16 else 3
    return tile(min(out_channels, rows if LANES == 16 else 2), kernel_width)

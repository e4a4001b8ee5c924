"""The 36 matrix products of Winograd's convolution, on the register tile: see winograd.

Long sums are cut into runs that are summed by themselves, since rounding errors grow with the length of a run, and
most of this convolution's are in these sums: the 36 products are larger than the result. Of 256 channels, runs of
128, 64 and 32 leave an error of 9e-7, 7e-7 and 5.5e-7 of the output. From 64 to 32, ResNet-18 became no slower and
VGG-16 by 2%.
"""

from __future__ import annotations

from minicnn.kernels.cpu.compiler import helper
from minicnn.kernels.cpu.simd import plus, rank1, rows, store, width, zeros

TILES_IN_L1 = 64  # tiles whose two runs of channels stay in L1 while the weight gradient goes through a block
RUN = 32  # channels that are summed up by themselves


@helper
def products_part(v, u, m, tiles, channels, some, outputs, tile, part, parts):
    """m (+)= v @ u in each plane, [tiles, C] @ [C, O], for u in blocks of one register tile's width.

    some: the channels that u holds, from, to and whether they are the first to be summed up in m.
    """
    blocks = outputs // width(tile)
    begin, end, fresh = some
    for task in range(36 * blocks * part // parts, 36 * blocks * (part + 1) // parts):
        k, ob = task // blocks, task % blocks
        o = ob * width(tile)
        for t in range(0, tiles, rows(tile)):  # the last one may hang over: v and m have room
            at = (k, t * outputs + o)
            for first in range(begin, end, RUN):
                acc = zeros(tile)
                for c in range(first, min(end, first + RUN), 4):
                    for i in range(4):
                        b = o * (end - begin) + (c + i - begin) * width(tile)
                        acc = rank1(acc, v, (k, t * channels + c + i), (0, channels), u, (k, b))
                new = fresh and first == begin
                store(acc if new else plus(acc, m, at, (0, outputs)), m, at, (0, outputs))


@helper
def product_gradients_part(v, d, du, tiles, shape, o0, outputs, first, tile, part, parts):
    """du (+)= vᵀ @ d in each plane, [C, tiles] @ [tiles, O], for `outputs` columns of d from o0 on.

    v is in blocks of `shape`, d in blocks of one tile's width: so both lie in one piece for the tiles that are
    gone through, and fill L1 evenly.
    """
    v_blocks, room, block = shape
    blocks = outputs // width(tile)
    for task in range(36 * blocks * part // parts, 36 * blocks * (part + 1) // parts):
        k, o = task // blocks, task % blocks * width(tile)
        for start in range(0, tiles, TILES_IN_L1):
            end = min(tiles, start + TILES_IN_L1)
            for vb in range(v_blocks):
                for i in range(0, block, rows(tile)):
                    at = (k, (vb * block + i) * outputs + o)
                    acc = zeros(tile)
                    for t in range(start, end):
                        a = (vb * room + t) * block + i
                        acc = rank1(acc, v, (k, a), (0, 1), d, (k, (o0 + o) * room + t * width(tile)))
                    store(
                        acc if first and start == 0 else plus(acc, du, at, (0, outputs)), du, at, (0, outputs)
                    )

"""Winograd F(4x4, 3x3) convolution: 3x3 kernels, stride 1, channels last, all three passes.

A 3-tap filter slid over 6 numbers gives 4 outputs: 12 products, where 6 are enough (the derivation is in
winograd_matrices). In two dimensions, rows and then columns, for one 6x6 input patch x, filter w and
4x4 output y:

    y = Aᵀ [ (G w Gᵀ) * (Bᵀ x B) ] A              * is elementwise: 36 products instead of 144

Summed over the input channels, each of the 36 positions is a matrix product of its own,
[tiles, C] @ [C, O], and that is where the time goes. The gradients are the same sentence read backwards:

    dx = the forward pass over dy, with w turned by 180 degrees and its channels swapped
    dw = Gᵀ [ Σ over tiles of (Bᵀ x B) * (A dy Aᵀ) ] G

Everything goes a chunk of tiles at a time, so that what one step writes the next finds in the cache:

    patches of x  ──Bᵀ·B──►  V [36][tiles, C]  ──@ U──►  M [36][tiles, O]  ──Aᵀ·A──►  4x4 tiles of y
                                                 ▲
    filters w     ──G·Gᵀ──►  U [36][C, O]  ──────┘

Few channels: U fits in a core's own cache (L2), and each thread takes chunks of its own through all the
steps. Many channels: the threads share one large chunk in the common cache (L3), so that U, which then
comes from there too, is read once for all of its tiles.

Error: below 1e-4 of the largest output (1e-5 is usual); the direct convolution has 1e-6.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicnn.kernels.cpu.bands import check_arrays
from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.scratch import carve
from minicnn.kernels.cpu.simd import Tile, W, load, rank1, row, rows, store, width, zeros
from minicnn.kernels.cpu.threads import fork, get_num_threads
from minicnn.kernels.cpu.winograd_transforms import (
    FILTERS_AT_ONCE,
    filter_gradients_part,
    filters_part,
    gradients_part,
    outputs_part,
    patches_part,
)

Floats = NDArray[np.float32]
Pair = tuple[int, int]

# ---- the 36 matrix products -------------------------------------------------------------------------

TILES_IN_L1 = 96  # tiles whose two vectors stay in L1 while the weight gradient goes through the channels


@helper
def products_part(v, u, bias, m, tiles, tile, part, parts):
    """m[a, b] = v[a, b] @ u[a, b], [tiles, C] @ [C, O], for u in column blocks of one register tile's width.

    At the point 1 all powers are 1: what is added to m[1, 1] appears in all 16 outputs, as a bias should.
    """
    _, _, blocks, channels, _ = u.shape
    for task in range(36 * blocks * part // parts, 36 * blocks * (part + 1) // parts):
        a, b, ob = task // blocks // 6, task // blocks % 6, task % blocks
        o = ob * width(tile)
        for t in range(0, tiles, rows(tile)):  # the last one may hang over: v and m have room
            acc = row(tile, bias, (o,)) if a == 1 and b == 1 else zeros(tile)
            for c in range(0, channels, 4):
                for i in range(4):
                    acc = rank1(acc, v, (a, b, t, c + i), (0, 0, 1, 0), u, (a, b, ob, c + i, 0))
            store(acc, m, (a, b, t, o), (0, 0, 1, 0))


@helper
def product_gradients_part(v, d, du, tiles, first, tile, part, parts):
    """du[a, b] (+)= v[a, b]ᵀ @ d[a, b], [C, tiles] @ [tiles, O]."""
    channels, blocks = v.shape[3], d.shape[3] // width(tile)
    for task in range(36 * blocks * part // parts, 36 * blocks * (part + 1) // parts):
        a, b, o = task // blocks // 6, task // blocks % 6, task % blocks * width(tile)
        for start in range(0, tiles, TILES_IN_L1):
            for c in range(0, channels, rows(tile)):
                acc = zeros(tile) if first and start == 0 else load(tile, du, (a, b, c, o), (0, 0, 1, 0))
                for t in range(start, min(tiles, start + TILES_IN_L1)):
                    acc = rank1(acc, v, (a, b, t, c), (0, 0, 0, 1), d, (a, b, t, o))
                store(acc, du, (a, b, c, o), (0, 0, 1, 0))


# ---- the passes, a chunk of tiles at a time ---------------------------------------------------------

ALONE = np.intp(0), np.intp(1)  # part 0 of 1


@helper
def convolve_own_part(
    x, u, bias, y, pad, low, accumulate, v, m, count, edges, betweens, tile, col6, part, parts
):
    end, own = count * (part + 1) // parts, slice(part, part + 1)
    size = y.shape[1:3]
    for t0 in range(count * part // parts, end, v.shape[3]):
        t1 = min(end, t0 + v.shape[3])
        patches_part(x, v[part], t0, t1, size, pad, edges[own], betweens[own], col6, *ALONE)
        products_part(v[part], u, bias, m[part], t1 - t0, tile, *ALONE)
        outputs_part(m[part], y, t0, t1, low, accumulate, edges[own], betweens[own], col6, *ALONE)


@kernel
def convolve(
    x, w, bias, y, pad, turn, low, accumulate, u, v, m, count, packs, edges, betweens, tile, col3, col6
):
    fork(filters_part, (w, u, turn, packs, betweens, col3))
    if v.shape[0] > 1:
        fork(
            convolve_own_part,
            (x, u, bias, y, pad, low, accumulate, v, m, count, edges, betweens, tile, col6),
        )
    else:
        size = y.shape[1:3]
        for t0 in range(0, count, v.shape[3]):
            t1 = min(count, t0 + v.shape[3])
            fork(patches_part, (x, v[0], t0, t1, size, pad, edges, betweens, col6))
            fork(products_part, (v[0], u, bias, m[0], t1 - t0, tile))
            fork(outputs_part, (m[0], y, t0, t1, low, accumulate, edges, betweens, col6))


@helper
def filter_gradient_own_part(x, dy, pad, du, v, d, count, edges, betweens, tile, col4, col6, part, parts):
    start, end, own = count * part // parts, count * (part + 1) // parts, slice(part, part + 1)
    size = dy.shape[1:3]
    for t0 in range(start, end, v.shape[3]):
        t1 = min(end, t0 + v.shape[3])
        patches_part(x, v[part], t0, t1, size, pad, edges[own], betweens[own], col6, *ALONE)
        gradients_part(dy, d[part], t0, t1, edges[own], betweens[own], col4, *ALONE)
        product_gradients_part(v[part], d[part], du[part], t1 - t0, t0 == start, tile, *ALONE)


@kernel
def filter_gradient(x, dy, dw, pad, du, v, d, count, edges, betweens, packs, tile, col4, col6):
    if v.shape[0] > 1:
        fork(filter_gradient_own_part, (x, dy, pad, du, v, d, count, edges, betweens, tile, col4, col6))
    else:
        size = dy.shape[1:3]
        for t0 in range(0, count, v.shape[3]):
            t1 = min(count, t0 + v.shape[3])
            fork(patches_part, (x, v[0], t0, t1, size, pad, edges, betweens, col6))
            fork(gradients_part, (dy, d[0], t0, t1, edges, betweens, col4))
            fork(product_gradients_part, (v[0], d[0], du[0], t1 - t0, t0 == 0, tile))
    fork(filter_gradients_part, (du, dw, packs, betweens, col6))


# ---- the plan: tile shape, chunk size, scratch ------------------------------------------------------

# Bytes of V and M to aim at: of one thread in its own L2, or of all threads together in L3. Measured on
# a 1 MB L2 with 36 MB of L3; between half and twice of either the time changes by less than 5%.
OWN_BYTES, SHARED_BYTES = 1.2e6, 10e6

# Rows of a register tile by its columns, in vectors. Accumulators, one row of the other factor and a
# broadcast must fit the registers (32 of AVX-512 and NEON, 16 of AVX2 and SSE): one more row would spill.
# The weight gradient's rows are channels, which come in whole vectors: they divide W.
if W == 16:
    HEIGHTS, GRADIENT_HEIGHTS = {4: 6, 2: 10, 1: 12}, {4: 4, 2: 8, 1: 16}
else:
    HEIGHTS, GRADIENT_HEIGHTS = {2: 6, 1: 12}, {2: 4, 1: W}


class Plan:
    """How the tiles of one convolution are gone through, and the scratch that this takes."""

    def __init__(
        self, size: tuple[int, ...], inputs: int, outputs: int, heights: dict[int, int], gradient: bool
    ) -> None:
        images, height, breadth = size
        inputs, outputs = -(-inputs // W) * W, -(-outputs // W) * W  # whole vectors
        cols = max(k for k in heights if outputs % (k * W) == 0)
        self.tile = Tile(heights[cols], cols)
        self.step = (
            2 if inputs % (2 * W) == outputs % (2 * W) == 0 else 1
        )  # vectors a transform takes at once
        self.count = images * -(-height // 4) * -(-breadth // 4)
        threads = get_num_threads()
        filters = 36 * 4 * inputs * outputs
        own = filters < OWN_BYTES and self.count >= 8 * threads
        owners = threads if own else 1
        target = OWN_BYTES if own else max(SHARED_BYTES, filters)
        each = 36 * 4 * (inputs + outputs)  # bytes a tile
        chunks = max(1, round(self.count // owners * each / target))
        chunk = -(-self.count // (owners * chunks) // heights[cols]) * heights[cols]
        block = self.tile.width
        self.v, self.m, self.u, self.packs, self.edges, self.betweens, self.shifts = carve(
            (owners, 6, 6, chunk, inputs),
            (owners, 6, 6, chunk, outputs),
            (owners, 6, 6, inputs, outputs) if gradient else (6, 6, outputs // block, inputs, block),
            (threads, 3, 3, FILTERS_AT_ONCE, block),
            (threads, 6, 6, max(inputs, outputs)),
            (threads, 6, 6, self.step * W),
            (outputs,),
        )

    def column(self, side: int) -> Tile:
        return Tile(side, self.step)


def _convolve(
    x: Floats, w: Floats, bias: Floats | None, y: Floats, pad: Pair, turn: bool, relu: bool, accumulate: bool
) -> None:
    plan = Plan(y.shape[:3], x.shape[3], y.shape[3], HEIGHTS, False)
    plan.shifts[:] = 0
    if bias is not None:
        plan.shifts[: len(bias)] = bias
    low = np.float32(0 if relu else -np.inf)
    convolve(
        x, w, plan.shifts, y, pad, turn, low, accumulate, plan.u, plan.v, plan.m, plan.count, plan.packs,
        plan.edges, plan.betweens, plan.tile, plan.column(3), plan.column(6),
    )  # fmt: skip


# ---- what a layer calls -----------------------------------------------------------------------------


def forward(
    x: Floats, w: Floats, bias: Floats | None, y: Floats, *, padding: Pair = (1, 1), relu: bool = False
) -> None:
    """y = w * x + bias, then ReLU if asked. x (N, H, W, C), w (O, C, 3, 3), y (N, P, Q, O), bias (O,).

    padding is what lies above and to the left; below and to the right there is as much as y asks for.
    """
    check(x, w, y)
    _convolve(x, w, bias, y, padding, False, relu, False)


def grad_input(
    dy: Floats, w: Floats, dx: Floats, *, padding: Pair = (1, 1), accumulate: bool = False
) -> None:
    """dx = the input gradient, or dx += it. dy (N, P, Q, O), w (O, C, 3, 3), dx (N, H, W, C)."""
    check(dx, w, dy)
    _convolve(dy, w, None, dx, (2 - padding[0], 2 - padding[1]), True, False, accumulate)


def grad_weight(x: Floats, dy: Floats, dw: Floats, *, padding: Pair = (1, 1)) -> None:
    """dw = the weight gradient (O, C, 3, 3)."""
    check(x, dw, dy)
    plan = Plan(dy.shape[:3], x.shape[3], dy.shape[3], GRADIENT_HEIGHTS, True)
    filter_gradient(
        x, dy, dw, padding, plan.u, plan.v, plan.m, plan.count, plan.edges, plan.betweens, plan.packs,
        plan.tile, plan.column(4), plan.column(6),
    )  # fmt: skip


def check(x: Floats, w: Floats, y: Floats) -> None:
    """The kernels check nothing: wrong shapes would read and write outside of the arrays."""
    if w.shape[2:] != (3, 3):
        raise ValueError(f"winograd: the kernel must be 3x3, got {w.shape}")
    check_arrays("winograd", x, w, y)

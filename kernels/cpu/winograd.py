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
    filters w     ──G·Gᵀ──►  U [36][C, O]  ──────┘                (planes: see winograd_transforms)

Few channels: U fits in a core's own cache (L2), and each thread takes chunks of its own through all the
steps. Many channels: the threads share one large chunk in the common cache (L3), so that U, which then
comes from there too, is read once for all of its tiles. Many channels and so few tiles that they are one
chunk: each thread transforms the filters of its share of the channels, some at a time, multiplies them by V
while they are in its own cache, and the threads' M are added up on the way to the outputs.

Error: below 1e-4 of the largest output (1e-6 is usual), two to three times that of the direct convolution.
Long sums are cut into runs that are summed by themselves: rounding errors grow with the length of a run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicnn.kernels.cpu.bands import check_arrays
from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.scratch import carve
from minicnn.kernels.cpu.simd import Tile, W, least
from minicnn.kernels.cpu.squares import SQUARE
from minicnn.kernels.cpu.threads import fork, get_num_threads
from minicnn.kernels.cpu.winograd_products import product_gradients_part, products_part
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

CHANNELS_AT_ONCE = 64  # whose filters a thread transforms, and then uses while they are in its own cache

# ---- the passes, a chunk of tiles at a time ---------------------------------------------------------

ALONE = np.intp(0), np.intp(1)  # part 0 of 1


@helper
def convolve_own_part(
    x, u, bias, y, pad, low, accumulate, v, m, shape, outputs, count, edges, betweens, tile, col6, part, parts
):
    end, own = count * (part + 1) // parts, slice(part, part + 1)
    size, (_, room, channels) = y.shape[1:3], shape
    for t0 in range(count * part // parts, end, room):
        t1 = min(end, t0 + room)
        patches_part(x, v[part], t0, t1, size, pad, shape, edges[own], betweens[own], col6, *ALONE)
        products_part(v[part], u, m[part], t1 - t0, channels, (0, channels, True), outputs, tile, *ALONE)
        outputs_part(
            m[own], bias, y, t0, t1, outputs, low, accumulate, edges[own], betweens[own], col6, *ALONE
        )


@helper
def filter_products_part(
    w, turn, o, v, u, m, tiles, channels, at_once, packs, betweens, tile, col3, square, part, parts
):
    """m[part] = v @ u for a share of the channels, a few at a time, whose filters are transformed on the way."""
    own, block = slice(part, part + 1), packs.shape[4]
    start, stop = channels // W * part // parts * W, channels // W * (part + 1) // parts * W
    if start == stop:
        m[part] = np.float32(0)
    for c in range(start, stop, CHANNELS_AT_ONCE):
        end = min(stop, c + CHANNELS_AT_ONCE)
        shape = (at_once // block, end - c, block)
        filters_part(w, u[part], turn, (o, c), shape, packs[own], betweens[own], col3, square, *ALONE)
        products_part(v, u[part], m[part], tiles, channels, (c, end, c == start), at_once, tile, *ALONE)


@kernel
def convolve(
    x, w, bias, y, pad, turn, relu, accumulate, u, v, m, shape, outputs, at_once, count, packs, edges, betweens,
    tile, col3, col6, square,
):  # fmt: skip
    _, room, channels = shape
    block, low = packs.shape[4], least(relu)
    filters = (at_once // block, channels, block)
    if v.shape[0] > 1:
        fork(filters_part, (w, u[0], turn, (0, 0), filters, packs, betweens, col3, square))
        own = x, u[0], bias, y, pad, low, accumulate, v, m, shape, outputs, count, edges, betweens, tile, col6
        fork(convolve_own_part, own)
        return
    size = y.shape[1:3]
    if at_once < outputs:  # all tiles at once, a block of outputs at a time
        fork(patches_part, (x, v[0], 0, count, size, pad, shape, edges, betweens, col6))
        for o in range(0, outputs, at_once):
            shifts, here = bias[o : o + at_once], y[:, :, :, o : min(y.shape[3], o + at_once)]
            fork(
                filter_products_part,
                (w, turn, o, v[0], u, m, count, channels, at_once, packs, betweens, tile, col3, square),
            )
            fork(outputs_part, (m, shifts, here, 0, count, at_once, low, accumulate, edges, betweens, col6))
        return
    fork(filters_part, (w, u[0], turn, (0, 0), filters, packs, betweens, col3, square))
    for t0 in range(0, count, room):
        t1 = min(count, t0 + room)
        fork(patches_part, (x, v[0], t0, t1, size, pad, shape, edges, betweens, col6))
        fork(products_part, (v[0], u[0], m[0], t1 - t0, channels, (0, channels, True), outputs, tile))
        fork(outputs_part, (m, bias, y, t0, t1, outputs, low, accumulate, edges, betweens, col6))


@helper
def filter_gradient_own_part(
    x, dy, pad, du, v, d, v_shape, d_shape, count, edges, betweens, tile, col4, col6, part, parts
):
    start, end, own = count * part // parts, count * (part + 1) // parts, slice(part, part + 1)
    size, outputs = dy.shape[1:3], d_shape[0] * d_shape[2]
    for t0 in range(start, end, v_shape[1]):
        t1 = min(end, t0 + v_shape[1])
        patches_part(x, v[part], t0, t1, size, pad, v_shape, edges[own], betweens[own], col6, *ALONE)
        gradients_part(dy, d[part], t0, t1, d_shape, edges[own], betweens[own], col4, *ALONE)
        product_gradients_part(
            v[part], d[part], du[part], t1 - t0, v_shape, 0, outputs, t0 == start, tile, *ALONE
        )


@kernel
def filter_gradient(
    x, dy, dw, pad, du, v, d, v_shape, d_shape, at_once, count, edges, betweens, packs, tile, col4, col6, square,
):  # fmt: skip
    outputs = d_shape[0] * d_shape[2]
    if v.shape[0] > 1:
        fork(
            filter_gradient_own_part,
            (x, dy, pad, du, v, d, v_shape, d_shape, count, edges, betweens, tile, col4, col6),
        )
        fork(filter_gradients_part, (du, dw, outputs, packs, betweens, col6, square))
        return
    size, room = dy.shape[1:3], v_shape[1]
    for o in range(0, outputs, at_once):
        for t0 in range(0, count, room):
            t1 = min(count, t0 + room)
            if o == 0:
                fork(patches_part, (x, v[0], t0, t1, size, pad, v_shape, edges, betweens, col6))
                fork(gradients_part, (dy, d[0], t0, t1, d_shape, edges, betweens, col4))
            fork(product_gradients_part, (v[0], d[0], du[0], t1 - t0, v_shape, o, at_once, t0 == 0, tile))
        fork(filter_gradients_part, (du, dw[o : o + at_once], at_once, packs, betweens, col6, square))


# ---- the plan: tile shape, chunk size, scratch ------------------------------------------------------

# Bytes of V and M to aim at: of one thread in its own L2, or of all threads together in L3. Measured on
# a 1 MB L2 with 36 MB of L3; between half and twice of either the time changes by less than 5%.
OWN_BYTES, SHARED_BYTES = 1.2e6, 10e6
OWN_FILTERS = 3e6  # filters up to this size (128 channels) are read by each thread for its own chunks

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
        self.tile, self.outputs = Tile(heights[cols], cols), outputs
        # vectors a transform takes at once
        self.step = 2 if inputs % (2 * W) == outputs % (2 * W) == 0 else 1
        self.count = images * -(-height // 4) * -(-breadth // 4)
        threads = get_num_threads()
        filters = 36 * 4 * inputs * outputs
        own = filters < OWN_FILTERS and self.count >= 8 * threads
        owners = threads if own else 1
        target = OWN_BYTES if own else max(SHARED_BYTES, filters)
        each = 36 * 4 * (inputs + outputs)  # bytes a tile
        chunks = max(1, round(self.count // owners * each / target))
        chunk = -(-self.count // (owners * chunks) // heights[cols]) * heights[cols]
        block, v_block = self.tile.width, self.step * W if gradient else inputs
        # Where all tiles are one chunk, the outputs are gone through a block at a time, and forward each thread
        # takes a share of the channels: the filters are most of the numbers, and U stays in the threads' own L2.
        self.at_once = at_once = block if not own and chunks == 1 else outputs
        few = at_once < outputs and not gradient
        sharers = threads if few else owners
        self.v_shape = inputs // v_block, chunk, v_block
        self.m_shape = outputs // block, chunk, block
        self.v, self.m, self.u, self.packs, self.edges, self.betweens, self.shifts = carve(
            (owners, 36, chunk * inputs),
            (sharers, 36, chunk * (outputs if gradient else at_once)),
            (sharers, 36, (CHANNELS_AT_ONCE if few else inputs) * at_once),
            (threads, FILTERS_AT_ONCE, 3, 3, block),
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
    convolve(
        x, w, plan.shifts, y, pad, turn, relu, accumulate, plan.u, plan.v, plan.m, plan.v_shape, plan.outputs,
        plan.at_once, plan.count, plan.packs, plan.edges, plan.betweens, plan.tile, plan.column(3), plan.column(6), SQUARE,
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
        x, dy, dw, padding, plan.u, plan.v, plan.m, plan.v_shape, plan.m_shape, plan.at_once, plan.count,
        plan.edges, plan.betweens, plan.packs, plan.tile, plan.column(4), plan.column(6), SQUARE,
    )  # fmt: skip


def check(x: Floats, w: Floats, y: Floats) -> None:
    """The kernels check nothing: wrong shapes would read and write outside of the arrays."""
    if w.shape[2:] != (3, 3):
        raise ValueError(f"winograd: the kernel must be 3x3, got {w.shape}")
    check_arrays("winograd", x, w, y)

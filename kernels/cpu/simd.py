"""The vocabulary of register tiles. Every fast kernel here is one sentence in it:

    acc[m, :] += a[ia + m da] * b[ib : ib + width]            (rank1)

a rank-1 update of a tile of accumulators: one number of `a` for every row, one run of `b` for
all of them. Loops, bounds and addresses are ordinary Python around it; only the straight-line
arithmetic below is LLVM. An index such as (c, i, j, n) has one entry for each axis of its
array; a step such as (1, 0, 0, 0) is the distance from one row of the tile to the next.

Nothing checks bounds: the caller's loops keep to the arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minicnn.kernels.cpu.compiler import helper
from minicnn.kernels.cpu.lanes import LANES
from minicnn.kernels.cpu.tile import (
    F32,
    FMA,
    I32,
    I64,
    VECTOR,
    Tile,
    TileType,
    add_product,
    address,
    in_bytes,
    load_scalar,
    load_vector,
    pointer,
    splat,
    times,
)

W = LANES  # short, for the formulas of kernels

__all__ = [
    "Tile",
    "W",
    "added",
    "at_least",
    "column",
    "dots",
    "least",
    "linear",
    "load",
    "plus",
    "rank1",
    "row",
    "rows",
    "store",
    "store_sums",
    "transposed",
    "width",
    "zeros",
]


@intrinsic
def width(typing: Any, tile: TileType) -> Any:
    """The floats in a row of the tile; a constant for the compiler."""
    return types.intp(tile), lambda context, builder, signature, args: ir.Constant(I64, tile.cols * LANES)


@intrinsic
def rows(typing: Any, tile: TileType) -> Any:
    """The rows of the tile; a constant for the compiler."""
    return types.intp(tile), lambda context, builder, signature, args: ir.Constant(I64, tile.rows)


# ---- filling a tile


@intrinsic
def zeros(typing: Any, tile: TileType) -> Any:
    """A tile of zeros."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = [ir.Constant(VECTOR, [0.0] * LANES)] * (tile.rows * tile.cols)
        return ir.Constant(context.get_value_type(tile), vectors)

    return tile(tile), generate


@intrinsic
def load(typing: Any, tile: TileType, a: Any, index: Any, step: Any) -> Any:
    """Row m of the tile is a[index + m step : + width]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out, array, at, by = args
        base, stride = address(context, builder, a, array, at, by)
        for m in range(tile.rows):
            start = builder.gep(base, [times(builder, stride, m)])
            for j in range(tile.cols):
                vector = load_vector(builder, start, in_bytes(j * LANES))
                out = builder.insert_value(out, vector, m * tile.cols + j)
        return out

    return tile(tile, a, index, step), generate


@intrinsic
def column(typing: Any, tile: TileType, b: Any, index: Any, step: Any) -> Any:
    """Row m of the tile is the number b[index + m step], repeated."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out, array, at, by = args
        base, stride = address(context, builder, b, array, at, by)
        for m in range(tile.rows):
            vector = load_scalar(builder, base, times(builder, stride, m))
            for j in range(tile.cols):
                out = builder.insert_value(out, vector, m * tile.cols + j)
        return out

    return tile(tile, b, index, step), generate


@intrinsic
def row(typing: Any, tile: TileType, b: Any, index: Any) -> Any:
    """Every row of the tile is b[index : + width]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out, array, at = args
        base, _ = address(context, builder, b, array, at)
        for j in range(tile.cols):
            vector = load_vector(builder, base, in_bytes(j * LANES))
            for m in range(tile.rows):
                out = builder.insert_value(out, vector, m * tile.cols + j)
        return out

    return tile(tile, b, index), generate


# ---- computing


@intrinsic
def rank1(typing: Any, acc: TileType, a: Any, ia: Any, da: Any, b: Any, ib: Any) -> Any:
    """acc[m, :] + a[ia + m da] * b[ib : + width]   for every row m of the tile."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tile, array_a, at_a, by_a, array_b, at_b = args
        base_a, stride_a = address(context, builder, a, array_a, at_a, by_a)
        base_b, _ = address(context, builder, b, array_b, at_b)
        run = [load_vector(builder, base_b, in_bytes(j * LANES)) for j in range(acc.cols)]
        for m in range(acc.rows):
            factor = load_scalar(builder, base_a, times(builder, stride_a, m))
            for j in range(acc.cols):
                tile = add_product(builder, tile, m * acc.cols + j, factor, run[j])
        return tile

    return acc(acc, a, ia, da, b, ib), generate


@intrinsic
def dots(typing: Any, acc: TileType, a: Any, ia: Any, da: Any, b: Any, ib: Any, db: Any) -> Any:
    """acc[m, j] + a[ia + m da : + W] * b[ib + j db : + W], lane by lane: W partial inner products.

    Here a row has `cols` vectors that belong to different sums; store_sums adds up the lanes.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tile, array_a, at_a, by_a, array_b, at_b, by_b = args
        base_a, stride_a = address(context, builder, a, array_a, at_a, by_a)
        base_b, stride_b = address(context, builder, b, array_b, at_b, by_b)
        left = [load_vector(builder, base_a, times(builder, stride_a, m)) for m in range(acc.rows)]
        for j in range(acc.cols):
            right = load_vector(builder, base_b, times(builder, stride_b, j))
            for m in range(acc.rows):
                tile = add_product(builder, tile, m * acc.cols + j, left[m], right)
        return tile

    return acc(acc, a, ia, da, b, ib, db), generate


def linear(*matrices: np.ndarray) -> Callable[..., Any]:
    """A function on tiles that multiplies the column of rows by each matrix in turn.

    linear(M)(tile) has len(M) rows; row i is Σₖ M[i, k] (row k of the tile). The matrices are
    constants of the compiled code: zeros cost nothing and ±1 an addition, so a matrix that is
    a product of sparse ones is given as its factors.
    """

    @intrinsic
    def apply(typing: Any, tile: TileType) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place = [[m * tile.cols + j for j in range(tile.cols)] for m in range(tile.rows)]
            values = [[builder.extract_value(args[0], k) for k in line] for line in place]
            for matrix in matrices:
                values = [
                    [
                        _combination(builder, coefficients, [line[j] for line in values])
                        for j in range(tile.cols)
                    ]
                    for coefficients in matrix
                ]
            out = ir.Constant(context.get_value_type(signature.return_type), ir.Undefined)
            for k, vector in enumerate(vector for line in values for vector in line):
                out = builder.insert_value(out, vector, k)
            return out

        return TileType(len(matrices[-1]), tile.cols)(tile), generate

    return apply


def _combination(builder: Any, coefficients: Any, vectors: list[Any]) -> Any:
    """Σ coefficients[k] vectors[k]. A term with coefficient 1 comes first, to save a negation."""
    terms = [(float(c), vector) for c, vector in zip(coefficients, vectors) if c]
    total = None
    for c, vector in sorted(terms, key=lambda term: (term[0] != 1, abs(term[0]) == 1)):
        factor = ir.Constant(VECTOR, [abs(c)] * LANES)
        term = vector if abs(c) == 1 else builder.fmul(vector, factor, flags=FMA)
        if total is not None:
            total = (builder.fadd if c > 0 else builder.fsub)(total, term, flags=FMA)
        else:
            total = term if c > 0 else builder.fsub(ir.Constant(VECTOR, [-0.0] * LANES), term, flags=FMA)
    return ir.Constant(VECTOR, [0.0] * LANES) if total is None else total


@intrinsic
def transposed(typing: Any, tile: TileType) -> Any:
    """A square tile (W rows of one vector) with rows and columns exchanged.

    One round interleaves row i with row i + W/2, as a card player shuffles two halves of a deck;
    after log2(W) rounds every number stands in its place.
    """
    half = LANES // 2

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lines = [builder.extract_value(args[0], k) for k in range(LANES)]
        low = [lane for i in range(half) for lane in (i, LANES + i)]
        high = [lane + half for lane in low]
        for _ in range(LANES.bit_length() - 1):
            lines = [
                _pick(builder, lines[k // 2], lines[k // 2 + half], (low, high)[k % 2]) for k in range(LANES)
            ]
        out = args[0]
        for k, vector in enumerate(lines):
            out = builder.insert_value(out, vector, k)
        return out

    if (tile.rows, tile.cols) != (LANES, 1):
        return None
    return tile(tile), generate


def _pick(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
    """The vector of these lanes of a followed by b."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, LANES), lanes))


def _lane_sums(builder: Any, vectors: list[Any]) -> Any:
    """One vector whose lane k is the sum of the lanes of vectors[k].

    Two vectors become one by adding even and odd lanes: its halves are theirs, with pairs summed.
    log2(W) such rounds sum W vectors at once, at a quarter of the price of one after the other.
    """
    zero = ir.Constant(VECTOR, [0.0] * LANES)
    even, odd = list(range(0, 2 * LANES, 2)), list(range(1, 2 * LANES, 2))
    vectors = vectors + [zero] * (LANES - len(vectors))
    while len(vectors) > 1:
        vectors = [
            zero
            if a is zero and b is zero
            else builder.fadd(_pick(builder, a, b, even), _pick(builder, a, b, odd))
            for a, b in zip(vectors[::2], vectors[1::2])
        ]
    return vectors[0]


# ---- putting a tile away


@intrinsic
def store(typing: Any, tile: TileType, a: Any, index: Any, step: Any) -> Any:
    """a[index + m step : + width] = row m of the tile."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values, array, at, by = args
        base, stride = address(context, builder, a, array, at, by)
        for m in range(tile.rows):
            start = builder.gep(base, [times(builder, stride, m)])
            for j in range(tile.cols):
                vector = builder.extract_value(values, m * tile.cols + j)
                builder.store(vector, pointer(builder, start, in_bytes(j * LANES), VECTOR), align=4)
        return context.get_dummy_value()

    return types.void(tile, a, index, step), generate


@intrinsic
def store_sums(typing: Any, acc: TileType, y: Any, index: Any, dm: Any, dj: Any) -> Any:
    """y[index + m dm + j dj] = the sum of the lanes of acc[m, j]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tile, array, at, by_m, by_j = args
        base, stride_m = address(context, builder, y, array, at, by_m)
        _, stride_j = address(context, builder, y, array, at, by_j)
        count = acc.rows * acc.cols
        for first in range(0, count, LANES):
            places = range(first, min(count, first + LANES))
            sums = _lane_sums(builder, [builder.extract_value(tile, place) for place in places])
            for lane, place in enumerate(places):
                m, j = divmod(place, acc.cols)
                offset = builder.add(times(builder, stride_m, m), times(builder, stride_j, j))
                total = builder.extract_element(sums, ir.Constant(I32, lane))
                builder.store(total, pointer(builder, base, offset, F32), align=4)
        return context.get_dummy_value()

    return types.void(acc, y, index, dm, dj), generate


# ---- after the sums: what an epilogue needs


@helper
def least(relu):
    """The `low` of at_least. Kernels take the truth value: a NumPy scalar from Python costs them 8 us, a bool none."""
    return np.float32(0) if relu else np.float32(-np.inf)


@intrinsic
def at_least(typing: Any, tile: TileType, low: Any) -> Any:
    """max(tile, low) for a number low: ReLU with 0, nothing with -inf. NaN stays NaN."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out, number = args
        bound = splat(builder, number)
        for k in range(tile.rows * tile.cols):
            vector = builder.extract_value(out, k)
            below = builder.fcmp_ordered("<", vector, bound)  # false for NaN
            out = builder.insert_value(out, builder.select(below, bound, vector), k)
        return out

    return tile(tile, types.float32), generate


@intrinsic
def plus(typing: Any, tile: TileType, a: Any, index: Any, step: Any) -> Any:
    """Row m of the tile + a[index + m step : + width]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out, array, at, by = args
        base, stride = address(context, builder, a, array, at, by)
        for m in range(tile.rows):
            start = builder.gep(base, [times(builder, stride, m)])
            for j in range(tile.cols):
                k = m * tile.cols + j
                vector = load_vector(builder, start, in_bytes(j * LANES))
                out = builder.insert_value(out, builder.fadd(builder.extract_value(out, k), vector), k)
        return out

    return tile(tile, a, index, step), generate


@intrinsic
def added(typing: Any, tile: TileType, other: TileType) -> Any:
    """The sum of two tiles."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out, more = args
        for k in range(tile.rows * tile.cols):
            total = builder.fadd(builder.extract_value(out, k), builder.extract_value(more, k))
            out = builder.insert_value(out, total, k)
        return out

    return (tile(tile, other), generate) if tile == other else None

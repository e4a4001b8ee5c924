"""The register tile as a type that Numba knows, and the pieces of LLVM that its vocabulary is made of.

A `Tile(rows, cols)` is a block of numbers that lives in vector registers: `rows` rows, each of
`cols` vectors of LANES floats. Its shape is part of its Numba type, so that passing a tile to a
kernel compiles the kernel for that shape: the tile that a kernel takes as an argument says how
large its accumulators are and holds no numbers itself. What can be said about tiles is in simd.py.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, models, register_model, typeof_impl, unbox

from minicnn.kernels.cpu.lanes import LANES

F32, I32, I64, BYTE = ir.FloatType(), ir.IntType(32), ir.IntType(64), ir.IntType(8)
VECTOR = ir.VectorType(F32, LANES)
# a*b + c may become one fused instruction. Not "reassoc": LLVM would rearrange the tile's sums and spill it.
FMA = ("contract",)


class TileType(types.Type):
    """The Numba type of a tile: its shape, and nothing else."""

    def __init__(self, rows: int, cols: int) -> None:
        self.rows, self.cols = rows, cols
        super().__init__(name=f"Tile({rows}x{cols}x{LANES})")


_type_of = cache(TileType)


class Tile:
    """A tile as Python code passes it to a kernel: only a shape. `width` is the floats in a row."""

    def __init__(self, rows: int, cols: int) -> None:
        self.rows, self.cols, self.width = rows, cols, cols * LANES
        self._numba_type_ = _type_of(rows, cols)

    def __repr__(self) -> str:
        return f"Tile({self.rows}, {self.cols})"


@typeof_impl.register(Tile)
def _(tile: Tile, context: Any) -> TileType:
    return tile._numba_type_


@unbox(TileType)
def _(typ: TileType, obj: Any, c: Any) -> NativeValue:
    return NativeValue(ir.Constant(c.context.get_value_type(typ), ir.Undefined))


@register_model(TileType)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager: Any, typ: TileType) -> None:
        super().__init__(manager, typ, ir.ArrayType(VECTOR, typ.rows * typ.cols))


def in_bytes(floats: int) -> ir.Constant:
    """A byte count, as LLVM's 64-bit constant."""
    return ir.Constant(I64, 4 * floats)


def address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, step: Any = None) -> Any:
    """The byte address of array[index] and, if a step is given, the byte distance of one step.

    index and step are tuples with one entry an axis. The strides are the array's own, so that
    a kernel takes any layout; that of a C-contiguous array's last axis is known to be 4.
    """
    array = context.make_array(array_type)(context, builder, array)
    strides = cgutils.unpack_tuple(builder, array.strides)
    if array_type.layout == "C":
        strides[-1] = in_bytes(1)

    def distance(steps: Any) -> Any:
        total = ir.Constant(I64, 0)
        for count, stride in zip(cgutils.unpack_tuple(builder, steps), strides):
            total = builder.add(total, builder.mul(count, stride, flags=("nsw",)), flags=("nsw",))
        return total

    base = builder.gep(builder.bitcast(array.data, ir.PointerType(BYTE)), [distance(index)])
    return base, (None if step is None else distance(step))


def pointer(builder: Any, base: Any, offset: Any, kind: ir.Type) -> Any:
    """A typed pointer, `offset` bytes after the base."""
    return builder.bitcast(builder.gep(base, [offset]), ir.PointerType(kind))


def times(builder: Any, stride: Any, count: int) -> Any:
    """count steps of a byte distance."""
    return builder.mul(stride, ir.Constant(I64, count), flags=("nsw",))


def load_vector(builder: Any, base: Any, offset: Any) -> Any:
    return builder.load(pointer(builder, base, offset, VECTOR), align=4)


def load_scalar(builder: Any, base: Any, offset: Any) -> Any:
    """One float from memory, in every lane."""
    return splat(builder, builder.load(pointer(builder, base, offset, F32), align=4))


def splat(builder: Any, value: Any) -> Any:
    """One float, in every lane."""
    undefined = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, LANES), [0] * LANES))


def add_product(builder: Any, tile: Any, place: int, a: Any, b: Any) -> Any:
    """The tile with a*b added to the vector at one place."""
    total = builder.fadd(builder.extract_value(tile, place), builder.fmul(a, b, flags=FMA), flags=FMA)
    return builder.insert_value(tile, total, place)

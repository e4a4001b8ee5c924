"""Element types as weights files store them, and the rule by which they become NumPy's.

Files are little-endian, arrays native. NumPy has every type here but bfloat16, the upper half of a
float32: it is read as float32, which holds each of its values exactly. float16 stays float16; when it
is loaded into a model it takes the model's type, again exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

import numpy as np

from minicnn.errors import WeightsError

MAX_DIMENSIONS = 32  # what every NumPy can hold
_MAX_BYTES = 1 << 62  # beyond it NumPy cannot count


class Element(NamedTuple):
    """One element type: its name, and the dtype of its bits in a little-endian file."""

    name: str
    stored: np.dtype

    @property
    def itemsize(self) -> int:
        return self.stored.itemsize

    def bytes_of(self, shape: Sequence[int]) -> int:
        """How many bytes an array of this shape takes in a file."""
        return math.prod(shape) * self.itemsize

    def decode(self, bits: np.ndarray) -> np.ndarray:
        """The numbers that the bits stand for, in native byte order; a copy only where it is needed."""
        if self.name == "bfloat16":
            return np.asarray(bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
        if self.name == "bool":  # any byte but 0 is true, and NumPy wants a 1 for it
            return np.asarray(bits.view(np.uint8) != 0)
        return bits.astype(bits.dtype.newbyteorder("="), copy=False)


_NUMPY = "bool uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 float32 float64"
ELEMENTS = {name: Element(name, np.dtype(name).newbyteorder("<")) for name in _NUMPY.split()}
ELEMENTS["bfloat16"] = Element("bfloat16", np.dtype("<u2"))


def read_bits(file: BinaryIO, element: Element, shape: Sequence[int]) -> np.ndarray:
    """The next elements of a file, straight into an array of their own, not decoded yet."""
    bits = np.empty(shape, element.stored)
    if bits.size and file.readinto(bits.reshape(-1).view(np.uint8).data) != bits.nbytes:  # type: ignore[attr-defined]
        raise WeightsError("it became shorter while it was read")
    return bits


def check_shape(shape: Sequence[object], what: str) -> tuple[int, ...]:
    """The shape as a tuple of sizes. Raises WeightsError when it is not one, or beyond what NumPy counts."""
    if len(shape) > MAX_DIMENSIONS:
        raise WeightsError(f"{what} has {len(shape)} dimensions, expected at most {MAX_DIMENSIONS}")
    # bool is an int to Python, and never a size.
    sizes = tuple(size for size in shape if type(size) is int and size >= 0)
    if len(sizes) < len(shape):
        raise WeightsError(f"{what} has a shape that is not made of sizes (integers from 0)")
    # Also for no elements at all: NumPy multiplies the sizes that are not 0.
    if 8 * math.prod(size for size in sizes if size) > _MAX_BYTES:
        raise WeightsError(f"{what} claims the impossible shape {sizes}")
    return sizes

"""PyTorch's tensors as a .pth file describes them, and the arrays they stand for.

A file keeps the numbers in storages, flat runs of one element type. A tensor is a window on one:
offset, shape and strides, all counted in elements, so that a transposed weight is stored as it lies
and two tensors may share numbers. Here windows are data; they are checked when they are met, and
become arrays of their own once the storage has been read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from minicnn.errors import WeightsError
from minicnn.weights.elements import ELEMENTS, Element, check_shape

# The class names of torch's storages, as every version of it writes them.
STORAGES = {
    "BoolStorage": "bool", "ByteStorage": "uint8", "CharStorage": "int8", "ShortStorage": "int16", "IntStorage": "int32",
    "LongStorage": "int64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16", "FloatStorage": "float32",
    "DoubleStorage": "float64",
}  # fmt: skip
# Tied weights may appear under several names, and each gets an array of its own; but a file cannot ask for
# arrays without end.
_MAX_SHARING = 8


class Storage(NamedTuple):
    """A run of numbers in the file. A view, which old files have, counts from element `start`."""

    key: str
    element: Element
    size: int
    start: int = 0


class Tensor(NamedTuple):
    """A window on a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return self.storage.element.bytes_of(self.shape)


def make_storage(storage_class: str, key: object, size: object) -> Storage:
    """The storage a persistent id names. Raises WeightsError for an element type that NumPy does not have."""
    if storage_class not in STORAGES:
        known = ", ".join(STORAGES.values())
        raise WeightsError(f"it holds numbers of type torch.{storage_class}: minicnn reads {known}")
    if not isinstance(key, str) or type(size) is not int or not 0 <= size < 1 << 58:
        raise WeightsError("it holds a storage whose name is no text or whose size is no number of elements")
    return Storage(key, ELEMENTS[STORAGES[storage_class]], size)


def make_tensor(storage: object, offset: object, shape: object, stride: object) -> Tensor:
    """The tensor, once it is certain that it lies within its storage and visits no element twice."""
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        raise WeightsError("it holds a tensor that is not made of a storage, an offset, a shape and strides")
    sizes = check_shape(shape, "one of its tensors")
    if len(stride) != len(sizes) or not all(type(step) is int and step >= 0 for step in stride):
        raise WeightsError(f"it holds a tensor of shape {sizes} whose strides are not {len(sizes)} integers")
    if type(offset) is not int or offset < 0:
        raise WeightsError("it holds a tensor whose offset is not a number of elements")
    if 0 not in sizes:
        last = storage.start + offset + sum((size - 1) * step for size, step in zip(sizes, stride))
        if last >= storage.size:
            raise WeightsError(
                f"it holds a tensor of shape {sizes} with strides {stride[:8]} and offset {offset} that reaches beyond "
                f"its storage of {storage.size:,} elements"
            )
        _check_no_overlap(sizes, stride)
    return Tensor(storage, offset, sizes, stride)


def _check_no_overlap(sizes: tuple[int, ...], stride: tuple[int, ...]) -> None:
    """Sorted by stride, each dimension steps over everything that the smaller ones reach."""
    reach = 0
    for step, size in sorted((step, size) for step, size in zip(stride, sizes) if size > 1):
        if step <= reach:
            raise WeightsError(
                f"it holds a tensor of shape {sizes} with strides {stride} that repeats elements (an expanded "
                "tensor): call .contiguous() on it before torch.save"
            )
        reach += (size - 1) * step


def build(tensors: Mapping[str, Tensor], read_storage: Callable[[str], np.ndarray]) -> dict[str, np.ndarray]:
    """name -> an array of its own, C-contiguous, in native byte order.

    read_storage(key): the bits of a storage as a flat array; called once for each that is used.
    """
    asked = sum(tensor.nbytes for tensor in tensors.values())
    there = sum(
        {t.storage.key: t.storage.element.bytes_of((t.storage.size,)) for t in tensors.values()}.values()
    )
    if asked > _MAX_SHARING * there:
        raise WeightsError(
            f"its tensors take {asked:,} bytes out of storages of {there:,}: it repeats itself without end"
        )
    by_storage: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        by_storage.setdefault(tensor.storage.key, []).append(name)
    arrays = dict.fromkeys(tensors, np.empty(0))  # in the file's order
    for key, names in by_storage.items():
        bits = read_storage(key)
        for name in names:
            arrays[name] = _window(bits, tensors[name])
    return arrays


def _window(bits: np.ndarray, tensor: Tensor) -> np.ndarray:
    element = tensor.storage.element
    if 0 in tensor.shape:
        return np.empty(tensor.shape, element.decode(bits[:0]).dtype)
    window = np.ndarray(  # NumPy checks the bounds once more
        tensor.shape,
        bits.dtype,
        bits,
        (tensor.storage.start + tensor.offset) * element.itemsize,
        tuple(step * element.itemsize for step in tensor.stride),
    )
    # A copy even where decoding makes one: it would keep the order of the axes in memory.
    return np.array(element.decode(window), order="C")

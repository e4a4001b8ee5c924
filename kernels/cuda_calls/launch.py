"""Launching the kernels of ../cuda: by CuPy on its arrays, or by what stands in for a GPU on NumPy's.

    launch("im2col.cu", "im2col", columns.size, (x, columns, N, C, H, ...))

Numbers are converted to the types that the kernel declares: CuPy would pass a Python float as a
double and an int as 64 bits, whatever the kernel reads, and CuPy 13 passes None as an arbitrary
pointer. A file is compiled once per number type and set of options; CuPy and the emulator keep the
result on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from minicnn.backend import device_of, get_xp
from minicnn.errors import DeviceError
from minicnn.kernels.cuda.sources import parameters, read_source
from minicnn.kernels.emulated import runner

THREADS = 256
# Enough blocks to fill the largest GPUs several times over; a thread then takes several elements.
MOST_BLOCKS = 4096
# From here on positions are 64 bits wide: below, i + (threads of the grid) cannot pass 2^31.
WIDE = 2**30

Options = tuple[str, ...]
NULL = np.uintp(0)  # the pointer that a kernel gets where an array is missing


class Module(Protocol):
    """What compiled kernels are to the launching code: cupy.RawModule, or a stand-in."""

    def get_function(self, name: str) -> Any:
        """The kernel: called as kernel(grid, block, args)."""


class Kernels:
    """A module whose kernels are looked up once: CuPy's would ask the driver at every launch."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._kernels: dict[str, Any] = {}

    def get_function(self, name: str) -> Any:
        """The kernel of this name."""
        if name not in self._kernels:
            self._kernels[name] = self._module.get_function(name)
        return self._kernels[name]


def launch(
    file: str,
    name: str,
    work: int | Sequence[int],
    args: Sequence[Any],
    *,
    threads: int = THREADS,
    options: Options = (),
) -> None:
    """Run a kernel of this file.

    work: how many elements there are, one for each thread (fewer threads go over them in strides), or
    the grid itself, in blocks. args: arrays, None for a null pointer, and numbers.
    """
    arrays = [each for each in args if hasattr(each, "dtype") and not isinstance(each, np.generic)]
    real = next((each.dtype for each in arrays if each.dtype.kind == "f"), np.dtype(np.float32))
    wide = max(each.size for each in arrays) >= WIDE
    module = load(file, real, wide, options, _runner_for(arrays[0]))
    values = [
        _convert(value, kind, real, wide) for value, kind in zip(args, parameters(file)[name], strict=True)
    ]
    grid = (blocks_for(work, threads),) if isinstance(work, int) else tuple(map(int, work))
    module.get_function(name)(grid, (threads,), values)


def blocks_for(count: int, threads: int = THREADS) -> int:
    """How many blocks cover this many elements, at most MOST_BLOCKS."""
    return max(1, min(-(-count // threads), MOST_BLOCKS))


@lru_cache(maxsize=256)
def load(file: str, real: np.dtype, wide: bool, options: Options, by: str) -> Module:
    """The compiled kernels of a file for one number type."""
    flags = [f"-DREAL={'double' if real == np.float64 else 'float'}", *options]
    if wide:
        flags.append("-DINDEX=long long")
    code = read_source(file)
    if by == "emulator":
        from minicnn.kernels.emulator import EmulatedModule

        return Kernels(EmulatedModule(code, flags))
    import cupy

    module = cupy.RawModule(code=code, options=("-std=c++17", *flags))
    if by == "cupy":
        return Kernels(module)
    from minicnn.kernels.cuda_calls.round_trip import RoundTripModule

    return Kernels(RoundTripModule(module, parameters(file)))


def empty(shape: tuple[int, ...], like: Any, dtype: Any = None) -> Any:
    """An array where `like` is, with arbitrary contents: CuPy's from its memory pool; NumPy's hold NaN."""
    dtype = like.dtype if dtype is None else np.dtype(dtype)
    if device_of(like) == "cuda":
        return get_xp(like).empty(shape, dtype=dtype)
    array = np.empty(shape, dtype=dtype)
    array.reshape(-1).view(np.uint8).fill(0 if dtype.kind == "b" else 0xFF)
    return array


def contiguous(array: Any) -> Any:
    """The array in C order: itself if it is."""
    return array if array is None or array.flags.c_contiguous else get_xp(array).ascontiguousarray(array)


def _runner_for(array: Any) -> str:
    if device_of(array) == "cuda":
        return "cupy"
    by = runner()
    if by is None:
        raise DeviceError(
            'the CUDA kernels take arrays on a GPU: move this one with minicnn.backend.to_device(array, "cuda"), '
            "or try them without a GPU inside `with minicnn.kernels.emulated():`"
        )
    return by


def _convert(value: Any, kind: str, real: np.dtype, wide: bool) -> Any:
    if kind.endswith("*"):
        return NULL if value is None else value
    if kind == "REAL":
        return real.type(value)
    if kind == "INDEX":
        return np.int64(value) if wide else np.int32(value)
    return _NUMBERS[kind](value)


_NUMBERS: dict[str, Any] = {
    "int": np.int32,
    "float": np.float32,
    "double": np.float64,
    "long long": np.int64,
    "unsigned long long": np.uint64,
}

"""RawModule's twin: the same calls as CuPy's, on NumPy arrays, by the CPU.

    module = EmulatedModule(code=text, options=("-DREAL=float",))
    module.get_function("im2col")((blocks,), (threads,), (x, columns, np.int32(3)))

What it checks that a GPU does not:

* every argument's type against the kernel's signature (CuPy passes a Python float as a double,
  an int as 64 bits, whatever the kernel expects; CuPy 13 passes None as 0xffffffff);
* writes outside an array: each argument is lent to the kernel between two guards. Reads from
  there give NaN;
* barriers that not all threads reach (fibers.h), shared memory and locals that nobody has set.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import numpy as np

from minicnn.errors import ConfigError, nearest
from minicnn.kernels.emulator.compiler import EmulatorError, compile_library, kernel_names

ORDERS = {"forward": 0, "reversed": 1, "shuffled": 20240229}
MOST_THREADS = 1024
GRID_LIMITS = (2**31 - 1, 65535, 65535)  # CUDA's, for every device since 2012
GUARD = 4096  # bytes on either side of an array; also the alignment that CuPy's arrays have is kept (512)

_order: ContextVar[str] = ContextVar("minicnn_emulator_order", default="forward")


@contextmanager
def thread_order(order: str) -> Iterator[None]:
    """Inside, blocks and threads are taken up "forward", "reversed" or "shuffled"."""
    if order not in ORDERS:
        raise ConfigError(f"unknown thread order {order!r}: {nearest(str(order), ORDERS)}")
    token = _order.set(order)
    try:
        yield
    finally:
        _order.reset(token)


class EmulatedModule:
    """The kernels of one .cu text, compiled for the CPU. The arguments are those of cupy.RawModule."""

    def __init__(
        self, code: str, options: Sequence[str] = (), backend: str = "nvrtc", sanitize: bool = False
    ) -> None:
        self.names = kernel_names(code)
        self.sanitize = sanitize
        self._library = ctypes.CDLL(str(compile_library(code, options, sanitize)))

    def get_function(self, name: str) -> EmulatedKernel:
        """The kernel of this name."""
        if name not in self.names:
            raise EmulatorError(f"there is no kernel {name!r}: {nearest(name, self.names)}")
        return EmulatedKernel(name, self._library, self.sanitize)


class EmulatedKernel:
    """A kernel that is launched by calling it: kernel(grid, block, args), as CuPy's RawKernel."""

    def __init__(self, name: str, library: ctypes.CDLL, sanitize: bool) -> None:
        self.name = name
        self.sanitize = sanitize
        self._launch = getattr(library, f"emulator_launch_{name}")
        self._message = library.emulator_message
        self._message.restype = ctypes.c_char_p
        signature = getattr(library, f"emulator_signature_{name}")
        signature.restype = ctypes.c_char_p
        self.signature = signature().decode().rstrip(",").split(",")

    def __call__(
        self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], *, shared_mem: int = 0
    ) -> None:
        if shared_mem:
            raise EmulatorError(f"{self.name}: dynamic shared memory is not emulated; declare its size")
        grid, block = self._three(grid, "grid"), self._three(block, "block")
        if block[0] * block[1] * block[2] > MOST_THREADS:
            raise EmulatorError(f"{self.name}: a block has at most {MOST_THREADS} threads, got {block}")
        if any(given > most for given, most in zip(grid, GRID_LIMITS)):
            raise EmulatorError(f"{self.name}: a grid has at most {GRID_LIMITS} blocks, got {grid}")
        if len(args) != len(self.signature):
            raise EmulatorError(
                f"{self.name} takes {len(self.signature)} arguments ({', '.join(self.signature)}), got {len(args)}"
            )
        lent: dict[tuple[int, int], _Lent] = {}
        values = [self._convert(i, *pair, lent) for i, pair in enumerate(zip(args, self.signature))]
        pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(value) for value in values])
        sizes = [(ctypes.c_uint * 3)(*extent) for extent in (grid, block)]
        if self._launch(pointers, *sizes, ORDERS[_order.get()]):
            raise EmulatorError(f"{self.name}: {self._message().decode()}")
        for each in lent.values():
            each.give_back(self.name)

    def _three(self, extent: Sequence[int], what: str) -> tuple[int, ...]:
        full = (*extent, 1, 1)[:3]
        if not all(isinstance(side, int) and side >= 1 for side in full):
            raise EmulatorError(f"{self.name}: every side of the {what} must be a positive int, got {extent}")
        return full

    def _convert(self, index: int, given: Any, expected: str, lent: dict[tuple[int, int], _Lent]) -> Any:
        """The argument as the C value that the kernel reads."""
        who = f"{self.name}, argument {index}"
        if expected.endswith("*"):
            if isinstance(given, np.uintp) and given == 0:
                return ctypes.c_void_p(None)
            if given is None:
                raise EmulatorError(
                    f"{who}: write np.uintp(0) for a null pointer: CuPy 13 passes None as 0xffffffff"
                )
            dtype = expected[:-1].removeprefix("const ")
            if not isinstance(given, np.ndarray) or given.dtype != dtype or not given.flags.c_contiguous:
                what = (
                    f"{given.dtype}{given.shape}" if isinstance(given, np.ndarray) else type(given).__name__
                )
                raise EmulatorError(f"{who}: expected a C-contiguous array of {dtype}, got {what}")
            key = given.ctypes.data, given.nbytes
            if key not in lent:
                lent[key] = _Lent(given, index, self.sanitize)
            lent[key].written |= not expected.startswith("const ")
            return ctypes.c_void_p(lent[key].address)
        if not isinstance(given, np.generic) or given.dtype != expected:
            raise EmulatorError(
                f"{who}: the kernel expects {expected}, got {type(given).__name__}: write np.{expected}(...), "
                "since CuPy passes a Python float as a double and an int as 64 bits"
            )
        return np.ctypeslib.as_ctypes_type(given.dtype)(given.item())


class _Lent:
    """A copy of an array that a kernel works on, between two guards."""

    def __init__(self, array: np.ndarray, index: int, sanitize: bool) -> None:
        self.array, self.index = array, index
        self.written = False
        # AddressSanitizer watches the borders of a block of exactly this size by itself.
        self.guard = 0 if sanitize else GUARD
        self.memory = _Memory(array.nbytes + 2 * self.guard)
        self.address = self.memory.address + self.guard
        self.border = _border(array.dtype, index)[: self.guard]
        for start in (self.memory.address, self.address + array.nbytes):
            ctypes.memmove(start, self.border, self.guard)
        ctypes.memmove(self.address, array.ctypes.data, array.nbytes)

    def give_back(self, who: str) -> None:
        for start, side in ((self.memory.address, "before"), (self.address + self.array.nbytes, "behind")):
            if ctypes.string_at(start, self.guard) != self.border:
                raise EmulatorError(
                    f"{who}: wrote {side} the array of argument {self.index}, {self.array.shape}"
                )
        if self.written:
            ctypes.memmove(self.array.ctypes.data, self.address, self.array.nbytes)


@lru_cache(maxsize=256)
def _border(dtype: np.dtype, index: int) -> bytes:
    """GUARD bytes, all different and no result of any computation: signalling NaN, or negative numbers.

    A NaN that has been computed with is a quiet one; one that was copied from another array's border
    bears that argument's number.
    """
    places = np.arange(GUARD // 4, dtype=np.uint32) + np.uint32((index % 31 << 16) + 1)
    if dtype == np.float32:
        return (places | np.uint32(0x7F800000)).tobytes()
    if dtype == np.float64:
        return (places[: GUARD // 8].astype(np.uint64) | np.uint64(0x7FF0000000000000)).tobytes()
    return (places | np.uint32(0x80000000)).tobytes()


_C = ctypes.CDLL(None)
_C.malloc.restype = ctypes.c_void_p
_C.malloc.argtypes = [ctypes.c_size_t]
_C.free.argtypes = [ctypes.c_void_p]


class _Memory:
    """Bytes straight from malloc, which aligns them by 16 and, under AddressSanitizer, watches them."""

    def __init__(self, size: int) -> None:
        self.size = max(size, 1)
        self.address = _C.malloc(self.size)

    def __del__(self) -> None:
        _C.free(self.address)

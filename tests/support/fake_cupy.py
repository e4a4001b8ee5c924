"""CuPy as far as minicnn uses it, made of NumPy and the emulator: what .to("cuda") does, without a GPU.

Its arrays refuse to meet NumPy's and its functions to take lists, as CuPy's do; its RawModule is the
emulator's. Reductions give 0-d arrays. Inside `with capturing():` it refuses what CuPy refuses while a CUDA
graph is recorded: cuBLAS, copies from the host, and looking at a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from minicnn.kernels.emulator import EmulatedModule

# What makes arrays of something else, of lists of arrays, or of shapes.
MAKE, JOIN = {"array", "asarray"}, {"concatenate", "stack"}
SHAPED = {"arange", "broadcast_to", "empty", "eye", "full", "ones", "reshape", "transpose", "zeros"}
_capturing = False


@contextmanager
def capturing() -> Iterator[None]:
    """Inside, a CUDA graph is being recorded."""
    global _capturing
    _capturing = True
    try:
        yield
    finally:
        _capturing = False


def refuse_while_capturing(what: str) -> None:
    if _capturing:
        raise NotImplementedError(f"{what} during stream capture is not supported")


class ndarray(np.ndarray):
    """An array that claims to lie on a GPU."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        for each in (*inputs, *(out or ())):
            if isinstance(each, np.ndarray) and not isinstance(each, ndarray):
                raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        if ufunc is np.matmul:
            refuse_while_capturing("calling cuBLAS")
        if out is not None:
            options["out"] = tuple(each.view(np.ndarray) for each in out)
        plain = [each.view(np.ndarray) if isinstance(each, ndarray) else each for each in inputs]
        options = {k: v.view(np.ndarray) if isinstance(v, ndarray) else v for k, v in options.items()}
        result = getattr(ufunc, method)(*plain, **options)
        return out[0] if out is not None else wrap(result)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray) and not isinstance(value, ndarray):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        super().__setitem__(key, value)

    def get(self) -> np.ndarray:
        """A copy as NumPy's array."""
        refuse_while_capturing("a copy to the host")
        return np.array(self.view(np.ndarray))

    def set(self, array: np.ndarray, stream: Any = None) -> None:
        """Take over the values of NumPy's array."""
        refuse_while_capturing("a copy from the host")
        self.view(np.ndarray)[...] = array

    def item(self, *args: Any) -> Any:
        refuse_while_capturing("looking at a number")
        return super().item(*args)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def argmax(self, *args: Any, **options: Any) -> Any:
        return wrap(self.view(np.ndarray).argmax(*args, **options))


def wrap(result: Any) -> Any:
    if isinstance(result, (np.ndarray, np.generic)):
        return np.asarray(result).view(ndarray)
    if isinstance(result, (tuple, list)):
        return type(result)(wrap(each) for each in result)
    return result


def check_arguments(name: str, args: tuple[Any, ...]) -> None:
    """TypeError where CuPy's function takes no such thing."""
    if name in MAKE:
        if not isinstance(args[0], ndarray):
            refuse_while_capturing("a copy from the host")
        return
    if name in SHAPED:
        return
    for arg in args[0] if name in JOIN else args:
        if isinstance(arg, (list, np.ndarray)) and not isinstance(arg, ndarray):
            raise TypeError(f"{name}: unsupported type {type(arg)}")


class _CuPy(ModuleType):
    def __getattr__(self, name: str) -> Any:
        attribute = getattr(np, name)
        if isinstance(attribute, type) or not callable(attribute):
            return attribute

        def call(*args: Any, **options: Any) -> Any:
            check_arguments(name, args)
            return wrap(attribute(*args, **options))

        return call


def make() -> ModuleType:
    """A module to put in sys.modules["cupy"]."""
    cupy: Any = _CuPy("cupy")
    runtime = SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=RuntimeError)
    cupy.ndarray, cupy.RawModule, cupy.__version__ = ndarray, EmulatedModule, "0"
    cupy.cuda = SimpleNamespace(runtime=runtime, Device=lambda: SimpleNamespace(compute_capability="90"))
    return cupy

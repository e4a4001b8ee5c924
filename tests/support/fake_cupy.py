"""CuPy as far as minicnn uses it, made of NumPy and the emulator: what .to("cuda") does, without a GPU.

Its arrays refuse to meet NumPy's, as CuPy's do; its RawModule is the emulator's. Reductions give 0-d arrays.
"""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from minicnn.kernels.emulator import EmulatedModule


class ndarray(np.ndarray):
    """An array that claims to lie on a GPU."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        for each in (*inputs, *(out or ())):
            if isinstance(each, np.ndarray) and not isinstance(each, ndarray):
                raise TypeError("Unsupported type <class 'numpy.ndarray'>")
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
        return np.array(self.view(np.ndarray))

    def argmax(self, *args: Any, **options: Any) -> Any:
        return wrap(self.view(np.ndarray).argmax(*args, **options))


def wrap(result: Any) -> Any:
    if isinstance(result, (np.ndarray, np.generic)):
        return np.asarray(result).view(ndarray)
    if isinstance(result, (tuple, list)):
        return type(result)(wrap(each) for each in result)
    return result


class _CuPy(ModuleType):
    def __getattr__(self, name: str) -> Any:
        attribute = getattr(np, name)
        if isinstance(attribute, type) or not callable(attribute):
            return attribute

        def call(*args: Any, **options: Any) -> Any:
            return wrap(attribute(*args, **options))

        return call


def make() -> ModuleType:
    """A module to put in sys.modules["cupy"]."""
    cupy: Any = _CuPy("cupy")
    runtime = SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=RuntimeError)
    cupy.ndarray, cupy.RawModule, cupy.__version__ = ndarray, EmulatedModule, "0"
    cupy.cuda = SimpleNamespace(runtime=runtime, Device=lambda: SimpleNamespace(compute_capability="90"))
    return cupy

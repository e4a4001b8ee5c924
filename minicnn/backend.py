"""Which array library an array belongs to, and moves between devices.

An array decides where work happens: NumPy arrays are computed on the CPU, CuPy arrays on
the GPU. CuPy is imported only when someone asks for the GPU or already holds a CuPy array.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

from minicnn.errors import ConfigError, DeviceError

# An array of NumPy or CuPy. Both follow the same interface, but no common base class exists.
Array = Any


def get_xp(*arrays: Array) -> ModuleType:
    """The module (numpy or cupy) that the arrays belong to; None among them is passed over.

    Raises DeviceError when some lie on the CPU and others on the GPU.
    """
    devices = {device_of(array) for array in arrays if array is not None}
    if len(devices) > 1:
        raise DeviceError(
            "some arrays are on the CPU and others on the GPU: move them to one device first, "
            'with minicnn.backend.to_device(array, "cuda") or layer.to("cuda")'
        )
    return _cupy() if devices == {"cuda"} else np


def device_of(array: Array) -> str:
    """ "cpu" for a NumPy array, a Python number or a nested list, "cuda" for a CuPy array."""
    # An array can only be CuPy's if CuPy is loaded already: no import is needed to find out.
    cupy = sys.modules.get("cupy")
    return "cuda" if cupy is not None and isinstance(array, cupy.ndarray) else "cpu"


def to_device(array: Array, device: str) -> Array:
    """The array on the device ("cpu" or "cuda"): the same object if it is there already."""
    if device not in ("cpu", "cuda"):
        raise ConfigError(f'unknown device {device!r}: expected "cpu" or "cuda"')
    if device == device_of(array):
        return array
    return to_numpy(array) if device == "cpu" else _cupy().asarray(array)


def to_numpy(array: Array) -> np.ndarray:
    """The array as NumPy's: itself if it is one, a copy if it lies on a GPU."""
    return array.get() if device_of(array) == "cuda" else np.asarray(array)


def cuda_available() -> bool:
    """Whether CuPy is installed and finds a GPU."""
    try:
        import cupy
    except ImportError:
        return False
    return bool(cupy.is_available())


def _cupy() -> ModuleType:
    if not cuda_available():
        raise DeviceError(
            'no CUDA device can be used: either CuPy is not installed (pip install "minicnn[cuda]") '
            'or it finds no GPU and driver; everything works on device="cpu"'
        )
    import cupy

    return cupy

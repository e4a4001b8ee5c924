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
    return sys.modules["cupy"] if devices == {"cuda"} else np


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
    return cuda_problem() is None


def cuda_problem() -> str | None:
    """Why CUDA cannot be used, and what to do about it; None when it can."""
    try:
        import cupy
    except ImportError as error:
        if error.name == "cupy":
            return 'CuPy is not installed: pip install "minicnn[cuda]" (about 2 GB; needs an NVIDIA GPU and its driver)'
        return (
            f'CuPy is installed but cannot be loaded ({error}): pip install --force-reinstall "minicnn[cuda]"'
        )
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return (
            f"CuPy {cupy.__version__} is installed but finds no GPU ({error}): install the NVIDIA driver, for CUDA "
            f"{_version(cupy.cuda.runtime.runtimeGetVersion())} or newer, and check that nvidia-smi lists the GPU"
        )
    return (
        None if count > 0 else "CuPy finds no GPU: check CUDA_VISIBLE_DEVICES and that nvidia-smi lists one"
    )


def capabilities() -> list[str]:
    """What this machine can compute on, a line each, as `minicnn devices` prints it."""
    import os
    import platform

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    lines = [f"cpu    {platform.processor() or platform.machine()}, {cpus} CPUs: available"]
    problem = cuda_problem()
    if problem is not None:
        return [*lines, f"cuda   not available: {problem}"]
    cupy = _cupy()
    for number in range(cupy.cuda.runtime.getDeviceCount()):
        properties = cupy.cuda.runtime.getDeviceProperties(number)
        capability = properties["major"], properties["minor"]
        tf32 = 'TF32 by kernels.using("tf32")' if capability >= (8, 0) else "no TF32"
        lines.append(
            f"cuda:{number} {properties['name'].decode()}, {properties['totalGlobalMem'] / 2**30:.0f} GiB, "
            f"{properties['multiProcessorCount']} multiprocessors, compute capability {capability[0]}.{capability[1]} "
            f"({tf32}): available"
        )
    runtime, driver = (
        _version(number)
        for number in (cupy.cuda.runtime.runtimeGetVersion(), cupy.cuda.runtime.driverGetVersion())
    )
    return [*lines, f"       CuPy {cupy.__version__}, CUDA {runtime}, driver for CUDA {driver}"]


def _version(number: int) -> str:
    """13020 -> 13.2: how CUDA numbers its versions."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _cupy() -> ModuleType:
    problem = cuda_problem()
    if problem is not None:
        raise DeviceError(f'no CUDA device can be used. {problem}. Everything works on device="cpu"')
    import cupy

    return cupy

"""Devices: what is there, why not, and that nothing mixes them silently. A stand-in plays CuPy."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minicnn import backend
from minicnn import functional as F
from minicnn.errors import ConfigError, DeviceError
from tests.support.training import python


class FakeArray(np.ndarray):
    """An array that claims to lie on a GPU."""


class CUDARuntimeError(RuntimeError):
    pass


def fake_cupy(devices: int | Exception) -> ModuleType:
    def count() -> int:
        if isinstance(devices, Exception):
            raise devices
        return devices

    properties = {
        "name": b"Test GPU", "totalGlobalMem": 80 * 2**30, "multiProcessorCount": 132, "major": 9, "minor": 0
    }  # fmt: skip
    runtime = SimpleNamespace(
        getDeviceCount=count,
        CUDARuntimeError=CUDARuntimeError,
        runtimeGetVersion=lambda: 13020,
        driverGetVersion=lambda: 13000,
        getDeviceProperties=lambda number: properties,
    )
    cupy: Any = ModuleType("cupy")
    cupy.ndarray, cupy.__version__ = FakeArray, "14.0.0"
    cupy.cuda = SimpleNamespace(runtime=runtime)
    return cupy


def on_fake_gpu(*shape: int) -> FakeArray:
    return np.ones(shape, np.float32).view(FakeArray)


class TestCapabilities:
    def test_without_cupy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cupy", None)
        cpu, cuda = backend.capabilities()
        assert cpu.startswith("cpu ")
        assert cpu.endswith("available")
        assert 'CuPy is not installed: pip install "minicnn[cuda]"' in cuda
        assert not backend.cuda_available()

    def test_without_a_driver(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cupy", fake_cupy(CUDARuntimeError("cudaErrorInsufficientDriver")))
        _, cuda = backend.capabilities()
        assert "finds no GPU (cudaErrorInsufficientDriver): install the NVIDIA driver, for CUDA 13.2" in cuda

    def test_with_every_gpu_hidden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cupy", fake_cupy(0))
        assert "check CUDA_VISIBLE_DEVICES" in backend.capabilities()[1]

    def test_with_a_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cupy", fake_cupy(1))
        _, gpu, versions = backend.capabilities()
        assert gpu.startswith("cuda:0 Test GPU, 80 GiB, 132 multiprocessors, compute capability 9.0 (TF32 by")
        assert "CuPy 14.0.0, CUDA 13.2, driver for CUDA 13.0" in versions
        assert backend.cuda_available()

    def test_the_command_prints_it(self) -> None:
        done = python(
            "import sys; sys.modules['cupy'] = None; sys.argv = ['minicnn', 'devices']; import minicnn.cli; minicnn.cli.main()"
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [
            line for line in done.stdout.splitlines() if line[:4] in ("cpu ", "cuda")
        ]


class TestMixing:
    def test_raises_with_advice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cupy", fake_cupy(1))
        with pytest.raises(
            DeviceError, match=r'some arrays are on the CPU and others on the GPU.*layer.to\("cuda"\)'
        ):
            F.linear_forward(np.ones((2, 3), np.float32), on_fake_gpu(4, 3))

    def test_arrays_of_one_device_are_fine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cupy = fake_cupy(1)
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        assert backend.get_xp(on_fake_gpu(2), None, on_fake_gpu(3)) is cupy
        assert backend.get_xp(np.ones(2), None) is np

    def test_moving_without_a_gpu_says_why(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cupy", None)
        with pytest.raises(DeviceError, match=r'CuPy is not installed.*works on device="cpu"'):
            backend.to_device(np.ones(2), "cuda")

    def test_an_unknown_device(self) -> None:
        with pytest.raises(ConfigError, match='unknown device \'gpu\': expected "cpu" or "cuda"'):
            backend.to_device(np.ones(2), "gpu")

"""`import cupy` gives the stand-in of fake_cupy.py: how make gpu-check itself is tried where there is no GPU.

    PYTHONPATH=tests/support/stand_in python -m benchmarks.gpu_check folder

The kernels are the emulator's, so it is slow, and what takes a GPU's speed ends at its time limit.
"""

import sys
from types import SimpleNamespace
from typing import Any

from tests.support import fake_cupy

cupy: Any = fake_cupy.make()


class Stream:
    """Records nothing: the trainer then launches kernel by kernel."""

    def __init__(self, non_blocking: bool = False) -> None:
        pass

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin_capture(self) -> None:
        raise RuntimeError("the stand-in records no graphs")

    def synchronize(self) -> None:
        pass

    def wait_event(self, event: Any) -> None:
        pass

    def record(self) -> Any:
        return SimpleNamespace(done=True, synchronize=lambda: None)


cupy.cuda.Stream = Stream
cupy.cuda.get_current_stream = Stream
cupy.cuda.Device = lambda: SimpleNamespace(compute_capability="90", synchronize=lambda: None)
cupy.cuda.MemoryPool = lambda: SimpleNamespace(malloc=None)
cupy.cuda.using_allocator = lambda _: Stream()
cupy.cuda.runtime.runtimeGetVersion = cupy.cuda.runtime.driverGetVersion = lambda: 13000
cupy.cuda.runtime.getDeviceProperties = lambda _: {
    "major": 9,
    "minor": 0,
    "name": b"stand-in for a GPU",
    "totalGlobalMem": 2**30,
    "multiProcessorCount": 1,
}
sys.modules["cupy"] = cupy

"""The CUDA kernels on NumPy arrays: without a GPU, to test them and to learn from them.

    with minicnn.kernels.emulated():                     # by the emulator, on the CPU
        model(x)
    with minicnn.kernels.emulated(order="shuffled"):     # the threads of a block in another order
        model(x)
    with minicnn.kernels.emulated(by="gpu"):             # by a real GPU, every array copied there and back
        model(x)

Inside, float32 and float64 NumPy arrays take the rows of the CUDA table: the same kernels, launched by
the same code as CuPy's arrays. It is slow. Matrix products, which on a GPU are cuBLAS's, stay NumPy's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from minicnn.errors import ConfigError, nearest

RUNNERS = ("emulator", "gpu")
_runner: ContextVar[str | None] = ContextVar("minicnn_kernels_emulated", default=None)


@contextmanager
def emulated(by: str = "emulator", order: str = "forward") -> Iterator[None]:
    """Inside, NumPy arrays are computed by the CUDA kernels.

    by: "emulator" (needs a C++ compiler) or "gpu". order: how the emulator takes up threads and blocks,
    "forward", "reversed" or "shuffled"; the results must not depend on it.
    """
    if by not in RUNNERS:
        raise ConfigError(f"emulated: unknown runner {by!r}: {nearest(str(by), RUNNERS)}")
    token = _runner.set(by)
    try:
        if by == "gpu":  # takes up its threads as it pleases
            yield
            return
        from minicnn.kernels.emulator.module import thread_order

        with thread_order(order):
            yield
    finally:
        _runner.reset(token)


def runner() -> str | None:
    """What runs the CUDA kernels for NumPy arrays; None outside emulated(): they are the CPU's then."""
    return _runner.get()

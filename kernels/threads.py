"""minicnn.set_num_threads(n), and the peace between two pools of threads.

The kernels' pool is Numba's; NumPy's matrix products have one of their own, in BLAS. Threads of a
pool spin for a while after their work, waiting for more, and so two pools that take turns slow each
other down: ninefold, as measured. So where a network computes some layers by kernels and some by
products, the products are made by one thread.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

import numpy as np


def set_num_threads(count: int) -> None:
    """Let kernels use this many threads, at most as many as CPUs this process may run on."""
    from minicnn.kernels.cpu import threads

    threads.set_num_threads(count)


def get_num_threads() -> int:
    """How many threads the kernels use: at first as many as CPUs this process may run on."""
    from minicnn.kernels.cpu import threads

    return threads.get_num_threads()


def matmul(a: Any, b: Any) -> Any:
    """a @ b, by one thread once kernels have started theirs."""
    mixed = "minicnn.kernels.cpu.threads" in sys.modules and a.dtype == np.float32
    if not mixed or not isinstance(a, np.ndarray):
        return a @ b
    with _controller().limit(limits=1, user_api="blas"):
        return a @ b


@lru_cache
def _controller() -> Any:
    import threadpoolctl

    return threadpoolctl.ThreadpoolController()

"""What runs the CUDA kernels in these tests: the emulator, or a GPU where MINICNN_CUDA_TESTS=gpu says so."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minicnn.kernels import emulated
from minicnn.kernels.emulator.module import ORDERS

BY = os.environ.get("MINICNN_CUDA_TESTS", "emulator")


@contextmanager
def on_gpu(order: str = "forward") -> Iterator[None]:
    """Inside, NumPy arrays are computed by the CUDA kernels."""
    with emulated(by=BY, order=order):
        yield


def in_every_order(compute: Callable[[], Any]) -> Any:
    """The arrays that compute() returns (None among them stays), which must be the same bits in every thread order."""
    results = None
    for order in ORDERS if BY == "emulator" else ("forward", "forward"):
        with on_gpu(order):
            outcome = compute()
        if results is None:
            results = outcome
        for first, again in zip(results, outcome):
            assert (first is None) == (again is None)
            if first is not None:
                np.testing.assert_array_equal(first, again, err_msg=f"{order}: the order of threads shows")
    return results

"""A small sweep over all kernels against the definition, run by test_machines.py in processes of its own.

    MINICNN_SIMD=avx2 NUMBA_NUM_THREADS=4 python -m tests.kernels.sweep 4

Prints the vector width, the number of threads and the largest relative error of each kind of result.
"""

from __future__ import annotations

import sys

import numpy as np

import minicnn
from minicnn import functional as F
from minicnn.kernels import using

BATCHES = (3, 20, 64)


def relative(result: np.ndarray, exact: np.ndarray) -> float:
    return float(np.abs(result - exact).max() / np.abs(exact).max())


def upstream(shape: tuple[int, ...]) -> np.ndarray:
    """The same positive numbers in float32 for both: their sums do not cancel."""
    return np.random.default_rng(9).random(shape, dtype=np.float32)


def sweep() -> dict[str, float]:
    rng = np.random.default_rng(0)
    worst: dict[str, float] = {}

    def note(name: str, results: tuple, exact: tuple) -> None:
        for result, value in zip(results, exact):
            worst[name] = max(worst.get(name, 0.0), relative(result, value))

    for batch in BATCHES:
        for channels, kernel, options in (
            (1, 5, {"padding": 2}),
            (6, 3, {"stride": 2, "padding": 1}),
            (7, 1, {}),
        ):
            x = rng.standard_normal((batch, channels, 12, 11), dtype=np.float32)
            weight = rng.standard_normal((8, channels, kernel, kernel), dtype=np.float32)
            bias = rng.standard_normal(8).astype(np.float32)
            outcomes = []
            for dtype in (np.float32, np.float64):
                with using("direct"):
                    y, cache = F.conv2d_forward(*(a.astype(dtype) for a in (x, weight, bias)), **options)
                    dy = upstream(y.shape).astype(dtype)
                    outcomes.append((y, *F.conv2d_backward(dy, cache)))
            note("conv2d", *outcomes)
        x = rng.standard_normal((batch, 33), dtype=np.float32)
        weight = rng.standard_normal((13, 33), dtype=np.float32)
        outcomes = []
        for dtype in (np.float32, np.float64):
            with using("direct"):
                y, cache = F.linear_forward(x.astype(dtype), weight.astype(dtype))
                outcomes.append((y, *F.linear_backward(upstream(y.shape).astype(dtype), cache)[:2]))
        note("linear", *outcomes)
        images = rng.standard_normal((batch, 5, 9, 8), dtype=np.float32)
        outcomes = []
        for dtype in (np.float32, np.float64):
            with using("direct"):
                y, cache = F.max_pool2d_forward(images.astype(dtype), 2)
                y2, cache2 = F.relu_forward(y)
                outcomes.append((y2, F.max_pool2d_backward(F.relu_backward(y, cache2), cache)))
        note("max_pool2d, relu", *outcomes)
    return worst


if __name__ == "__main__":
    from minicnn.kernels.cpu.lanes import LANES

    minicnn.set_num_threads(int(sys.argv[1]))
    errors = sweep()
    print(f"lanes {LANES}, threads {minicnn.get_num_threads()}: {errors}")
    sys.exit(any(error > 1e-5 for error in errors.values()))

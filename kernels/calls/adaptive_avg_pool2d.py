"""Average pooling over bins that need not be equal: see cpu/pooling.py."""

from __future__ import annotations

import numpy as np

from minicnn.kernels.calls.avg_pool2d import AvgPool2dKernelCache, average


def forward(x: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, AvgPool2dKernelCache]:
    """rows (P, 2) and cols (Q, 2): where each bin starts and stops."""
    counts = np.outer(rows[:, 1] - rows[:, 0], cols[:, 1] - cols[:, 0])
    return average(x, (1 / counts).astype(x.dtype), rows, cols)

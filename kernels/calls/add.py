"""The sum of two arrays of one shape, in the storage of the first."""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu import elementwise
from minicnn.kernels.cpu.layout import arrange, as_nchw, order_of
from minicnn.kernels.memory import empty


def forward(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    order = order_of(a) or tuple(range(a.ndim))
    a, b = arrange(a, order), arrange(b, order)
    y = empty(a.shape)
    elementwise.add(a.reshape(-1), b.reshape(-1), y.reshape(-1))
    return as_nchw(y, order)

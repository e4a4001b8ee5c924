"""Arrays (N, C_i, H, W) one after another along the channels, stored channels-last where the first one is."""

from __future__ import annotations

import numpy as np

from minicnn.kernels.cpu import rows
from minicnn.kernels.cpu.layout import NHWC, as_nchw, as_rows, order_of
from minicnn.kernels.memory import empty


def forward(parts: list[np.ndarray]) -> np.ndarray:
    if order_of(parts[0]) != NHWC:
        return np.concatenate(parts, axis=1)
    n, _, h, w = parts[0].shape
    y = as_nchw(empty((n, h, w, sum(part.shape[1] for part in parts))), NHWC)
    start = 0
    for part in parts:
        stop = start + part.shape[1]
        put(part, y[:, start:stop])
        start = stop
    return y


def put(x: np.ndarray, y: np.ndarray) -> bool:
    """y = x for a slice of channels y of an array that is stored channels-last; False, and nothing done, for another."""
    target = as_rows(y)
    if not np.may_share_memory(target, y):
        return False
    rows.copy(as_rows(x), target, x.shape[1])
    return True

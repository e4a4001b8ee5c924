"""Dropout: the mask in the logical order of the array, applied in the order of its memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.kernels.cpu import dropout, elementwise
from minicnn.kernels.cpu.layout import Order, arrange, as_nchw, order_of
from minicnn.kernels.memory import empty


class DropoutKernelCache(NamedTuple):
    stored: np.ndarray  # bool, in stored order
    scale: float  # 1 / (1 - p)
    order: Order

    @property
    def shape(self) -> tuple[int, ...]:
        return self.kept.shape

    @property
    def kept(self) -> np.ndarray:
        return as_nchw(self.stored, self.order)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return _masked(arrange(dy, self.order), self)


def forward(x: np.ndarray, p: float, seed: int, offset: int) -> tuple[np.ndarray, DropoutKernelCache]:
    order = order_of(x) or tuple(range(x.ndim))
    kept = empty(x.shape, np.bool_)
    dropout.keep(np.uint64(seed), np.uint64(offset), np.float64(p * 2.0**32), kept.reshape(-1))
    cache = DropoutKernelCache(arrange(kept, order), 1 / (1 - p) if p < 1 else 0.0, order)
    return _masked(arrange(x, order), cache), cache


def _masked(stored: np.ndarray, cache: DropoutKernelCache) -> np.ndarray:
    y = empty(stored.shape)
    elementwise.masked(stored.reshape(-1), cache.stored.reshape(-1), np.float32(cache.scale), y.reshape(-1))
    return as_nchw(y, cache.order)

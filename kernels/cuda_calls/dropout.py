"""Dropout: see cuda/dropout.cu."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels.cuda_calls.launch import contiguous, empty, launch

FILE = "dropout.cu"
# While a training step is recorded: an array of one uint64 that the kernels add to their offset in every
# replay (see train/graph.py).
_later: ContextVar[Any] = ContextVar("minicnn_dropout_later", default=None)


class DropoutKernelCache(NamedTuple):
    kept: Any  # bool
    scale: float  # 1 / (1 - p)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.kept.shape

    def backward(self, dy: Any) -> Any:
        dy = contiguous(dy)
        dx = empty(dy.shape, like=dy)
        launch(FILE, "dropout_backward", dy.size, (dy, self.kept, dx, self.scale, dy.size))
        return dx


def forward(x: Any, p: float, seed: int, offset: int) -> tuple[Any, DropoutKernelCache]:
    x = contiguous(x)
    y, kept = empty(x.shape, like=x), empty(x.shape, like=x, dtype=np.bool_)
    scale = 1 / (1 - p) if p < 1 else 0.0
    args = (x, y, kept, seed, offset, _later.get(), p * 2.0**32, scale, x.size)
    launch(FILE, "dropout_forward", -(-x.size // 4), args)
    return y, DropoutKernelCache(kept, scale)


@contextmanager
def counted(later: Any) -> Iterator[None]:
    """Inside, masks are those of offset + later[0], which is read when the kernels run."""
    token = _later.set(later)
    try:
        yield
    finally:
        _later.reset(token)

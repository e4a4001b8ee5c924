"""Softmax and cross entropy: see cuda/cross_entropy.cu."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import get_xp
from minicnn.kernels.cuda_calls.launch import THREADS, blocks_for, contiguous, empty, launch

FILE = "cross_entropy.cu"
WARP = 32


class CrossEntropyKernelCache(NamedTuple):
    probs: Any  # (N, K)
    labels: Any  # (N,), int64
    scale: float  # 1 / N for the mean

    def backward(self, dy: Any) -> Any:
        probs, labels, scale = self
        xp = get_xp(probs)
        dy = contiguous(xp.asarray(dy, dtype=probs.dtype)).reshape(1)
        dlogits = empty(probs.shape, like=probs)
        args = (probs, labels, dy, dlogits, *probs.shape, scale)
        launch(FILE, "cross_entropy_backward", probs.size, args)
        return dlogits


def forward(logits: Any, labels: Any, reduction: str) -> tuple[Any, CrossEntropyKernelCache]:
    """The loss stays on the GPU. It is NaN where a label is no class: looking would mean to wait for the GPU."""
    xp = get_xp(logits)
    logits = contiguous(logits)
    labels = xp.array(labels, dtype=np.int64)  # a copy: the caller may go on to fill the same array
    batch, classes = logits.shape
    losses, probs = empty((batch,), like=logits), empty(logits.shape, like=logits)
    grid = (blocks_for(batch, THREADS // WARP),)
    launch(FILE, "cross_entropy_forward", grid, (logits, labels, losses, probs, batch, classes))
    scale = 1 / batch if reduction == "mean" else 1.0
    total = empty((1,), like=logits)
    launch(FILE, "cross_entropy_total", (1,), (losses, total, batch, scale))
    return total.reshape(()), CrossEntropyKernelCache(probs, labels, scale)

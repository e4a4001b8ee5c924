"""Softmax cross entropy of (N, K) logits: see cpu/losses.py."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.kernels.cpu import losses
from minicnn.kernels.cpu.layout import DN, arrange
from minicnn.kernels.memory import empty


class CrossEntropyKernelCache(NamedTuple):
    probs: np.ndarray  # (K, N)
    labels: np.ndarray
    reduction: str
    right: int  # samples whose largest logit is their label's

    def backward(self, dy: np.ndarray) -> np.ndarray:
        scale = float(dy) / (len(self.labels) if self.reduction == "mean" else 1)
        dz = empty(self.probs.shape)
        losses.cross_entropy_dx(self.probs, self.labels, np.float32(scale), dz)
        return dz.T


def forward(
    logits: np.ndarray, labels: np.ndarray, reduction: str
) -> tuple[np.ndarray, CrossEntropyKernelCache] | None:
    """None where a label is wrong: the definition then says which and why."""
    probs = empty(logits.shape[::-1])
    labels = labels.astype(np.int64)  # a copy: the caller may go on to fill the same array
    total, right, wrong = losses.cross_entropy(arrange(logits, DN), labels, probs)
    if wrong >= 0:
        return None
    loss = total / len(labels) if reduction == "mean" else total
    return np.asarray(loss, dtype=np.float32), CrossEntropyKernelCache(probs, labels, reduction, right)

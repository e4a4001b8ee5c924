"""Optimizer steps on arrays of any shape, in place: see cpu/updates.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.kernels.cpu import updates


def sgd(value: np.ndarray, grad: np.ndarray, velocity: np.ndarray | None, first: bool, hyper: Any) -> bool:
    """SGD's step; velocity is None without momentum. False where an array is not one piece of memory."""
    if velocity is None:
        flat = _flat(value, grad)
        if flat is not None:
            updates.descend(*flat, float(hyper.lr), float(hyper.weight_decay))
        return flat is not None
    flat = _flat(value, grad, velocity)
    if flat is not None:
        keep, rate = (0.0, 1.0) if first else (hyper.momentum, 1 - hyper.dampening)
        numbers = map(float, (keep, rate, hyper.momentum, hyper.lr, hyper.weight_decay))
        updates.sgd(*flat, *numbers, bool(hyper.nesterov))
    return flat is not None


def adam(
    value: np.ndarray, grad: np.ndarray, m: np.ndarray, v: np.ndarray, step: int, decoupled: bool, hyper: Any
) -> bool:
    """Adam's step, or AdamW's where the decay is decoupled. False as for sgd."""
    flat = _flat(value, grad, m, v)
    if flat is None:
        return False
    beta1, beta2 = hyper.betas
    lr, root = hyper.lr / (1 - beta1**step), math.sqrt(1 - beta2**step)
    decay, shrink = (0.0, 1 - hyper.lr * hyper.weight_decay) if decoupled else (hyper.weight_decay, 1.0)
    updates.adam(*flat, *map(float, (beta1, beta2, lr, hyper.eps, root, decay, shrink)))
    return True


def _flat(value: np.ndarray, grad: np.ndarray, *state: np.ndarray) -> list[np.ndarray] | None:
    """All as one-dimensional arrays; None where one that is written is not one piece of memory."""
    for array in (value, *state):
        if not array.flags.c_contiguous:
            return None
    if grad.dtype != value.dtype:
        return None
    if not grad.flags.c_contiguous:
        grad = np.ascontiguousarray(grad)
    return [array.reshape(-1) for array in (value, grad, *state)]

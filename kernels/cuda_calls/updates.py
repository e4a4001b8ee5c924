"""Optimizer steps over flat buffers, in place: see cuda/updates.cu."""

from __future__ import annotations

import math
from typing import Any

from minicnn.kernels.cuda_calls.launch import contiguous, launch


def sgd(value: Any, grad: Any, velocity: Any | None, first: bool, hyper: Any) -> bool:
    """SGD's step; velocity is None without momentum. False where an array is not one piece of memory."""
    if not _can(value, grad, velocity):
        return False
    keep, rate = (0.0, 1.0) if first else (hyper.momentum, 1 - hyper.dampening)
    numbers = (keep, rate, hyper.momentum, hyper.lr, hyper.weight_decay, hyper.nesterov)
    args = (value, contiguous(grad), velocity, *numbers, value.size)
    launch("updates.cu", "sgd", value.size, args)
    return True


def adam(value: Any, grad: Any, m: Any, v: Any, step: int, decoupled: bool, hyper: Any) -> bool:
    """Adam's step, or AdamW's where the decay is decoupled. False as for sgd."""
    if not _can(value, grad, m, v):
        return False
    beta1, beta2 = hyper.betas
    lr, root = hyper.lr / (1 - beta1**step), math.sqrt(1 - beta2**step)
    decay, shrink = (0.0, 1 - hyper.lr * hyper.weight_decay) if decoupled else (hyper.weight_decay, 1.0)
    numbers = (beta1, beta2, 1 - beta1, 1 - beta2, lr, hyper.eps, root, decay, shrink)
    launch("updates.cu", "adam", value.size, (value, contiguous(grad), m, v, *numbers, value.size))
    return True


def _can(value: Any, grad: Any, *state: Any) -> bool:
    """Whether what is written is in one piece, and the gradient of the same dtype."""
    written = [array for array in (value, *state) if array is not None]
    return grad.dtype == value.dtype and all(array.flags.c_contiguous for array in written)

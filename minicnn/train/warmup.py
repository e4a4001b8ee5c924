"""Compile ahead: a training step on noise, after which all kernels of a network are on disk."""

from __future__ import annotations

import time

import numpy as np

from minicnn.layers.base import backward_into
from minicnn.models import architecture, build, loss_for
from minicnn.optim import SGD, Adam


def warm_up(model: str, batch_size: int) -> float:
    """One step of training with each common optimizer, and one of prediction; returns the seconds."""
    start = time.perf_counter()
    rng = np.random.default_rng(0)
    network, loss = build(model, rng=rng), loss_for(model)
    x = rng.standard_normal((batch_size, *architecture(model).input_shape), dtype=np.float32)
    labels = np.zeros(batch_size, dtype=np.int64)
    for optimizer in (SGD(network, lr=0.0, momentum=0.9), Adam(network, lr=0.0)):
        optimizer.zero_grad()
        loss(network.forward(x), labels)
        backward_into(network, loss.backward(), need_dx=False)
        optimizer.step()
    network.eval().forward(x)
    return time.perf_counter() - start

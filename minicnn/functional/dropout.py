"""Dropout: remove values at random while training.

Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting",
in the inverted form: what is kept is scaled up in training, so evaluation does nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.backend import Array, get_xp
from minicnn.errors import ConfigError
from minicnn.functional.check import check_float, check_upstream, number
from minicnn.functional.philox import random_bits
from minicnn.kernels.choice import kernel_for
from minicnn.kernels.table import Shaped


class DropoutCache(NamedTuple):
    kept: Array  # bool, the shape of x
    scale: float  # 1 / (1 - p)


def dropout_forward(x: Array, p: float = 0.5, *, seed: int, offset: int = 0) -> tuple[Array, DropoutCache]:
    """y = x / (1 - p) where kept, else 0; each value is dropped with probability p.

    Any shape. The mask is a pure function of (seed, offset, position of the value in C order):
    the same bits on every device and for any strides. seed and offset are 64-bit ints; give
    each forward pass another offset.
    """
    check_float("dropout", x=x)
    p = number("dropout", "p", p)
    if not 0 <= p <= 1:
        raise ConfigError(f"dropout: p is the probability of dropping, from 0 to 1, got {p}")
    if kernel := kernel_for("dropout", x, Shaped(x.shape)):
        return kernel.forward(x, p, seed, offset)
    kept = random_bits(get_xp(x), x.size, seed, offset).reshape(x.shape) >= p * 2.0**32
    scale = 1 / (1 - p) if p < 1 else 0.0
    return _masked(x, kept, scale), DropoutCache(kept, scale)


def dropout_backward(dy: Array, cache: DropoutCache) -> Array:
    """dx = dy / (1 - p) where kept, else 0: the mask of the forward pass."""
    check_upstream("dropout", dy, cache.kept.shape)
    if not isinstance(cache, DropoutCache) and dy.dtype == np.float32:
        return cache.backward(dy)
    return _masked(dy, cache.kept, cache.scale)


def _masked(x: Array, kept: Array, scale: float) -> Array:
    return get_xp(x).where(kept, x, 0) * scale  # in this order: what is dropped may be infinite

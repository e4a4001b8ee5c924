"""Sums with a fixed order of additions: see cuda/sums.cu."""

from __future__ import annotations

import math
from typing import Any

from minicnn.kernels.cuda_calls.geometry import parts_for
from minicnn.kernels.cuda_calls.launch import empty, launch


def sum_parts(parts: Any, shape: tuple[int, ...]) -> Any:
    """The sum over the first axis, as an array of this shape."""
    count, size = parts.shape[0], math.prod(shape)
    if count == 1:
        return parts.reshape(shape)
    out = empty(shape, like=parts)
    launch("sums.cu", "sum_parts", size, (parts, out, count, size))
    return out


def channel_sums(dy: Any) -> Any:
    """Sums over all axes but the second: dy (N, C, ...) in C order -> (C,)."""
    batch, channels, image = dy.shape[0], dy.shape[1], math.prod(dy.shape[2:])
    count = parts_for(batch * image, channels)
    parts = empty((count, channels), like=dy)
    launch("sums.cu", "channel_sums", (count, channels), (dy, parts, batch, channels, image))
    return sum_parts(parts, (channels,))

"""Resizing: bilinear with antialiasing, which is one small matrix for the rows and one for the columns.

    y = R x Cᵀ        R (P, H), C (Q, W)

Each row of R holds a triangle of weights that sum to 1, as wide as one output pixel is in input pixels (or one
input pixel, if that is wider): the same filter as Pillow's BILINEAR.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minicnn.data.transforms.base import Transform, as_dtype, check_images, image_size
from minicnn.errors import ConfigError


def resize(images: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Images (n, C, H, W) scaled to exactly size (P, Q); an int P: the shorter side becomes P, keeping proportions."""
    x = check_images(images)
    height, width = x.shape[2:]
    new = _shorter(height, width, size) if isinstance(size, (int, np.integer)) else image_size("resize", size)
    if new == (height, width):
        return x.copy()
    work = np.float64 if x.dtype == np.float64 else np.float32
    rows, columns = (resize_matrix(a, b).astype(work) for a, b in zip((height, width), new))
    return as_dtype(rows @ x.astype(work, copy=False) @ columns.T, x)


@lru_cache(maxsize=64)
def resize_matrix(length: int, new: int) -> np.ndarray:
    """(new, length): how much each input pixel counts for each output pixel, float64."""
    scale = length / new
    reach = max(scale, 1.0)
    centres = (np.arange(new) + 0.5) * scale
    distance = (np.arange(length) + 0.5 - centres[:, None]) / reach
    weights = np.maximum(0.0, 1.0 - np.abs(distance))
    return weights / weights.sum(axis=1, keepdims=True)


def _shorter(height: int, width: int, side: int) -> tuple[int, int]:
    if side < 1:
        raise ConfigError(f"resize: size must be a number of pixels or a pair (height, width), got {side}")
    if height <= width:
        return int(side), max(1, round(width * side / height))
    return max(1, round(height * side / width)), int(side)


class Resize(Transform):
    """Scales to size (H, W), or the shorter side to an int, bilinear with antialiasing."""

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = size if isinstance(size, (int, np.integer)) else image_size("Resize", size)
        if isinstance(size, (int, np.integer)):
            _shorter(1, 1, int(size))

    def images(self, x: np.ndarray, rng: Any) -> np.ndarray:
        return resize(x, self.size)

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        channels, height, width = shape
        return channels, *(self.size if isinstance(self.size, tuple) else _shorter(height, width, self.size))

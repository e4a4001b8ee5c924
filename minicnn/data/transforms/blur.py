"""Gaussian blur and Gaussian noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.data.transforms.base import Transform, as_dtype, interval, top_value
from minicnn.errors import ConfigError


def gaussian_weights(sigma: np.ndarray, radius: int) -> np.ndarray:
    """(n, 2 radius + 1): exp(-k² / 2σ²) for k from -radius to radius, summing to 1."""
    k = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (k / np.asarray(sigma, np.float64)[:, None]) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)


class GaussianBlur(Transform):
    """Every image blurred by a Gaussian whose sigma, in pixels, is drawn within (low, high).

    kernel_size: odd, its width in pixels. At the border the image is continued by its mirror image, without
    repeating the border: scipy.ndimage's mode="mirror".
    """

    random = True

    def __init__(self, kernel_size: int = 3, sigma: float | tuple[float, float] = (0.1, 2.0)) -> None:
        if (
            isinstance(kernel_size, bool)
            or not isinstance(kernel_size, int)
            or kernel_size < 1
            or kernel_size % 2 == 0
        ):
            raise ConfigError(
                f"GaussianBlur: kernel_size must be an odd number of pixels, got {kernel_size!r}"
            )
        self.kernel_size = kernel_size
        pair = (sigma, sigma) if isinstance(sigma, (int, float)) else sigma
        self.sigma = interval("GaussianBlur", "sigma", pair, centre=None, low=1e-6)

    def images(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        radius = self.kernel_size // 2
        if min(x.shape[2:]) <= radius:
            raise ConfigError(
                f"GaussianBlur: images {x.shape[2]}x{x.shape[3]} are smaller than half the kernel"
            )
        work = np.float64 if x.dtype == np.float64 else np.float32
        weights = gaussian_weights(rng.uniform(*self.sigma, len(x)), radius).astype(work)
        y = x.astype(work)
        for axis in (2, 3):
            pad = [(0, 0)] * 4
            pad[axis] = (radius, radius)
            padded, length = np.pad(y, pad, mode="reflect"), x.shape[axis]
            views = [padded.take(range(k, k + length), axis) for k in range(2 * radius + 1)]
            y = sum(w[:, None, None, None] * view for w, view in zip(weights.T, views))
        return as_dtype(y, x)


class GaussianNoise(Transform):
    """Independent noise on every pixel and channel. std: as a share of white (0.1 is 25.5 of 255)."""

    random = True

    def __init__(self, std: float = 0.05) -> None:
        if isinstance(std, bool) or not isinstance(std, (int, float)) or not 0 <= std < np.inf:
            raise ConfigError(f"GaussianNoise: std must be 0 or more, as a share of white, got {std!r}")
        self.std = float(std)

    def images(self, x: np.ndarray, rng: Any) -> np.ndarray:
        noise = rng.standard_normal(x.shape, dtype=np.float32)
        noise *= self.std * top_value(x)
        return as_dtype(x + noise, x)

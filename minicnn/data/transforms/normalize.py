"""Normalisation, for pipelines of one's own: data sets do it by their Preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from minicnn.data.preprocess import Preprocessing
from minicnn.data.transforms.base import Transform, top_value
from minicnn.errors import ConfigError


class Normalize(Transform):
    """y = (x / white - mean) / std per channel, as float32 (float64 stays); white is 255 for uint8 and 1 for floats."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        if len(self.mean) != len(self.std) or not self.mean or min(self.std) <= 0:
            raise ConfigError(f"Normalize: one mean and one positive std a channel, got {mean!r} and {std!r}")

    @classmethod
    def from_training_images(cls, images: np.ndarray) -> Self:
        """With the mean and standard deviation of uint8 training images."""
        found = Preprocessing.from_training_images(images)
        return cls(found.mean, found.std)

    def images(self, x: np.ndarray, rng: Any) -> np.ndarray:
        if x.shape[1] != len(self.mean):
            raise ConfigError(f"Normalize for {len(self.mean)} channel(s) got images with {x.shape[1]}")
        mean, std = (np.array(v)[:, None, None] for v in (self.mean, self.std))
        dtype = np.float64 if x.dtype == np.float64 else np.float32
        return x * (1 / (std * top_value(x))).astype(dtype) - (mean / std).astype(dtype)

"""Mirror images."""

from __future__ import annotations

import numpy as np

from minicnn.data.transforms.base import Transform, probability
from minicnn.data.transforms.sampling import crop


class RandomHorizontalFlip(Transform):
    """Left and right exchanged, with probability p an image."""

    random = True

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability("RandomHorizontalFlip", p)

    def images(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        none = np.zeros(len(x), np.int64)
        return crop(x, none, none, x.shape[2:], flip_columns=rng.random(len(x)) < self.p)


class RandomVerticalFlip(Transform):
    """Top and bottom exchanged, with probability p an image."""

    random = True

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability("RandomVerticalFlip", p)

    def images(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        none = np.zeros(len(x), np.int64)
        return crop(x, none, none, x.shape[2:], flip_rows=rng.random(len(x)) < self.p)

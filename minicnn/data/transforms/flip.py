"""Mirror images."""

from __future__ import annotations

import numpy as np

from minicnn.data.transforms.base import probability
from minicnn.data.transforms.moving import WholePixel
from minicnn.data.transforms.sampling import Moves


class RandomHorizontalFlip(WholePixel):
    """Left and right exchanged, with probability p an image."""

    random = True

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability("RandomHorizontalFlip", p)

    def moves(self, n: int, size: tuple[int, int], rng: np.random.Generator) -> Moves:
        none = np.zeros(n, np.int64)
        return Moves(none, none, size, flip_columns=rng.random(n) < self.p)


class RandomVerticalFlip(WholePixel):
    """Top and bottom exchanged, with probability p an image."""

    random = True

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability("RandomVerticalFlip", p)

    def moves(self, n: int, size: tuple[int, int], rng: np.random.Generator) -> Moves:
        none = np.zeros(n, np.int64)
        return Moves(none, none, size, flip_rows=rng.random(n) < self.p)

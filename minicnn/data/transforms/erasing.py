"""Random erasing: a rectangle of the image is blotted out, so that no single part of it is relied on."""

from __future__ import annotations

import math

import numpy as np

from minicnn.data.transforms.base import Transform, interval, probability
from minicnn.errors import ConfigError


class RandomErasing(Transform):
    """A rectangle filled with `value`, with probability p an image: Zhong et al. 2017, Random erasing data augmentation.

    scale: the rectangle's share of the area.  ratio: its height over its width, drawn evenly on a
    logarithmic scale.  value: a number in the images' own scale, or "random" for noise.
    """

    random = True

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float | str = 0,
    ) -> None:
        self.p = probability("RandomErasing", p)
        self.scale = interval("RandomErasing", "scale", scale, centre=None, low=0.0)
        self.ratio = interval("RandomErasing", "ratio", ratio, centre=None, low=1e-3)
        if self.scale[1] > 1:
            raise ConfigError(f"RandomErasing: scale is a share of the area, 0 to 1, got {scale!r}")
        if isinstance(value, str) and value != "random":
            raise ConfigError(f'RandomErasing: value is a number or "random", got {value!r}')
        self.value = value

    def images(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        y = x.copy()
        height, width = x.shape[2:]
        chosen = rng.random(len(x)) < self.p
        area = rng.uniform(*self.scale, len(x)) * height * width
        ratio = np.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), len(x)))
        h = np.clip(np.rint(np.sqrt(area * ratio)), 1, height).astype(int)
        w = np.clip(np.rint(np.sqrt(area / ratio)), 1, width).astype(int)
        top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
        for n in np.flatnonzero(chosen):
            hole = y[n, :, top[n] : top[n] + h[n], left[n] : left[n] + w[n]]
            hole[...] = self.value if not isinstance(self.value, str) else _noise(hole, rng)
        return y


def _noise(hole: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if hole.dtype == np.uint8:
        return rng.integers(0, 256, hole.shape, dtype=np.uint8)
    return rng.random(hole.shape)

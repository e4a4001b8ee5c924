"""Crops and padding: at the centre, anywhere, or of any size scaled back to one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.data.transforms.base import image_size, interval
from minicnn.data.transforms.moving import Sampled, WholePixel
from minicnn.data.transforms.sampling import Moves
from minicnn.errors import ConfigError


class CenterCrop(WholePixel):
    """The middle of size (H, W). A smaller image gets `fill` around it."""

    def __init__(self, size: int | tuple[int, int], fill: float = 0) -> None:
        self.size = image_size("CenterCrop", size)
        self.fill = fill

    def moves(self, n: int, size: tuple[int, int], rng: Any) -> Moves:
        top, left = ((side - wanted) // 2 for side, wanted in zip(size, self.size))
        return Moves(np.full(n, top), np.full(n, left), self.size)

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        return shape[0], *self.size


class Pad(WholePixel):
    """`padding` pixels of `fill` around: an int, (left and right, top and bottom), or (left, top, right, bottom)."""

    def __init__(self, padding: int | tuple[int, ...], fill: float = 0) -> None:
        given = (padding,) if isinstance(padding, (int, np.integer)) else tuple(padding)
        sides = {1: given * 4, 2: given * 2, 4: given}.get(len(given), ())
        if not sides or min(sides) < 0:
            raise ConfigError(
                f"Pad: padding must be 0 or more pixels: an int, a pair, or (left, top, right, bottom), got {padding!r}"
            )
        self.padding = tuple(int(side) for side in sides)
        self.fill = fill

    def moves(self, n: int, size: tuple[int, int], rng: Any) -> Moves:
        left, top, _, _ = self.padding
        _, height, width = self.output_shape((1, *size))
        return Moves(np.full(n, -top), np.full(n, -left), (height, width))

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        left, top, right, bottom = self.padding
        return shape[0], shape[1] + top + bottom, shape[2] + left + right


class RandomCrop(WholePixel):
    """A window of size (H, W) from anywhere in the image with `padding` pixels of `fill` around it."""

    random = True

    def __init__(self, size: int | tuple[int, int], padding: int = 0, fill: float = 0) -> None:
        self.size = image_size("RandomCrop", size)
        if isinstance(padding, bool) or not isinstance(padding, (int, np.integer)) or padding < 0:
            raise ConfigError(f"RandomCrop: padding must be 0 or more pixels, got {padding!r}")
        self.padding = int(padding)
        self.fill = fill

    def moves(self, n: int, size: tuple[int, int], rng: np.random.Generator) -> Moves:
        starts = []
        for side, wanted in zip(size, self.size):
            last = side + 2 * self.padding - wanted
            if last < 0:
                raise ConfigError(
                    f"RandomCrop: a window {self.size[0]}x{self.size[1]} does not fit into images "
                    f"{size[0]}x{size[1]} with padding {self.padding}: pad more, or resize first"
                )
            starts.append(rng.integers(0, last + 1, n) - self.padding)
        tops, lefts = starts
        return Moves(tops, lefts, self.size)

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        return shape[0], *self.size


class RandomResizedCrop(Sampled):
    """A window of random area and shape, scaled to size (H, W): Szegedy et al. 2015, Going deeper with convolutions.

    scale: the window's share of the image's area.  ratio: its width over its height, drawn evenly on a
    logarithmic scale. Bilinear, without antialiasing.
    """

    random = True
    padding_mode = "nearest"

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        self.size = image_size("RandomResizedCrop", size)
        self.scale = interval("RandomResizedCrop", "scale", scale, centre=None, low=0.0)
        self.ratio = interval("RandomResizedCrop", "ratio", ratio, centre=None, low=1e-3)
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ConfigError(f"RandomResizedCrop: scale is a share of the area, above 0 to 1, got {scale!r}")

    def maps(self, n: int, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        height, width = size
        area = rng.uniform(*self.scale, n) * height * width
        ratio = np.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), n))
        h, w = np.minimum(np.sqrt(area / ratio), height), np.minimum(np.sqrt(area * ratio), width)
        top, left = rng.random(n) * (height - h), rng.random(n) * (width - w)
        # The centre of output pixel i lies at (i + 1/2) h / P of the window.
        maps = np.zeros((n, 2, 3))
        for axis, (start, length, wanted) in enumerate(zip((top, left), (h, w), self.size)):
            maps[:, axis, axis] = length / wanted
            maps[:, axis, 2] = start + 0.5 * length / wanted - 0.5
        return maps

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        return shape[0], *self.size

"""What a transform is: a batch in, a batch out, and every draw from a generator that is given.

    images, labels = transform(images, labels, rng)

images (n, C, H, W): uint8 from 0 to 255, or floating from 0 to 1 (which the colour transforms assume). The
result is a new array of the same dtype and layout; labels pass through, but for mixup and cutmix. A subclass
overrides `images(x, rng)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.data.preprocess import to_nchw
from minicnn.errors import ConfigError, DTypeError


class Transform:
    """The base class; `random` says whether it draws."""

    random = False

    def __call__(
        self, images: np.ndarray, labels: Any = None, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, Any]:
        """(images, labels) transformed. Raises ConfigError when it draws and there is no generator."""
        images = check_images(images)
        if self.random and not isinstance(rng, np.random.Generator):
            raise ConfigError(
                f"{self!r} draws at random: give it a generator, rng=np.random.default_rng(seed)"
            )
        return self.apply(images, labels, rng)

    def apply(self, x: np.ndarray, labels: Any, rng: Any) -> tuple[np.ndarray, Any]:
        return self.images(x, rng), labels

    def images(self, x: np.ndarray, rng: Any) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} must define images(self, x, rng)")

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """(C, H, W) of the result for images (C, H, W)."""
        return shape

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({arguments})"


def check_images(images: np.ndarray) -> np.ndarray:
    """Images as (n, C, H, W), uint8 or floating; DTypeError or ShapeError otherwise."""
    images = to_nchw(images)
    if images.dtype != np.uint8 and images.dtype not in (np.float32, np.float64):
        raise DTypeError(
            f"transforms take uint8 images (0 to 255) or float32 and float64 ones (0 to 1), got {images.dtype}: "
            "for pixels from 0 to 255 use images.astype(np.uint8)"
        )
    return images


def top_value(x: np.ndarray) -> float:
    """White: 255 for uint8, 1 for floating images."""
    return 255.0 if x.dtype == np.uint8 else 1.0


def as_dtype(y: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Computed values in the dtype of the images: uint8 is rounded and kept within 0 to 255, floats are not clipped."""
    if like.dtype == np.uint8:
        return np.clip(np.rint(y), 0, 255).astype(np.uint8)
    return y.astype(like.dtype, copy=False)


def interval(
    who: str, name: str, value: Any, *, centre: float | None, low: float = -np.inf
) -> tuple[float, float]:
    """A number a as (centre - a, centre + a), or a pair as it is: torchvision's convention. ConfigError otherwise."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and centre is not None:
            pair = (max(centre - value, low), centre + value) if value >= 0 else None
        else:
            pair = (float(value[0]), float(value[1])) if len(value) == 2 else None
    except (TypeError, ValueError, IndexError):
        pair = None
    if pair is None or not low <= pair[0] <= pair[1] < np.inf:
        raise ConfigError(f"{who}: {name} must be a number or a pair (low, high), got {value!r}")
    return pair


def probability(who: str, p: Any) -> float:
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise ConfigError(f"{who}: p is a probability from 0 to 1, got {p!r}")
    return float(p)


def image_size(who: str, size: Any) -> tuple[int, int]:
    """An int or a pair as (H, W)."""
    pair = (size, size) if isinstance(size, (int, np.integer)) else size
    try:
        height, width = (int(side) for side in pair)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise ConfigError(f"{who}: size must be a number of pixels or a pair (height, width), got {size!r}")
    return height, width

"""Rotation, translation, scale and shear: all of them one affine map about the image's centre.

A point p (row, column) of the image, seen from the centre c, goes to

    p' = c + t + A (p - c),    A = rotation · shear · scale

and to draw the result every output pixel is read at the place it came from, c + A⁻¹ (p' - c - t).
Angles are in degrees, counter-clockwise as seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.data.transforms.base import interval
from minicnn.data.transforms.moving import Sampled
from minicnn.data.transforms.sampling import affine
from minicnn.errors import ConfigError


def affine_maps(
    size: tuple[int, int],
    degrees: Any = 0.0,
    translate: tuple[Any, Any] = (0.0, 0.0),
    scale: Any = 1.0,
    shear: Any = 0.0,
) -> np.ndarray:
    """Maps (n, 2, 3) from output pixels to input places, for `sampling.affine`.

    size (H, W); degrees, scale and shear (degrees along a row) numbers or (n,); translate (rows, columns)
    in pixels, each a number or (n,).
    """
    angle, shear, scale, down, right = np.broadcast_arrays(
        *(
            np.atleast_1d(np.asarray(v, np.float64))
            for v in (np.deg2rad(degrees), np.deg2rad(shear), scale, *translate)
        )
    )
    cos, sin, slant = np.cos(angle), np.sin(angle), np.tan(shear)
    # A = rotation [[cos, -sin], [sin, cos]] times shear [[1, 0], [slant, 1]] times scale, and
    # A⁻¹ = 1 / scale times shear⁻¹ [[1, 0], [-slant, 1]] times rotationᵀ
    maps = np.empty((len(angle), 2, 3))
    maps[:, 0, 0], maps[:, 0, 1] = cos / scale, sin / scale
    maps[:, 1, 0], maps[:, 1, 1] = (-sin - slant * cos) / scale, (cos - slant * sin) / scale
    middle = [(side - 1) / 2 for side in size]
    start = middle[0] + down, middle[1] + right
    for axis in (0, 1):
        maps[:, axis, 2] = middle[axis] - maps[:, axis, 0] * start[0] - maps[:, axis, 1] * start[1]
    return maps


def rotate(images: np.ndarray, degrees: Any, *, fill: float = 0.0) -> np.ndarray:
    """Images (n, C, H, W) turned about their centres, counter-clockwise, each by its own angle or all by one."""
    maps = affine_maps(images.shape[2:], degrees)
    return affine(images, np.broadcast_to(maps, (len(images), 2, 3)), fill=fill)


class RandomAffine(Sampled):
    """A random rotation, translation, scale and shear.

    degrees: a number a for -a to a, or (low, high).  translate: (across, down), the largest shares of width and height.
    scale: (low, high).  shear: degrees, as for the rotation.  fill: what shows behind the image.
    """

    random = True

    def __init__(
        self,
        degrees: float | tuple[float, float],
        translate: tuple[float, float] | None = None,
        scale: tuple[float, float] | None = None,
        shear: float | tuple[float, float] | None = None,
        fill: float = 0,
    ) -> None:
        who = type(self).__name__
        self.degrees = interval(who, "degrees", degrees, centre=0.0)
        self.translate = interval_of_shares(who, translate)
        self.scale = (1.0, 1.0) if scale is None else interval(who, "scale", scale, centre=None, low=1e-3)
        self.shear = (0.0, 0.0) if shear is None else interval(who, "shear", shear, centre=0.0)
        if max(map(abs, self.shear)) >= 90:
            raise ConfigError(f"{who}: shear must stay below 90 degrees, got {shear!r}")
        self.fill = fill

    def maps(self, n: int, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        height, width = size
        across, down = self.translate
        return affine_maps(
            size,
            rng.uniform(*self.degrees, n),
            (rng.uniform(-down, down, n) * height, rng.uniform(-across, across, n) * width),
            rng.uniform(*self.scale, n),
            rng.uniform(*self.shear, n),
        )


class RandomRotation(RandomAffine):
    """A random rotation by -degrees to degrees, or within (low, high)."""

    def __init__(self, degrees: float | tuple[float, float], fill: float = 0) -> None:
        super().__init__(degrees, fill=fill)


class RandomTranslation(RandomAffine):
    """A random shift by at most these shares of width and height; one number for both."""

    def __init__(self, translate: float | tuple[float, float], fill: float = 0) -> None:
        both = (translate, translate) if isinstance(translate, (int, float)) else translate
        super().__init__(0, translate=both, fill=fill)


class RandomScale(RandomAffine):
    """A random scale within (low, high), about the centre."""

    def __init__(self, scale: tuple[float, float], fill: float = 0) -> None:
        super().__init__(0, scale=scale, fill=fill)


def interval_of_shares(who: str, translate: Any) -> tuple[float, float]:
    if translate is None:
        return 0.0, 0.0
    try:
        across, down = (float(share) for share in translate)
    except (TypeError, ValueError):
        across = down = -1.0
    if not (0 <= across <= 1 and 0 <= down <= 1):
        raise ConfigError(
            f"{who}: translate is (across, down), the largest shares of width and height, 0 to 1 each, got {translate!r}"
        )
    return across, down

"""Colour jitter: brightness, contrast, saturation and hue, each a linear map of an image's colours.

    brightness b    y = b x
    contrast c      y = c x + (1 - c) m           m: the mean of the image's grey
    saturation s    y = s x + (1 - s) grey(x)
    hue h           a turn by h full circles in the plane of the two colour differences (YIQ)

All four together are one 3x3 matrix and one offset an image. Grey images take the first two.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.data.transforms.base import Transform, as_dtype, interval
from minicnn.errors import ConfigError

_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R 601 luma
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


class ColorJitter(Transform):
    """Random brightness, contrast and saturation, drawn from 1 - a to 1 + a (or within a pair), and hue from -a to a.

    They are applied in that order. uint8 is clipped to 0 to 255, floats are not clipped. hue is at most 0.5.
    """

    random = True

    def __init__(self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0) -> None:
        self.brightness = interval("ColorJitter", "brightness", brightness, centre=1.0, low=0.0)
        self.contrast = interval("ColorJitter", "contrast", contrast, centre=1.0, low=0.0)
        self.saturation = interval("ColorJitter", "saturation", saturation, centre=1.0, low=0.0)
        self.hue = interval("ColorJitter", "hue", hue, centre=0.0, low=-0.5)
        if self.hue[1] > 0.5:
            raise ConfigError(f"ColorJitter: hue is at most half a circle, -0.5 to 0.5, got {hue!r}")

    def images(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        n, channels = x.shape[:2]
        if channels not in (1, 3):
            raise ConfigError(f"ColorJitter takes grey or RGB images, 1 or 3 channels, got {channels}")
        limits = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        brightness, contrast, saturation, hue = rng.uniform(limits[:, :1], limits[:, 1:], (4, n))
        weights = _GREY if channels == 3 else np.ones(1)
        mean = x.mean(axis=(2, 3), dtype=np.float64) @ weights
        matrix = (brightness * contrast)[:, None, None] * np.eye(channels)
        offset = (brightness * mean * (1 - contrast))[:, None]
        if channels == 3:
            colour = _hue_matrix(hue) @ _saturation_matrix(saturation)
            matrix = colour @ matrix  # both leave grey as it is, and with it the offset
        y = matrix.astype(np.float32) @ x.reshape(n, channels, x.shape[2] * x.shape[3]).astype(np.float32)
        y += offset[..., None].astype(np.float32)
        return as_dtype(y.reshape(x.shape), x)


def _saturation_matrix(saturation: np.ndarray) -> np.ndarray:
    s = saturation[:, None, None]
    return s * np.eye(3) + (1 - s) * _GREY  # every row of the second holds the grey weights


def _hue_matrix(turns: np.ndarray) -> np.ndarray:
    cos, sin = np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)
    turn = np.zeros((len(turns), 3, 3))
    turn[:, 0, 0] = 1
    turn[:, 1, 1], turn[:, 1, 2], turn[:, 2, 1], turn[:, 2, 2] = cos, -sin, sin, cos
    return _FROM_YIQ @ turn @ _TO_YIQ

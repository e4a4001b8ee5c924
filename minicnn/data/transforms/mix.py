"""Mixup and cutmix: two images become one, and so do their labels.

Their labels are (n, K) floating, shares that sum to 1 in every row: train with losses.SoftCrossEntropyLoss.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.data.transforms.base import Transform, as_dtype
from minicnn.errors import ConfigError, LabelError


class Mixup(Transform):
    """x = λ a + (1 - λ) b and y = λ yₐ + (1 - λ) y_b, λ ~ Beta(α, α) a batch: Zhang et al. 2017, mixup.

    Each image is mixed with another of its batch. num_classes K: the width of the labels.
    """

    random = True

    def __init__(self, num_classes: int, alpha: float = 0.2) -> None:
        self.num_classes, self.alpha = _checked(type(self).__name__, num_classes, alpha)

    def apply(self, x: np.ndarray, labels: Any, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        soft = one_hot(labels, self.num_classes)
        share = np.float32(rng.beta(self.alpha, self.alpha))
        other = rng.permutation(len(x))
        mixed = share * x.astype(np.float32, copy=False) + (1 - share) * x[other].astype(
            np.float32, copy=False
        )
        return as_dtype(mixed, x), share * soft + (1 - share) * soft[other]


class CutMix(Transform):
    """A rectangle of one image is pasted over another's, and labels count by area: Yun et al. 2019, CutMix.

    The rectangle has the image's proportions and about the share 1 - λ of its area, λ ~ Beta(α, α); what falls outside
    the image is cut off, and the labels count what is left.
    """

    random = True

    def __init__(self, num_classes: int, alpha: float = 1.0) -> None:
        self.num_classes, self.alpha = _checked(type(self).__name__, num_classes, alpha)

    def apply(self, x: np.ndarray, labels: Any, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        soft = one_hot(labels, self.num_classes)
        height, width = x.shape[2:]
        side = np.sqrt(1 - rng.beta(self.alpha, self.alpha))
        other = rng.permutation(len(x))
        bounds = []
        for length in (height, width):
            centre, half = rng.integers(length), side * length / 2
            bounds.append((max(0, round(centre - half)), min(length, round(centre + half))))
        (top, bottom), (left, right) = bounds
        y = x.copy()
        y[:, :, top:bottom, left:right] = x[other, :, top:bottom, left:right]
        share = np.float32(1 - (bottom - top) * (right - left) / (height * width))
        return y, share * soft + (1 - share) * soft[other]


def one_hot(labels: Any, num_classes: int) -> np.ndarray:
    """Class numbers (n,) as float32 (n, K); labels that are shares already pass through."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.dtype.kind == "f" and labels.shape[1] == num_classes:
        return labels.astype(np.float32, copy=False)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise LabelError(f"mixing takes class numbers (n,), got {labels.dtype} {labels.shape}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        raise LabelError(
            f"labels run from {labels.min()} to {labels.max()}, but num_classes is {num_classes}"
        )
    return np.eye(num_classes, dtype=np.float32)[labels]


def _checked(who: str, num_classes: Any, alpha: Any) -> tuple[int, float]:
    if isinstance(num_classes, bool) or not isinstance(num_classes, (int, np.integer)) or num_classes < 2:
        raise ConfigError(f"{who}: num_classes must be 2 or more, got {num_classes!r}")
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha < np.inf:
        raise ConfigError(f"{who}: alpha must be positive, got {alpha!r}")
    return int(num_classes), float(alpha)

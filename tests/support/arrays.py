"""Arrays for tests: values that keep away from kinks, and the same values under awkward strides."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

GAP = 0.1


def separated(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Float64 values in random order, of both signs, all GAP apart and GAP / 4 or more from zero.

    No comparison between two of them, or with zero, changes while they move by less than GAP / 4.
    The odd offset keeps sums of them from cancelling to zero, which no relative tolerance survives.
    """
    size = int(np.prod(shape))
    values = (np.arange(size) - size // 2 + 1 / np.pi) * GAP
    return rng.permutation(values).reshape(shape)


def _negative(a: np.ndarray) -> np.ndarray:
    flipped = tuple(slice(None, None, -1) for _ in a.shape)
    return a[flipped].copy()[flipped]


def _sliced(a: np.ndarray) -> np.ndarray:
    """Every second element, in every axis, of an array whose other elements are poison."""
    poison = 1e30 if a.dtype.kind == "f" else 77
    around = np.full([2 * size + 1 for size in a.shape], poison, dtype=a.dtype)
    inside = around[(*(slice(1, None, 2) for _ in a.shape), ...)]
    inside[...] = a
    return inside


def _transposed(a: np.ndarray) -> np.ndarray:
    return a.T.copy().T


def _channels_last(a: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1) if a.ndim > 1 else a


def _zero(a: np.ndarray) -> np.ndarray:
    """The first entry of the last axis, repeated along it with stride 0: not the same values."""
    return np.broadcast_to(a[..., :1], a.shape) if a.ndim else a


# Each gives an array of the same shape; all but "zero" also the same values.
AWKWARD: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "negative": _negative,
    "sliced": _sliced,
    "transposed": _transposed,
    "channels_last": _channels_last,
    "zero": _zero,
}


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


def bits(*arrays: np.ndarray) -> list[bytes]:
    """The exact bits of every array, to see whether anything was written."""
    return [np.asarray(a).tobytes() for a in arrays]


FLOOR = 0.1


def assert_close(actual: np.ndarray, expected: np.ndarray, tolerance: float, what: str = "") -> None:
    """Equal shapes, and no element further off than tolerance times the largest magnitude expected.

    The terms behind every element are of order 1 in these tests. Where they happen to cancel
    in the whole array, their rounding errors do not: a magnitude below FLOOR counts as FLOOR.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    scale = max(float(np.abs(expected).max(initial=0.0)), FLOOR)
    worst = float(np.abs(actual - expected).max(initial=0.0))
    assert worst <= tolerance * scale, f"{what}: off by {worst:.3g} of at most {scale:.3g}"

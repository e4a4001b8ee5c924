"""Whether two arrays are the same, or as good as the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.backend import to_numpy


def same(one: Any, other: Any) -> bool:
    """Equal to the last bit."""
    return bool(np.array_equal(to_numpy(one), to_numpy(other), equal_nan=True))


def close(one: Any, other: Any, factor: float = 1e3) -> bool:
    """Equal up to the order of summation: threads and block sizes may change it."""
    a, b = to_numpy(one), to_numpy(other)
    if a.shape != b.shape:
        return False
    eps = float(np.finfo(b.dtype).eps) if b.dtype.kind == "f" else 0.0
    a, b = a.astype(np.float64), b.astype(np.float64)
    return bool(np.max(np.abs(a - b), initial=0) <= factor * eps * np.max(np.abs(b), initial=0))


def count_bad(array: np.ndarray) -> str:
    """How many values are not finite, in words."""
    nan, inf = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    parts = [f"{nan} NaN" if nan else "", f"{inf} infinite" if inf else ""]
    return f"{' and '.join(part for part in parts if part)} of {array.size} values"

"""Argument checks that every functional pair shares, each with its advice.

Axis letters, here and everywhere: N batch, C input channels, O output channels, H W input
height and width, P Q output height and width, R S kernel height and width, G groups.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np

from minicnn.backend import Array, get_xp
from minicnn.errors import ConfigError, DTypeError, ShapeError

Pair = int | tuple[int, int]


_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def _is_usual(x: Array, *others: Array | None) -> bool:
    """NumPy arrays of one float dtype, seen at once: a small network makes thirty such checks a step."""
    if type(x) is not np.ndarray or x.dtype not in _FLOATS:
        return False
    return all(other is None or (type(other) is np.ndarray and other.dtype is x.dtype) for other in others)


def remembered(check: Callable) -> Callable:
    """Remember what a check of plain values returned: the same layer asks the same in every step.

    Arguments that cannot be hashed are checked each time.
    """
    known = lru_cache(maxsize=1024, typed=True)(check)

    def checked(*args: Any) -> Any:
        try:
            hash(args)
        except TypeError:
            return check(*args)
        return known(*args)

    return checked


def check_float(who: str, **arrays: Array | None) -> None:
    """Every array is float32 or float64, all of one dtype and on one device. None is passed over."""
    if _is_usual(*arrays.values()):
        return
    given = {name: array for name, array in arrays.items() if array is not None}
    for name, array in given.items():
        if not isinstance(getattr(array, "dtype", None), np.dtype):
            raise DTypeError(
                f"{who} expects {name} to be a NumPy or CuPy array, got {type(array).__name__}: "
                "use np.asarray(..., dtype=np.float32)"
            )
        if array.dtype.name == "uint8":
            raise DTypeError(
                f"{who} got {name} of dtype uint8, which looks like raw image bytes: scale them first, "
                f"{name}.astype(np.float32) / 255"
            )
        if array.dtype.name not in ("float32", "float64"):
            raise DTypeError(
                f"{who} expects {name} of dtype float32 or float64, got {array.dtype}: use {name}.astype(np.float32)"
            )
    get_xp(*given.values())
    if len({array.dtype for array in given.values()}) > 1:
        listed = ", ".join(f"{name} {array.dtype}" for name, array in given.items())
        raise DTypeError(
            f"{who} got arrays of different dtypes ({listed}) and never converts silently: "
            "use x.astype(...) or layer.astype(...)"
        )


def check_upstream(who: str, dy: Array, shape: tuple[int, ...], dtype: np.dtype | None = None) -> None:
    """dy, the gradient that arrives at a backward, has the shape of the forward's result.

    And its dtype, where the cache knows it: masks and positions do not.
    """
    if type(dy) is np.ndarray and dy.shape == shape and dy.dtype is (dtype or _FLOATS[0]):
        return  # the usual case
    if getattr(dy, "shape", None) != tuple(shape):
        given = getattr(dy, "shape", type(dy).__name__)
        is_number = isinstance(dy, float) or getattr(dy, "ndim", None) == 0
        advice = ": is it the loss? model.backward takes what loss.backward() returns"
        raise ShapeError(
            f"{who}_backward expects dy of the shape that forward returned, {tuple(shape)}, got {given}{advice if shape and is_number else ''}"
        )
    check_float(f"{who}_backward", dy=dy)
    if dtype is not None and dy.dtype != dtype:
        raise DTypeError(
            f"{who}_backward expects dy of dtype {dtype}, as forward computed in, got {dy.dtype}, "
            f"and never converts silently: use dy.astype(np.{dtype})"
        )


def check_nchw(who: str, x: Array | tuple[int, ...], channels: int | None = None) -> None:
    """x, an array or its shape, is (N, C, H, W), with the expected number of channels if one is given."""
    shape = x if isinstance(x, tuple) else x.shape
    if len(shape) == 4 and channels in (None, shape[1]):
        return
    expected = f"(N, {'C' if channels is None else channels}, H, W)"
    message = f"{who} expects input {expected}, got {shape}"
    if len(shape) == 3:
        raise ShapeError(f"{message}: a single image or a batch without channels? use x[None] or x[:, None]")
    if len(shape) == 2:
        raise ShapeError(f"{message}: flattened images? use x.reshape(len(x), channels, height, width)")
    if len(shape) != 4:
        raise ShapeError(f"{message}: it must have four axes")
    if shape[3] == channels:
        raise ShapeError(f"{message}: this looks like NHWC; use x.transpose(0, 3, 1, 2)")
    raise ShapeError(
        f"{message}: {shape[1]} channels arrive where {channels} are expected; "
        "check in_channels of this layer against out_channels of the one before"
    )


def pair(who: str, name: str, value: Any, minimum: int) -> tuple[int, int]:
    """An int or a pair of ints as (height, width); ConfigError if it is neither or too small."""
    both = (value, value) if _is_int(value) else value
    if not isinstance(both, (tuple, list)) or len(both) != 2 or not all(_is_int(part) for part in both):
        raise ConfigError(f"{who}: {name} must be an int or a pair (height, width), got {value!r}")
    if min(both) < minimum:
        raise ConfigError(f"{who}: {name} must be at least {minimum}, got {value!r}")
    return int(both[0]), int(both[1])


def number(who: str, name: str, value: Any) -> float:
    """A real number as a Python float, which takes on an array's dtype: np.float64(0.1) would upcast float32."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise ConfigError(f"{who}: {name} must be a number, got {value!r}")
    return float(value)


def _is_int(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)

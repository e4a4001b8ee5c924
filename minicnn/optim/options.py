"""The options of the rules: which values make sense."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

Hyper = SimpleNamespace  # the options of one group: hyper.lr, hyper.weight_decay, ...


def _is_number(value: Any) -> bool:
    if isinstance(value, np.ndarray | str | bool | np.bool_):
        return False
    try:
        return math.isfinite(value)
    except TypeError:
        return False


def _is_rate(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value < 1


# Option -> (what is allowed, in code and in words).
ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(
        ("lr", "momentum", "weight_decay", "eps", "lr_decay", "initial_accumulator_value"),
        (_is_rate, "a number of 0 or more"),
    ),
    "dampening": (_is_number, "a number"),
    "alpha": (lambda value: _is_number(value) and 0 <= value <= 1, "a number from 0 to 1"),
    "betas": (
        lambda value: isinstance(value, tuple | list) and len(value) == 2 and all(map(_is_share, value)),
        "a pair of numbers from 0 up to but not including 1",
    ),
}


def plain(option: Any) -> Any:
    """NumPy's scalars as Python's: np.float64 would upcast a float32 array, a Python float never does."""
    if isinstance(option, tuple | list):
        return tuple(plain(part) for part in option)
    return option.item() if isinstance(option, np.generic) else option


def as_json(option: Any) -> Any:
    option = plain(option)
    return list(option) if isinstance(option, tuple) else option

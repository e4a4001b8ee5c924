"""The mean squared error."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.backend import Array, get_xp
from minicnn.errors import ConfigError, ShapeError, nearest
from minicnn.functional.check import check_float, check_upstream

REDUCTIONS = ("mean", "sum", "none")
Needs = tuple[bool, bool]


class MSECache(NamedTuple):
    difference: Array  # x - target
    reduction: str


def mse_forward(x: Array, target: Array, *, reduction: str = "mean") -> tuple[Array, MSECache]:
    """(x - target)², its mean over all elements ("mean"), its sum ("sum") or as it is ("none").

    x and target have one shape, any. The result is a 0-d array, with "none" one of x's shape.
    The mean over no elements is NaN, as in PyTorch.
    Raises ShapeError when the shapes differ: they are never broadcast, since that hides mistakes.
    """
    check_reduction("mse", reduction)
    check_float("mse", x=x, target=target)
    if x.shape != target.shape:
        raise ShapeError(
            f"mse expects x and target of one shape, got {x.shape} and {target.shape}: "
            "it does not broadcast; reshape one of them"
        )
    difference = x - target
    divisor = x.size or np.nan  # the mean of nothing is NaN
    return reduce(difference * difference, reduction, divisor), MSECache(difference, reduction)


def mse_backward(
    dy: Array, cache: MSECache, needs: Needs = (True, True)
) -> tuple[Array | None, Array | None]:
    """dx = 2 (x - target) dy,  dtarget = -dx;  for "mean" both divided by the number of elements.

    `needs` says which of the two to compute; the other is None.
    """
    difference, reduction = cache
    check_upstream("mse", dy, difference.shape if reduction == "none" else (), difference.dtype)
    scale = 2 / max(difference.size, 1) if reduction == "mean" else 2
    dx = difference * (scale * dy)
    return dx if needs[0] else None, -dx if needs[1] else None


def check_reduction(who: str, reduction: str) -> None:
    """The reduction is one of those that every loss knows."""
    if reduction not in REDUCTIONS:
        raise ConfigError(f"{who}: unknown reduction {reduction!r}: {nearest(str(reduction), REDUCTIONS)}")


def reduce(losses: Array, reduction: str, divisor: Array | float) -> Array:
    """The losses themselves, their sum, or their sum over the divisor, of the losses' dtype."""
    if reduction == "none":
        return losses
    total = losses.sum() if reduction == "sum" else losses.sum() / divisor
    return get_xp(losses).asarray(total, dtype=losses.dtype)  # a 0-d array: NumPy's sums are scalars

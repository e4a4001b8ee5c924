"""Softmax and its logarithm: scores into probabilities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.backend import Array, get_xp
from minicnn.errors import ShapeError
from minicnn.functional.check import check_float, check_upstream


class SoftmaxCache(NamedTuple):
    y: Array
    dim: int


class LogSoftmaxCache(NamedTuple):
    y: Array  # the log-probabilities
    dim: int


def softmax_forward(x: Array, *, dim: int = -1) -> tuple[Array, SoftmaxCache]:
    """yₖ = exp(xₖ) / Σⱼ exp(xⱼ), along the axis `dim`. Any shape.

    Computed from x - max(x), which changes nothing in exact arithmetic and cannot overflow.
    A row with +inf or NaN in it, or with -inf only, gives NaN.
    """
    shifted = _shift(x, dim, "softmax")
    y = get_xp(x).exp(shifted)
    y /= y.sum(axis=dim, keepdims=True)
    return y, SoftmaxCache(y, dim)


def softmax_backward(dy: Array, cache: SoftmaxCache) -> Array:
    """dxₖ = yₖ (dyₖ - Σⱼ dyⱼ yⱼ), since ∂yⱼ/∂xₖ = yⱼ ([j = k] - yₖ)."""
    y, dim = cache
    check_upstream("softmax", dy, y.shape, y.dtype)
    return y * (dy - (dy * y).sum(axis=dim, keepdims=True))


def log_softmax_forward(x: Array, *, dim: int = -1) -> tuple[Array, LogSoftmaxCache]:
    """yₖ = xₖ - log Σⱼ exp(xⱼ), along the axis `dim`. Any shape.

    The sum is taken after subtracting max(x) ("log-sum-exp"), so that it neither overflows
    nor vanishes: log(softmax(x)) would give -inf where a probability underflows to 0.
    """
    y = _shift(x, dim, "log_softmax")
    xp = get_xp(x)
    if y.size > 0:  # the sum over no classes would be 0, without a logarithm
        y -= xp.log(xp.exp(y).sum(axis=dim, keepdims=True))
    return y, LogSoftmaxCache(y, dim)


def log_softmax_backward(dy: Array, cache: LogSoftmaxCache) -> Array:
    """dxₖ = dyₖ - pₖ Σⱼ dyⱼ  with the probabilities p = exp(y), since ∂yⱼ/∂xₖ = [j = k] - pₖ."""
    y, dim = cache
    check_upstream("log_softmax", dy, y.shape, y.dtype)
    return dy - get_xp(y).exp(y) * dy.sum(axis=dim, keepdims=True)


def _shift(x: Array, dim: int, who: str) -> Array:
    """x - max(x) along dim, a new array."""
    check_float(who, x=x)
    if not -x.ndim <= dim < x.ndim:
        raise ShapeError(f"{who}: dim {dim} does not exist in an input of shape {x.shape}")
    if x.size == 0:
        return x.copy()  # nothing to take a maximum of
    with np.errstate(invalid="ignore"):  # inf - inf: the NaN that comes of it is the answer
        return x - x.max(axis=dim, keepdims=True)

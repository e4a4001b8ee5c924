"""Batch normalisation of every channel.

Ioffe & Szegedy 2015, "Batch normalization: accelerating deep network training by reducing
internal covariate shift", algorithm 1 and the gradients that follow it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minicnn.backend import Array, get_xp
from minicnn.errors import ConfigError, ShapeError
from minicnn.functional.check import check_float, check_nchw, check_upstream, number
from minicnn.kernels.choice import kernel_for
from minicnn.kernels.table import Shaped

Needs = tuple[bool, bool, bool]
_PER_CHANNEL = (None, slice(None), None, None)  # a (C,) array against (N, C, H, W)


class BatchNorm2dCache(NamedTuple):
    normalized: Array  # (N, C, H, W): x̂
    weight: Array | None  # (C,)
    has_bias: bool
    mean: Array  # (C,): of the batch, or as given
    var: Array  # (C,): biased, of the batch, or as given
    inverse_std: Array  # (C,): 1 / √(var + eps)
    statistics_given: bool


def batch_norm2d_forward(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    mean: Array | None = None,
    var: Array | None = None,
    eps: float = 1e-5,
) -> tuple[Array, BatchNorm2dCache]:
    """x̂ = (x - mean) / √(var + eps),  y = weight x̂ + bias, per channel.

    x (N, C, H, W), weight and bias (C,) or None -> y (N, C, H, W).
    Without mean and var (training) they are the batch's own, over N, H and W, the variance
    biased (divided by M = N H W), and are returned in the cache. Given (evaluation), they are
    constants. Raises ShapeError for a batch that has fewer than two values a channel to
    normalise over: its variance would be zero or undefined.
    """
    eps = _check(x, weight, bias, mean, var, eps)
    statistics_given = mean is not None and var is not None
    if kernel := kernel_for("batch_norm2d", x, Shaped(x.shape)):
        return kernel.forward(x, weight, bias, mean, var, eps)
    if mean is None or var is None:
        mean = x.mean(axis=(0, 2, 3))
        # The mean of squared deviations, never E[x²] - E[x]²: that loses all digits far from zero.
        var = get_xp(x).square(x - mean[_PER_CHANNEL]).mean(axis=(0, 2, 3))
    inverse_std = 1 / get_xp(x).sqrt(var + eps)
    normalized = (x - mean[_PER_CHANNEL]) * inverse_std[_PER_CHANNEL]
    y = normalized if weight is None else normalized * weight[_PER_CHANNEL]
    if bias is not None:
        y = y + bias[_PER_CHANNEL]
    elif weight is None:
        y = y.copy()  # the cache keeps `normalized`: the caller gets an array of their own
    return y, BatchNorm2dCache(normalized, weight, bias is not None, mean, var, inverse_std, statistics_given)


def batch_norm2d_backward(
    dy: Array, cache: BatchNorm2dCache, needs: Needs = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    """dbias = Σ dy,  dweight = Σ dy x̂,  and with dx̂ = weight dy

    training:    dx = (dx̂ - mean(dx̂) - x̂ mean(dx̂ x̂)) / √(var + eps)
    evaluation:  dx = dx̂ / √(var + eps)

    sums and means over N, H, W. dy (N, C, H, W) -> dx, dweight (C,) or None, dbias (C,) or None.
    """
    if not isinstance(cache, BatchNorm2dCache):  # a kernel's: it knows its own backward
        check_upstream("batch_norm2d", dy, cache.shape, cache.x.dtype)
        return cache.backward(dy, needs)
    x_hat, weight, has_bias, _, _, inverse_std, statistics_given = cache
    check_upstream("batch_norm2d", dy, x_hat.shape, x_hat.dtype)
    axes = (0, 2, 3)
    dx = dweight = dbias = None
    if needs[1] and weight is not None:
        dweight = (dy * x_hat).sum(axis=axes)
    if needs[2] and has_bias:
        dbias = dy.sum(axis=axes)
    if needs[0]:
        dx = dy if weight is None else dy * weight[_PER_CHANNEL]
        if not statistics_given:
            through_mean = dx.mean(axis=axes, keepdims=True)
            through_var = x_hat * (dx * x_hat).mean(axis=axes, keepdims=True)
            dx = dx - through_mean - through_var
        dx = dx * inverse_std[_PER_CHANNEL]
    return dx, dweight, dbias


def batch_norm2d_relu_forward(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    mean: Array | None = None,
    var: Array | None = None,
    eps: float = 1e-5,
    shortcut: Array | None = None,
) -> tuple[Array, Any] | None:
    """max(batch_norm2d(x) + shortcut, 0) in one pass, or None where no kernel can.

    batch_norm2d_backward takes the cache where there was no shortcut; with one,
    cache.backward_shortcut(dy, needs) gives the shortcut's gradient too.
    """
    eps = _check(x, weight, bias, mean, var, eps)
    if shortcut is not None:
        check_float("batch_norm2d", x=x, shortcut=shortcut)
        if shortcut.shape != x.shape:
            raise ShapeError(f"batch_norm2d: the shortcut {shortcut.shape} is added to {x.shape}")
    kernel = kernel_for("batch_norm2d", x, Shaped(x.shape))
    return kernel.forward(x, weight, bias, mean, var, eps, True, shortcut) if kernel else None


def batch_norm2d_backward_onto(
    dy: Array, cache: Any, needs: Needs, onto: Array
) -> tuple[Array, Array | None, Array | None]:
    """batch_norm2d_backward with dx added to `onto`, which the caller gives up: a kernel may write dx there."""
    if hasattr(cache, "backward_onto"):
        check_upstream("batch_norm2d", dy, cache.shape, cache.x.dtype)
        return cache.backward_onto(dy, needs, onto)
    dx, dweight, dbias = batch_norm2d_backward(dy, cache, needs)
    return onto + dx, dweight, dbias


def _check(
    x: Array, weight: Array | None, bias: Array | None, mean: Array | None, var: Array | None, eps: float
) -> float:
    check_float("batch_norm2d", x=x, weight=weight, bias=bias, mean=mean, var=var)
    check_nchw(
        "batch_norm2d" if weight is None else f"BatchNorm2d({weight.shape[0]})", x, _channels(weight, mean)
    )
    for name, array in (("weight", weight), ("bias", bias), ("mean", mean), ("var", var)):
        if array is not None and array.shape != (x.shape[1],):
            raise ShapeError(f"batch_norm2d expects {name} ({x.shape[1]},), got {array.shape}")
    if (mean is None) != (var is None):
        raise ConfigError("batch_norm2d: give both mean and var (evaluation) or neither (training)")
    if mean is None and x.shape[0] * x.shape[2] * x.shape[3] < 2:
        raise ShapeError(
            f"batch_norm2d in training needs more than one value per channel, got input {x.shape}: "
            "use a larger batch (drop_last=True in the loader), or eval mode"
        )
    return number("batch_norm2d", "eps", eps)


def _channels(*arrays: Array | None) -> int | None:
    return next((array.shape[0] for array in arrays if array is not None), None)

"""The fully connected layer: an affine map of every row."""

from __future__ import annotations

from typing import Any, NamedTuple

from minicnn.backend import Array
from minicnn.errors import ShapeError
from minicnn.functional.check import check_float, check_upstream
from minicnn.kernels.choice import kernel_for
from minicnn.kernels.table import Linear
from minicnn.kernels.threads import matmul

Needs = tuple[bool, bool, bool]


class LinearCache(NamedTuple):
    x: Array  # (N, D)
    weight: Array  # (M, D)
    has_bias: bool


def linear_forward(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, LinearCache]:
    """y = x Wᵀ + b for every row.

    x (N, D), weight (M, D), bias (M,) or None -> y (N, M).
    Raises ShapeError when x and weight disagree on D.
    """
    check_linear(x, weight, bias)
    if kernel := kernel_for("linear", x, Linear(*x.shape, weight.shape[0])):
        return kernel.forward(x, weight, bias)
    y = matmul(x, weight.T)
    if bias is not None:
        y += bias
    return y, LinearCache(x, weight, bias is not None)


def linear_backward(
    dy: Array, cache: LinearCache, needs: Needs = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    """dx = dy W,  dW = dyᵀ x,  db = Σₙ dyₙ.

    dy (N, M) -> dx (N, D), dweight (M, D), dbias (M,) or None.
    `needs` says which of the three to compute; the others are None.
    """
    if not isinstance(cache, LinearCache):  # a kernel's: it knows its own backward
        check_upstream("linear", dy, cache.shape, cache.x.dtype)
        return cache.backward(dy, needs)
    x, weight, has_bias = cache
    check_upstream("linear", dy, (x.shape[0], weight.shape[0]), x.dtype)
    dx = matmul(dy, weight) if needs[0] else None
    dweight = matmul(dy.T, x) if needs[1] else None
    dbias = dy.sum(axis=0) if needs[2] and has_bias else None
    return dx, dweight, dbias


def linear_relu_forward(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Any] | None:
    """max(x Wᵀ + b, 0) in one pass, or None where no kernel can. linear_backward takes the cache."""
    check_linear(x, weight, bias)
    kernel = kernel_for("linear", x, Linear(*x.shape, weight.shape[0]))
    return kernel.forward(x, weight, bias, relu=True) if kernel else None


def check_linear(x: Array, weight: Array, bias: Array | None) -> None:
    """Check that the arguments of a linear map fit together."""
    check_float("linear", x=x, weight=weight, bias=bias)
    if weight.ndim != 2:
        raise ShapeError(f"linear expects weight (M, D), got {weight.shape}")
    out_features, in_features = weight.shape
    if x.ndim == 2 and x.shape[1] == in_features and (bias is None or bias.shape == (out_features,)):
        return
    who = f"Linear({in_features} -> {out_features})"
    if x.ndim > 2:
        raise ShapeError(
            f"{who} expects input (N, {in_features}), got {x.shape}: put a Flatten() before it, "
            "or use x.reshape(len(x), -1)"
        )
    if x.ndim != 2 or x.shape[1] != in_features:
        advice = (
            f": each sample has {x.shape[1]} features; make it Linear({x.shape[1]}, {out_features}), or check "
            "the image size and the layers before Flatten (model.summary(input_shape) shows their shapes)"
            if x.ndim == 2
            else ": one sample must be a row; use x[None]"
        )
        raise ShapeError(f"{who} expects input (N, {in_features}), got {x.shape}{advice}")
    if bias is not None and bias.shape != (out_features,):
        raise ShapeError(f"{who} expects bias ({out_features},), got {bias.shape}")

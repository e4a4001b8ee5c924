"""Neighbouring layers computed in one pass, where a kernel can.

    Conv2d, ReLU             the convolution's kernel applies max(·, 0) before it stores a tile
    Linear, ReLU             likewise
    BatchNorm2d, ReLU        likewise
    Conv2d, ReLU, MaxPool2d  and pooling's backward, which knows from its own output where the ReLU
                             let through, applies the ReLU's mask: the convolution's output need not be kept
    Residual, ReLU           if the body ends in a BatchNorm2d: normalise, add and rectify (see residual.py)

The layers stay what they are: names, parameters and caches. In backward the ReLU hands dy on as
it is, and the layer before it, or the pooling after it, applies the mask. Nothing is fused under
using("reference"), for a layer of a subclass, and while watch() records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import Array
from minicnn.errors import MinicnnError
from minicnn.functional.conv2d import conv2d_forward
from minicnn.kernels.choice import is_reference
from minicnn.layers.activation import Identity, ReLU
from minicnn.layers.base import Layer, backward_into, value_of
from minicnn.layers.conv import Conv2d
from minicnn.layers.linear import Linear
from minicnn.layers.norm import BatchNorm2d
from minicnn.layers.pool import MaxPool2d
from minicnn.layers.sums import add


class FusedReLUCache(NamedTuple):
    """Left in a ReLU that another layer computes, forward and backward."""

    shape: tuple[int, ...]
    dtype: np.dtype
    output: Callable[[], Array]  # the ReLU's y: kept somewhere, or computed again

    @property
    def mask(self) -> Array:
        return self.output() > 0

    def backward(self, dy: Array) -> Array:
        return dy


def forward_chain(layers: Sequence[tuple[str, Layer]], x: Array) -> Array:
    """f_k(... f_2(f_1(x))) of named layers, fused where that can be."""
    rest = list(layers)
    while rest:
        with naming(*rest[0]):
            x, count = _forward_first([layer for _, layer in rest[:3]], x)
        del rest[:count]
    return x


def backward_chain(
    layers: Sequence[Layer], dy: Array, need_dx: bool = True, onto: Array | None = None
) -> Array | None:
    """The layers' backwards, last first. With `onto` the result is dx + onto, and `onto` is given up."""
    if not layers:
        return (dy if onto is None else add(dy, onto)) if need_dx else None
    first, *rest = layers
    for layer in reversed(rest):
        dy = layer.backward(dy)
    return backward_into(first, dy, need_dx) if onto is None else backward_onto(first, dy, need_dx, onto)


def backward_onto(layer: Layer, dy: Array, need_dx: bool, onto: Array) -> Array | None:
    """dx + onto, with `onto` given up; layers that can write dx onto it do. None where dx is not needed."""
    if not need_dx:
        return backward_into(layer, dy, need_dx)
    if "can_add_onto" in vars(type(layer)) and "backward" not in vars(layer):
        return layer.backward(dy, onto=onto)  # type: ignore[call-arg]
    return add(layer.backward(dy), onto)


def backward_fork(branches: Sequence[Layer], dys: Sequence[Array], need_dx: bool) -> Array | None:
    """Σ of the branches' dx, each written onto the sum so far where that is nobody else's."""
    total, owned = None, False
    for branch, dy in zip(branches, dys):
        if total is None or not need_dx:
            total, owned = backward_into(branch, dy, need_dx), gives_away(branch)
        else:
            total = backward_onto(branch, dy, True, total) if owned else add(branch.backward(dy), total)
            owned = True
    return total


def gives_away(layer: Layer) -> bool:
    """Whether nobody else holds what the layer's backward returns, so that it may be added onto."""
    while "is_chain" in vars(type(layer)) and "forward" not in vars(layer):
        layer = next((child for _, child in layer.children()), Identity())
    return any(is_plain(layer, kind) for kind in (Conv2d, BatchNorm2d, MaxPool2d))


def _forward_first(layers: list[Any], x: Array) -> tuple[Array, int]:
    """The first layer's forward, or that of the first two or three at once: (y, how many)."""
    layer = layers[0]
    if is_reference() or len(layers) < 2 or not is_plain(layers[1], ReLU):
        return layer(x), 1
    if "forward_then_relu" in vars(type(layer)) and "forward" not in vars(layer):
        return layer.forward_then_relu(x, layers[1]), 2
    if not any(is_plain(layer, kind) for kind in (Conv2d, BatchNorm2d, Linear)):
        return layer(x), 1
    y = layer.forward_relu(x)
    if y is None:
        return layer(x), 1
    hand_over(layers[1], y)
    if type(layer) is not Conv2d or len(layers) < 3 or not is_plain(layers[2], MaxPool2d):
        return y, 2
    pooled = layers[2](y)
    _let_pooling_mask(layers, x, pooled)
    return pooled, 3


def is_plain(layer: Layer, kind: type) -> bool:
    """Exactly this class, and not watched (watch() shadows forward by an attribute of the instance)."""
    return type(layer) is kind and "forward" not in vars(layer)


def hand_over(relu: ReLU, y: Array) -> None:
    """Note in the ReLU that y, its output, was computed by another layer, which masks in backward too."""
    relu.cache = FusedReLUCache(y.shape, y.dtype, lambda: y)


def _let_pooling_mask(layers: list[Any], x: Array, pooled: Array) -> None:
    """Move the ReLU's mask from the convolution's backward to the pooling's, and forget what it was made of."""
    conv, relu, pool = layers
    mask_with = getattr(pool.cache, "mask_with", None)  # only the kernel's cache has it
    if mask_with is None or (cache := mask_with(pooled)) is None:
        return
    pool.cache = cache
    conv.cache = conv.cache._replace(y=None)
    # signature() may still ask the ReLU, between forward and backward: that is worth a second forward.
    options = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation}
    weight, bias = conv.weight.value, value_of(conv.bias)
    relu.cache = relu.cache._replace(output=lambda: conv2d_forward(x, weight, bias, **options)[0])


class naming:
    """Tells which layer of the network an error came from. (A class: half the cost of a generator.)"""

    def __init__(self, name: str, layer: Layer) -> None:
        self.name, self.layer = name, layer

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, MinicnnError):
            error.add_note(f"in layer {self.name!r}: {type(self.layer).__name__}({self.layer.extra_repr()})")

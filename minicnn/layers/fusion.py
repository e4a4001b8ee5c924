"""Neighbouring layers of a Sequential computed in one pass, where a kernel can.

    Conv2d, ReLU             the convolution's kernel applies max(·, 0) before it stores a tile
    Linear, ReLU             likewise
    Conv2d, ReLU, MaxPool2d  and pooling's backward, which knows from its own output where the ReLU
                             let through, applies the ReLU's mask: the convolution's output need not be kept

The layers stay what they are: names, parameters and caches. In backward the ReLU hands dy on as
it is, and the layer before it, or the pooling after it, applies the mask. Nothing is fused under
using("reference"), for a layer of a subclass, and while watch() records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import Array
from minicnn.functional.conv2d import conv2d_forward
from minicnn.kernels.choice import is_reference
from minicnn.layers.activation import ReLU
from minicnn.layers.base import Layer, value_of
from minicnn.layers.conv import Conv2d
from minicnn.layers.linear import Linear
from minicnn.layers.pool import MaxPool2d


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


def forward_fused(layers: list[Layer], x: Array) -> tuple[Array, int]:
    """The first layer's forward, or that of the first two or three at once: (y, how many)."""
    layer = layers[0]
    if type(layer) not in (Conv2d, Linear) or len(layers) < 2 or not _is_plain(layers[1], ReLU):
        return layer(x), 1
    if is_reference() or not _is_plain(layer, type(layer)):
        return layer(x), 1
    y = layer.forward_relu(x)  # type: ignore[attr-defined]
    if y is None:
        return layer(x), 1
    layers[1].cache = FusedReLUCache(y.shape, y.dtype, lambda: y)
    if type(layer) is not Conv2d or len(layers) < 3 or not _is_plain(layers[2], MaxPool2d):
        return y, 2
    pooled = layers[2](y)
    _let_pooling_mask(layers, x, pooled)
    return pooled, 3


def _is_plain(layer: Layer, kind: type) -> bool:
    """Exactly this class, and not watched (watch() shadows forward by an attribute of the instance)."""
    return type(layer) is kind and "forward" not in vars(layer)


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

"""Convolution as a layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import init
from minicnn.backend import Array
from minicnn.errors import ConfigError
from minicnn.functional.check import Pair, pair
from minicnn.functional.conv2d import (
    conv2d_backward,
    conv2d_backward_onto,
    conv2d_forward,
    conv2d_relu_forward,
)
from minicnn.functional.windows import check_padding
from minicnn.layers.base import Layer, Parameter, is_trained, value_of


class Conv2d(Layer):
    """y = weight * x + bias, a cross-correlation over windows: see functional.conv2d_forward.

    x (N, in_channels, H, W) -> y (N, out_channels, P, Q). weight is
    (out_channels, in_channels / groups, R, S). padding is an int, a pair or "same".
    Initialised as in PyTorch: uniform within ±1/√fan_in.
    """

    can_skip_dx = True
    can_add_onto = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
    ) -> None:
        who = f"Conv2d({in_channels} -> {out_channels})"
        if min(in_channels, out_channels, groups) < 1 or in_channels % groups or out_channels % groups:
            raise ConfigError(f"{who}: channels must be positive and groups={groups} must divide both")
        rng = np.random.default_rng() if rng is None else rng
        self.stride = pair(who, "stride", stride, 1)
        self.padding = check_padding(who, padding, self.stride)
        self.dilation = pair(who, "dilation", dilation, 1)
        self.groups = groups
        shape = (out_channels, in_channels // groups, *pair(who, "kernel_size", kernel_size, 1))
        self.weight = Parameter(init.default_weight(shape, rng=rng))
        self.bias = Parameter(init.default_bias(shape, rng=rng)) if bias else None

    def forward(self, x: Array) -> Array:
        y, self.cache = conv2d_forward(x, self.weight.value, value_of(self.bias), **self._geometry())
        return y

    def forward_relu(self, x: Array) -> Array | None:
        """max(forward(x), 0) in one pass; None, and nothing done, where no kernel can: see fusion.py."""
        done = conv2d_relu_forward(x, self.weight.value, value_of(self.bias), **self._geometry())
        if done is None:
            return None
        y, self.cache = done
        return y

    def _geometry(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    def backward(self, dy: Array, need_dx: bool = True, onto: Array | None = None) -> Array:
        """dx, or dx + onto where paths meet: `onto` is then given up and may be written into."""
        needs = (need_dx, is_trained(self.weight), is_trained(self.bias))
        if onto is None or not need_dx:
            dx, dweight, dbias = conv2d_backward(dy, self.take_cache(), needs)
        else:
            dx, dweight, dbias = conv2d_backward_onto(dy, self.take_cache(), needs, onto)
        self.weight.accumulate(dweight)
        if self.bias is not None:
            self.bias.accumulate(dbias)
        return dx

    def multiply_adds(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        """Every output value is a product with C/groups * R * S weights."""
        return int(np.prod(y_shape)) * int(np.prod(self.weight.shape[1:]))

    def extra_repr(self) -> str:
        out_channels, in_channels, *kernel_size = self.weight.shape
        options = [f"kernel_size={tuple(kernel_size)}"]
        defaults = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
        options += [
            f"{name}={getattr(self, name)!r}"
            for name, default in defaults.items()
            if getattr(self, name) != default
        ]
        if self.bias is None:
            options.append("bias=False")
        return f"{in_channels * self.groups}, {out_channels}, {', '.join(options)}"

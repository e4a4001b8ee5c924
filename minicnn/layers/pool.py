"""Pooling layers: no parameters, only windows."""

from __future__ import annotations

from typing import Any

from minicnn.backend import Array
from minicnn.functional.adaptive_avg_pool2d import adaptive_avg_pool2d_backward, adaptive_avg_pool2d_forward
from minicnn.functional.avg_pool2d import avg_pool2d_backward, avg_pool2d_forward
from minicnn.functional.check import Pair, pair
from minicnn.functional.max_pool2d import max_pool2d_backward, max_pool2d_forward
from minicnn.layers.base import Layer


class MaxPool2d(Layer):
    """The largest value of every window: see functional.max_pool2d_forward.

    x (N, C, H, W) -> y (N, C, P, Q). stride None means kernel_size.
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        dilation: Pair = 1,
        *,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = pair("MaxPool2d", "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair("MaxPool2d", "stride", stride, 1)
        self.padding = pair("MaxPool2d", "padding", padding, 0)
        self.dilation = pair("MaxPool2d", "dilation", dilation, 1)
        self.ceil_mode = ceil_mode

    def forward(self, x: Array) -> Array:
        y, self.cache = max_pool2d_forward(
            x,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
        )
        return y

    def backward(self, dy: Array) -> Array:
        return max_pool2d_backward(dy, self.take_cache())

    def signature(self) -> tuple[Array, ...]:
        return (self.read_cache().argmax,)

    def extra_repr(self) -> str:
        return _describe(self, {"padding": (0, 0), "dilation": (1, 1), "ceil_mode": False})


class AvgPool2d(Layer):
    """The mean of every window: see functional.avg_pool2d_forward.

    x (N, C, H, W) -> y (N, C, P, Q). stride None means kernel_size.
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self.kernel_size = pair("AvgPool2d", "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair("AvgPool2d", "stride", stride, 1)
        self.padding = pair("AvgPool2d", "padding", padding, 0)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, x: Array) -> Array:
        y, self.cache = avg_pool2d_forward(
            x,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
            divisor_override=self.divisor_override,
        )
        return y

    def backward(self, dy: Array) -> Array:
        return avg_pool2d_backward(dy, self.take_cache())

    def extra_repr(self) -> str:
        return _describe(
            self, {"padding": (0, 0), "ceil_mode": False, "count_include_pad": True, "divisor_override": None}
        )


class AdaptiveAvgPool2d(Layer):
    """Average over bins to a fixed output size, whatever the input's: (N, C, H, W) -> (N, C, P, Q)."""

    def __init__(self, output_size: Any) -> None:
        self.output_size = output_size

    def forward(self, x: Array) -> Array:
        y, self.cache = adaptive_avg_pool2d_forward(x, self.output_size)
        return y

    def backward(self, dy: Array) -> Array:
        return adaptive_avg_pool2d_backward(dy, self.take_cache())

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


def _describe(layer: MaxPool2d | AvgPool2d, defaults: dict[str, Any]) -> str:
    shown = [f"kernel_size={layer.kernel_size}", f"stride={layer.stride}"]
    shown += [
        f"{name}={getattr(layer, name)}" for name, value in defaults.items() if getattr(layer, name) != value
    ]
    return ", ".join(shown)

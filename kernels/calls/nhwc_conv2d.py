"""Convolution by the channels-last kernels: what winograd_conv2d, pointwise_conv2d and this module share.

Each names one of cpu/winograd, cpu/pointwise and cpu/conv_nhwc, which have the same three passes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.kernels.cpu import conv_nhwc
from minicnn.kernels.cpu.layout import NHWC, arrange, as_nchw
from minicnn.kernels.cpu.sums import column_sums, masked_sums
from minicnn.kernels.memory import empty


class NhwcConv2dCache(NamedTuple):
    """What the kernels' backward needs. Arrays are stored (N, H, W, C)."""

    passes: Any  # the module with forward, grad_input and grad_weight
    x: np.ndarray
    weight: np.ndarray  # (O, C, R, S)
    has_bias: bool
    options: dict[str, tuple[int, int]]
    output: tuple[int, int]
    y: np.ndarray | None  # kept where a ReLU was applied to it

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.x.shape[0], self.weight.shape[0], *self.output)

    def backward(self, dy: np.ndarray, needs: tuple[bool, bool, bool]) -> tuple[Any, Any, Any]:
        return _backward(self, dy, needs, None)

    def backward_onto(
        self, dy: np.ndarray, needs: tuple[bool, bool, bool], onto: np.ndarray
    ) -> tuple[Any, Any, Any]:
        """The same with dx added to onto (N, C, H, W), in its memory if that is stored channels-last."""
        return _backward(self, dy, needs, arrange(onto, NHWC))


def forward_by(
    passes: Any, options: dict[str, tuple[int, int]], x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None,
    window: Any, relu: bool,
) -> tuple[np.ndarray, NhwcConv2dCache]:  # fmt: skip
    x = arrange(x, NHWC)
    weight = np.ascontiguousarray(weight)
    y = empty((x.shape[0], *window.output, weight.shape[0]))
    passes.forward(x, weight, bias, y, relu=relu, **options)
    cache = NhwcConv2dCache(
        passes, x, weight, bias is not None, options, tuple(window.output), y if relu else None
    )
    return as_nchw(y, NHWC), cache


def forward(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, window: Any, relu: bool = False
) -> tuple[np.ndarray, NhwcConv2dCache]:
    options = {"stride": window.stride, "padding": window.before, "dilation": window.dilation}
    return forward_by(conv_nhwc, options, x, weight, bias, window, relu)


def _backward(
    cache: NhwcConv2dCache, dy: np.ndarray, needs: tuple[bool, bool, bool], onto: np.ndarray | None
) -> tuple[Any, Any, Any]:
    passes, x, weight, has_bias, options, _, y = cache
    dy = arrange(dy, NHWC)
    outputs = weight.shape[0]
    dx = dweight = dbias = None
    if y is not None:
        masked, dbias = empty(dy.shape), empty((outputs,))
        masked_sums(dy.reshape(-1, outputs), y.reshape(-1, outputs), masked.reshape(-1, outputs), dbias)
        dy = masked
    elif needs[2] and has_bias:
        dbias = empty((outputs,))
        column_sums(dy.reshape(-1, outputs), dbias)
    if needs[1]:
        dweight = empty(weight.shape)
        passes.grad_weight(x, dy, dweight, **options)
    if needs[0]:
        out = empty(x.shape) if onto is None else onto
        passes.grad_input(dy, weight, out, accumulate=onto is not None, **options)
        dx = as_nchw(out, NHWC)
    return dx, dweight, dbias if needs[2] and has_bias else None

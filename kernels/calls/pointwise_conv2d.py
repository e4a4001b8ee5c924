"""1x1 convolution as a matrix product: see cpu/pointwise.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels.calls.nhwc_conv2d import NhwcConv2dCache, forward_by
from minicnn.kernels.cpu import pointwise


def forward(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, window: Any, relu: bool = False
) -> tuple[np.ndarray, NhwcConv2dCache]:
    return forward_by(pointwise, {"stride": window.stride}, x, weight, bias, window, relu)

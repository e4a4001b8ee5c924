"""3x3 convolution of stride 1 by Winograd's algorithm: see cpu/winograd.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels.calls.nhwc_conv2d import NhwcConv2dCache, forward_by
from minicnn.kernels.cpu import winograd


def forward(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, window: Any, relu: bool = False
) -> tuple[np.ndarray, NhwcConv2dCache]:
    return forward_by(winograd, {"padding": window.before}, x, weight, bias, window, relu)

"""The fully connected layer, small: dense_linear.py with our tiles, which a CUDA graph can record."""

from __future__ import annotations

from typing import Any

from minicnn.kernels.cuda_calls import dense_linear
from minicnn.kernels.cuda_calls.dense_linear import DenseLinearCache
from minicnn.kernels.cuda_calls.products import by_tiles


def forward(x: Any, weight: Any, bias: Any | None, relu: bool = False) -> tuple[Any, DenseLinearCache]:
    return dense_linear.forward(x, weight, bias, relu, by_tiles)

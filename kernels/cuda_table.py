"""The table of algorithms on a GPU, read as table.py's: the first row that can and wins is taken.

Its limits come from a model (docs/gpu-kernels.md): im2col writes and reads its columns, so its product
must have much to do with each; the implicit product reads x for every tile of output channels instead.
TF32 is never taken unasked: using("tf32").
"""

from __future__ import annotations

import math
from typing import Any

from minicnn.kernels.table import Conv, Row, always

# Where cuBLAS, on stored columns, is expected to beat the hand-written tile (0.85 of the time of an
# H100's float32 peak against 0.65): for O output channels, columns cost O / 4 flops a byte.
MANY_CHANNELS = 512
# Up to here a fully connected layer's product takes our tiles less than some 20 microseconds, and what counts
# is that CUDA graphs can record it, which CuPy refuses for cuBLAS.
SMALL_PRODUCT = 2**28


def some(case: Any) -> bool:
    return case.size > 0


def can_convolve(case: Conv) -> bool:
    return case.batch > 0 and case.multiply_adds > 0


def has_products(case: Any) -> bool:
    return case.multiply_adds > 0


def never(case: Any) -> bool:
    return False


def _one_pass(module: str) -> tuple[Row, ...]:
    return (Row("direct", module, can=some, wins=always, why="one pass"),)


CUDA_TABLE: dict[str, tuple[Row, ...]] = {
    "conv2d": (
        Row("tf32", "tf32_conv2d", can=can_convolve, wins=never, why="asked for"),
        Row(
            "im2col",
            "im2col_conv2d",
            can=can_convolve,
            wins=lambda case: (
                case.groups == 1
                and case.out_channels >= MANY_CHANNELS
                and case.in_channels * math.prod(case.window.kernel) >= MANY_CHANNELS
            ),
            why="many output channels: cuBLAS has much to do with each column",
        ),
        Row(
            "implicit",
            "implicit_conv2d",
            can=can_convolve,
            wins=always,
            why="a matrix product whose columns are never stored",
        ),
    ),
    "linear": (
        Row("tf32", "tf32_linear", can=has_products, wins=never, why="asked for"),
        Row(
            "tiled",
            "tiled_linear",
            can=has_products,
            wins=lambda case: case.multiply_adds <= SMALL_PRODUCT,
            why="small: our tiles, which a CUDA graph can record",
        ),
        Row(
            "direct",
            "dense_linear",
            can=has_products,
            wins=always,
            why="large: cuBLAS, then bias and ReLU in one pass",
        ),
    ),
    "batch_norm2d": _one_pass("batch_norm2d"),
    "max_pool2d": _one_pass("max_pool2d"),
    "avg_pool2d": _one_pass("avg_pool2d"),
    "relu": _one_pass("activation"),
    "leaky_relu": _one_pass("activation"),
    "elu": _one_pass("activation"),
    "sigmoid": _one_pass("activation"),
    "tanh": _one_pass("activation"),
    "gelu": _one_pass("activation"),
    "dropout": _one_pass("dropout"),
    "cross_entropy": (
        Row(
            "direct",
            "cross_entropy",
            can=lambda case: case.plain and len(case.shape) == 2 and min(case.shape) > 0,
            wins=always,
            why="a warp a row, the loss stays on the GPU",
        ),
    ),
    "update": _one_pass("updates"),
}

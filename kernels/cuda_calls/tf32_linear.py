"""The fully connected layer on tensor cores, inputs rounded to TF32: by our tiles if small, else by cuBLAS."""

from __future__ import annotations

from typing import Any

from minicnn.kernels.cuda_calls import dense_linear
from minicnn.kernels.cuda_calls.dense_linear import DenseLinearCache
from minicnn.kernels.cuda_calls.products import by_cublas_in_tf32, by_tf32_tiles
from minicnn.kernels.cuda_calls.tf32_conv2d import check_tensor_cores
from minicnn.kernels.cuda_table import SMALL_PRODUCT


def forward(x: Any, weight: Any, bias: Any | None, relu: bool = False) -> tuple[Any, DenseLinearCache]:
    check_tensor_cores(x)
    small = x.size * weight.shape[0] <= SMALL_PRODUCT
    return dense_linear.forward(x, weight, bias, relu, by_tf32_tiles if small else by_cublas_in_tf32)

"""The fully connected layer: products by cuBLAS, then the bias and the ReLU by cuda/activation.cu."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from minicnn.kernels.cuda_calls.activation import bias_relu, relu_backward
from minicnn.kernels.cuda_calls.launch import contiguous
from minicnn.kernels.cuda_calls.products import by_cublas
from minicnn.kernels.cuda_calls.sums import channel_sums

Product = Callable[[str, Any, Any], Any]


class DenseLinearCache(NamedTuple):
    x: Any  # (N, D)
    weight: Any  # (M, D)
    has_bias: bool
    y: Any | None  # kept where a ReLU was applied to it
    product: Product  # one of products.py, for backward too

    @property
    def shape(self) -> tuple[int, ...]:
        return self.x.shape[0], self.weight.shape[0]

    def backward(self, dy: Any, needs: tuple[bool, bool, bool]) -> tuple[Any, Any, Any]:
        dy = contiguous(dy)
        if self.y is not None:
            dy = relu_backward(dy, self.y)
        return (
            self.product("grad_input", dy, self.weight) if needs[0] else None,
            self.product("grad_weight", dy, self.x) if needs[1] else None,
            channel_sums(dy) if needs[2] and self.has_bias else None,
        )


def forward(
    x: Any, weight: Any, bias: Any | None, relu: bool = False, product: Product = by_cublas
) -> tuple[Any, DenseLinearCache]:
    x, weight = contiguous(x), contiguous(weight)
    y = product("forward", x, weight)
    bias_relu(y, contiguous(bias), relu)
    return y, DenseLinearCache(x, weight, bias is not None, y if relu else None, product)

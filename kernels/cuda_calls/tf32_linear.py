"""The fully connected layer with cuBLAS's products on tensor cores: dense_linear.py, inputs rounded to TF32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from minicnn.backend import device_of
from minicnn.kernels.cuda_calls import dense_linear
from minicnn.kernels.cuda_calls.dense_linear import DenseLinearCache
from minicnn.kernels.cuda_calls.tf32_conv2d import check_tensor_cores


class Tf32LinearCache(NamedTuple):
    """DenseLinearCache, whose products are TF32's in backward too."""

    inner: DenseLinearCache

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inner.shape

    @property
    def x(self) -> Any:
        return self.inner.x

    def backward(self, dy: Any, needs: tuple[bool, bool, bool]) -> tuple[Any, Any, Any]:
        with tf32_products(dy):
            return self.inner.backward(dy, needs)


def forward(x: Any, weight: Any, bias: Any | None, relu: bool = False) -> tuple[Any, Tf32LinearCache]:
    check_tensor_cores(x)
    with tf32_products(x):
        y, cache = dense_linear.forward(x, weight, bias, relu)
    return y, Tf32LinearCache(cache)


@contextmanager
def tf32_products(x: Any) -> Iterator[None]:
    """Inside, CuPy's float32 matrix products round their inputs to TF32. NumPy's stay as they are."""
    if device_of(x) != "cuda":
        yield
        return
    from cupy._core import _routines_linalg as products

    before = products.get_compute_type("f")
    products.set_compute_type("f", products.COMPUTE_TYPE_TF32)
    try:
        yield
    finally:
        products.set_compute_type("f", before)

"""The products of a fully connected layer: by our tiles (cuda/linear.cu), or by cuBLAS.

product("forward", x, weight)        x Wᵀ
product("grad_input", dy, weight)    dy W
product("grad_weight", dy, x)        dyᵀ x
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minicnn.backend import device_of
from minicnn.kernels.cuda_calls.implicit_conv2d import BLOCKS_WANTED, MIDDLE, TF32
from minicnn.kernels.cuda_calls.launch import contiguous, empty, launch
from minicnn.kernels.cuda_calls.sums import sum_parts

FILE = "linear.cu"
# A sum is split until the GPU is full, but a part is no shorter: eight steps of a tile.
SHORTEST_PART = 64


def by_cublas(kind: str, a: Any, b: Any) -> Any:
    if kind == "forward":
        return contiguous(a @ b.T)
    return contiguous(a @ b if kind == "grad_input" else a.T @ b)


def by_cublas_in_tf32(kind: str, a: Any, b: Any) -> Any:
    with _tf32_products(a):
        return by_cublas(kind, a, b)


def by_tiles(kind: str, a: Any, b: Any, tf32: bool = False) -> Any:
    a, b = contiguous(a), contiguous(b)
    tile = TF32 if tf32 and a.dtype.itemsize == 4 else MIDDLE
    rows, depth = a.shape[::-1] if kind == "grad_weight" else a.shape
    cols = b.shape[0] if kind == "forward" else b.shape[1]
    tiles = -(-rows // tile.rows), -(-cols // tile.cols)
    wanted = -(-BLOCKS_WANTED // (tiles[0] * tiles[1]))
    per_part = max(SHORTEST_PART, -(-depth // wanted))
    count = -(-depth // per_part)
    parts = empty((count, rows, cols), like=a)
    grid, args = (tiles[1], tiles[0], count), (a, b, parts, rows, cols, depth, per_part)
    launch(FILE, f"linear_{kind}", grid, args, threads=tile.threads, options=tile.options)
    return sum_parts(parts, (rows, cols))


def by_tf32_tiles(kind: str, a: Any, b: Any) -> Any:
    return by_tiles(kind, a, b, tf32=True)


@contextmanager
def _tf32_products(x: Any) -> Iterator[None]:
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

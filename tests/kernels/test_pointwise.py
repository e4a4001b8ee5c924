"""1x1 convolution and the matrix products behind it, against the definition in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.kernels.cpu import pointwise, product, product_gradient
from tests.kernels.bounds import assert_close_sum
from tests.kernels.nhwc import FEW, check_epilogues, check_sums, computed, make_case, poison, threads
from tests.support.strategies import seeds


@given(
    images=st.integers(1, 3),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    inputs=st.sampled_from([1, 3, 16, 33, 64]),
    outputs=st.sampled_from([5, 16, 64, 70]),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    count=st.sampled_from(FEW),
    seed=seeds,
)
def test_all_three_passes(
    images: int, size: Any, inputs: int, outputs: int, stride: Any, count: int, seed: int
) -> None:
    case = make_case(seed, (images, *size, inputs), outputs, (1, 1), stride=stride)
    with threads(count):
        check_sums(computed(pointwise, case), case)


@given(
    rows=st.integers(1, 500),
    depth=st.sampled_from([1, 6, 64, 130, 250]),
    columns=st.sampled_from([3, 16, 64, 70]),
    turn=st.booleans(),
    count=st.sampled_from(FEW),
    seed=seeds,
)
def test_products(rows: int, depth: int, columns: int, turn: bool, count: int, seed: int) -> None:
    """a @ w and aᵀ @ dy, with few and many rows, w as it is or transposed."""
    rng = np.random.default_rng(seed)
    a, w, dy = (
        rng.standard_normal(shape).astype(np.float32)
        for shape in ((rows, depth), (columns, depth) if turn else (depth, columns), (rows, columns))
    )
    y, dw = np.full((rows, columns), np.nan, np.float32), np.full((depth, columns), np.nan, np.float32)
    with threads(count):
        poison()
        product.product(a, w, None, y, turn=turn)
        poison()
        product_gradient.product_gradient(a, dy, dw)
    matrix = (w.T if turn else w).astype(np.float64)
    exact_a, exact_dy = a.astype(np.float64), dy.astype(np.float64)
    assert_close_sum(y, exact_a @ matrix, np.abs(exact_a) @ np.abs(matrix), depth)
    assert_close_sum(dw, exact_a.T @ exact_dy, np.abs(exact_a.T) @ np.abs(exact_dy), rows)


def test_blocks_and_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small limits, so that a small case takes every path."""
    monkeypatch.setattr(product, "CHUNK_BYTES", 1 << 12)
    monkeypatch.setattr(product, "BLOCK_BYTES", 1 << 13)
    for limit in (0, 1e9):
        monkeypatch.setattr(product, "PANELS_BYTES", limit)
        monkeypatch.setattr(product_gradient, "OWN_BYTES", limit)
        case = make_case(1, (2, 20, 17, 40), 70, (1, 1))
        check_sums(computed(pointwise, case), case)


@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
def test_relu_and_accumulate(stride: tuple[int, int]) -> None:
    check_epilogues(pointwise, make_case(2, (2, 9, 8, 33), 20, (1, 1), stride=stride))

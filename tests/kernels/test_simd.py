"""The vocabulary of tiles, word by word, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.kernels.cpu.compiler import FLAGS
from minicnn.kernels.cpu.simd import (
    Tile,
    W,
    at_least,
    column,
    dots,
    linear,
    load,
    rank1,
    row,
    store,
    store_sums,
    transposed,
    zeros,
)

numba = pytest.importorskip("numba")
compiled = numba.njit(fastmath=FLAGS)
TILE, SQUARE, COLUMN = Tile(3, 2), Tile(W, 1), Tile(4, 1)
MATRIX = np.array([[1.0, 0.0, -1.0, 2.0], [0.0, 0.5, 0.0, 0.0]])
combine = linear(MATRIX)


@compiled
def use_rank1(a, b, y, tile):
    acc = zeros(tile)
    for k in range(a.shape[1]):
        acc = rank1(acc, a, (0, k), (1, 0), b, (k, 0))
    store(acc, y, (0, 0), (1, 0))


@compiled
def use_fillings(a, y, tile):
    store(load(tile, a, (0, 0), (1, 0)), y, (0, 0, 0), (0, 1, 0))
    store(column(tile, a, (0, 0), (1, 0)), y, (1, 0, 0), (0, 1, 0))
    store(row(tile, a, (1, 0)), y, (2, 0, 0), (0, 1, 0))
    store(at_least(load(tile, a, (0, 0), (1, 0)), np.float32(0)), y, (3, 0, 0), (0, 1, 0))


@compiled
def use_dots(a, b, y, tile):
    acc = zeros(tile)
    for n in range(0, a.shape[1], W):
        acc = dots(acc, a, (0, n), (1, 0), b, (0, n), (1, 0))
    store_sums(acc, y, (0, 0), (1, 0), (0, 1))


@compiled
def use_transposed(a, y, tile):
    store(transposed(load(tile, a, (0, 0), (1, 0))), y, (0, 0), (1, 0))


@compiled
def use_linear(a, y, tile):
    store(combine(load(tile, a, (0, 0), (1, 0))), y, (0, 0), (1, 0))


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape) + shape[0]).standard_normal(shape).astype(np.float32)


def test_rank1_adds_up_to_a_product() -> None:
    a, b, y = random(3, 20), random(20, TILE.width), np.zeros((3, TILE.width), dtype=np.float32)
    use_rank1(a, b, y, TILE)
    np.testing.assert_allclose(y, a @ b, rtol=1e-5, atol=1e-5)


def test_filling_a_tile() -> None:
    a, y = random(3, TILE.width), np.zeros((4, 3, TILE.width), dtype=np.float32)
    use_fillings(a, y, TILE)
    np.testing.assert_array_equal(y[0], a)
    np.testing.assert_array_equal(y[1], np.broadcast_to(a[:, :1], a.shape))
    np.testing.assert_array_equal(y[2], np.broadcast_to(a[1], a.shape))
    np.testing.assert_array_equal(y[3], np.maximum(a, 0))


@pytest.mark.parametrize("tile", [Tile(1, 1), Tile(3, 2), Tile(4, 6)], ids=repr)
def test_dots_are_inner_products(tile: Tile) -> None:
    a, b = random(tile.rows, 5 * W), random(tile.cols, 5 * W)
    y = np.zeros((tile.rows, tile.cols), dtype=np.float32)
    use_dots(a, b, y, tile)
    np.testing.assert_allclose(y, a @ b.T, rtol=1e-5, atol=1e-5)


def test_a_square_is_transposed() -> None:
    a, y = random(W, W), np.zeros((W, W), dtype=np.float32)
    use_transposed(a, y, SQUARE)
    np.testing.assert_array_equal(y, a.T)


def test_linear_multiplies_the_column_of_rows() -> None:
    a, y = random(4, W), np.zeros((2, W), dtype=np.float32)
    use_linear(a, y, COLUMN)
    np.testing.assert_allclose(y, MATRIX @ a, rtol=1e-6, atol=1e-6)

"""Slices of channels in arrays that are stored channels-last: read and written where they lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.kernels.calls import batch_norm2d, concatenate
from minicnn.kernels.cpu.layout import NHWC, as_nchw, as_rows


def channels_last(rng: np.random.Generator, n: int, c: int, h: int, w: int) -> np.ndarray:
    return as_nchw(rng.standard_normal((n, h, w, c), dtype=np.float32), NHWC)


@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 5), st.integers(1, 5), st.integers(0, 9))
def test_rows_are_views_of_slices_and_copies_of_anything_else(
    n: int, c: int, h: int, w: int, more: int
) -> None:
    rng = np.random.default_rng(0)
    wide = channels_last(rng, n, c + 2 * more, h, w)
    for x in (wide[:, :c], wide[:, more : more + c], np.ascontiguousarray(wide[:, :c]), wide[:, c - 1 :: -1]):
        rows = as_rows(x)
        for p, pixel in enumerate(x.transpose(NHWC).reshape(-1, x.shape[1])):
            np.testing.assert_array_equal(rows[p, : x.shape[1]], pixel)
    if more and n * h * w > 1:
        assert np.may_share_memory(as_rows(wide[:, more : more + c]), wide)


@pytest.mark.parametrize("first", [0, 3])
def test_batch_norm_works_on_a_slice_and_adds_its_gradient_to_one(first: int) -> None:
    rng = np.random.default_rng(1)
    wide, sums = channels_last(rng, 3, 40, 7, 5), channels_last(rng, 3, 48, 7, 5)
    x, onto = wide[:, first : first + 24], sums[:, 8:32]
    weight, bias = rng.standard_normal((2, 24), dtype=np.float32)
    dy = channels_last(rng, 3, 24, 7, 5)
    expected_y, expected_cache = batch_norm2d.forward(x.copy(), weight, bias, None, None, 1e-5, True)
    expected = expected_cache.backward(dy, (True, True, True))
    before, untouched = sums.copy(), wide.copy()

    y, cache = batch_norm2d.forward(x, weight, bias, None, None, 1e-5, True)
    dx, dweight, dbias = cache.backward_onto(dy, (True, True, True), onto)

    np.testing.assert_array_equal(y, expected_y)
    assert dx is onto, "written where it was asked for"
    np.testing.assert_allclose(sums[:, 8:32], before[:, 8:32] + expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(sums[:, :8], before[:, :8])
    np.testing.assert_array_equal(sums[:, 32:], before[:, 32:])
    np.testing.assert_array_equal(wide, untouched)
    np.testing.assert_array_equal(dweight, expected[1])
    np.testing.assert_array_equal(dbias, expected[2])


def test_a_gradient_that_cannot_be_added_in_place_is_returned_anew() -> None:
    rng = np.random.default_rng(2)
    x, dy = channels_last(rng, 2, 16, 4, 4), channels_last(rng, 2, 16, 4, 4)
    onto = rng.standard_normal((2, 16, 4, 4), dtype=np.float32)  # stored NCHW
    _, cache = batch_norm2d.forward(x, None, None, None, None, 1e-5)
    dx, _, _ = cache.backward_onto(dy, (True, True, True), onto)
    np.testing.assert_allclose(dx, onto + cache.backward(dy, (True, True, True))[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("order", ["channels last", "channels first"])
def test_concatenation_is_that_of_numpy(order: str) -> None:
    rng = np.random.default_rng(3)
    parts = [channels_last(rng, 2, c, 5, 6) for c in (16, 3, 8)]
    parts[2] = channels_last(rng, 2, 12, 5, 6)[:, 2:10]
    if order == "channels first":
        parts = [np.ascontiguousarray(part) for part in parts]
    np.testing.assert_array_equal(concatenate.forward(parts), np.concatenate(parts, axis=1))

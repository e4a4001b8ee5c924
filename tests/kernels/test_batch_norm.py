"""Batch normalisation, alone and with the addition and the ReLU after it, against the definition in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.functional import batch_norm2d_backward, batch_norm2d_forward
from minicnn.kernels.calls import batch_norm2d
from minicnn.kernels.cpu.sums import column_sums, masked_sums
from tests.kernels.nhwc import FEW, poison, threads
from tests.support.arrays import assert_close
from tests.support.strategies import seeds

TOLERANCE = (
    1e-5  # of the largest value; a mean of 100 at a deviation of 1 takes two digits of float32's seven
)


@given(
    images=st.integers(1, 4),
    channels=st.sampled_from([1, 5, 16, 64]),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    mean=st.sampled_from([0, 3, 100]),
    kind=st.sampled_from(["plain", "relu", "shortcut"]),
    given_statistics=st.booleans(),
    affine=st.booleans(),
    count=st.sampled_from(FEW),
    seed=seeds,
)
def test_forward_and_backward(
    images: int, channels: int, size: tuple[int, int], mean: float, kind: str, given_statistics: bool,
    affine: bool, count: int, seed: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    shape = (max(images, 2), channels, *size)
    x = (rng.standard_normal(shape) + mean).astype(np.float32)
    shortcut, dy = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    weight, bias = (rng.standard_normal(channels).astype(np.float32) if affine else None for _ in range(2))
    statistics = [(x.mean((0, 2, 3)) + 0.1), (x.var((0, 2, 3)) + 1)] if given_statistics else [None, None]
    added = shortcut if kind == "shortcut" else None

    with threads(count):
        poison()
        y, cache = batch_norm2d.forward(x, weight, bias, *statistics, 1e-5, kind != "plain", added)
        poison()
        dx, dweight, dbias, dshortcut = cache.backward_shortcut(dy, (True, True, True))

    wide = [None if a is None else a.astype(np.float64) for a in (x, weight, bias, *statistics)]
    exact, exact_cache = batch_norm2d_forward(*wide[:3], mean=wide[3], var=wide[4], eps=1e-5)
    exact = exact if added is None else exact + added
    g = dy.astype(np.float64)
    if kind != "plain":
        exact = np.maximum(exact, 0)
        g = g * (y > 0)  # where rounding decides, the kernel's own mask
    exact_dx, exact_dweight, exact_dbias = batch_norm2d_backward(g, exact_cache)

    # Two pixels a channel that are nearly equal: 1/σ is large, and with it the error that x has from its own rounding.
    sigma = np.sqrt(exact_cache.var + 1e-5).min()
    tolerance = TOLERANCE * (1 + abs(mean) / 10) / min(1, sigma)
    assert_close(cache.mean, exact_cache.mean, TOLERANCE, "mean")
    assert_close(cache.var, exact_cache.var, TOLERANCE * (1 + abs(mean)), "var")
    assert_close(y, exact, tolerance, "y")
    if sigma > 0.3:
        assert_close(dx, exact_dx, 10 * tolerance, "dx")
    if affine:
        scale = np.abs(g).sum((0, 2, 3)).max() + 1e-30
        assert np.abs(dweight - exact_dweight).max() <= 10 * tolerance * scale
        assert np.abs(dbias - exact_dbias).max() <= tolerance * scale
    if kind == "shortcut":
        np.testing.assert_array_equal(dshortcut, g)


def test_variance_survives_a_large_mean() -> None:
    """E[x²] - E[x]² in float32 would give nothing but rounding here."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((8, 16, 20, 20)) + 4000).astype(np.float32)
    _, cache = batch_norm2d.forward(x, None, None, None, None, 1e-5)
    np.testing.assert_allclose(cache.var, x.astype(np.float64).var((0, 2, 3)), rtol=1e-3)


def test_statistics_of_many_rows_are_right_to_the_last_digit() -> None:
    """Blocks merged in float32 would be off by 2e-6 here, twenty times what one rounding costs."""
    x = (2 * np.random.default_rng(0).standard_normal((2, 16, 224, 224)) + 1).astype(np.float32)
    _, cache = batch_norm2d.forward(x, None, None, None, None, 1e-5)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(cache.mean, exact.mean((0, 2, 3)), rtol=2e-7)
    np.testing.assert_allclose(cache.var, exact.var((0, 2, 3)), rtol=2e-7)


def test_nan_is_seen() -> None:
    x = np.ones((2, 16, 3, 3), np.float32)
    x[0, 0, 0, 0] = np.nan
    y, _ = batch_norm2d.forward(x, None, None, None, None, 1e-5, True)
    assert np.isnan(y[:, 0]).all()
    assert not np.isnan(y[:, 1:]).any()


def test_given_statistics_may_change_after_forward() -> None:
    rng = np.random.default_rng(1)
    x, dy = (rng.standard_normal((2, 8, 4, 4)).astype(np.float32) for _ in range(2))
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    _, cache = batch_norm2d.forward(x, None, None, mean, var, 1e-5, True)
    first = cache.backward(dy, (True, True, True))[0].copy()
    mean += 1
    np.testing.assert_array_equal(cache.backward(dy, (True, True, True))[0], first)


@given(
    rows=st.integers(1, 300), channels=st.sampled_from([1, 5, 16, 33]), count=st.sampled_from(FEW), seed=seeds
)
def test_sums_over_rows(rows: int, channels: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dy, y = (rng.standard_normal((rows, channels)).astype(np.float32) for _ in range(2))
    total, masked_total, g = np.empty(channels, np.float32), np.empty(channels, np.float32), np.empty_like(dy)
    with threads(count):
        poison()
        column_sums(dy, total)
        poison()
        masked_sums(dy, y, g, masked_total)
    np.testing.assert_array_equal(g, np.where(y > 0, dy, 0))
    assert np.abs(total - dy.sum(0, dtype=np.float64)).max() <= 1e-5 * np.abs(dy).sum(0).max()
    assert np.abs(masked_total - g.sum(0, dtype=np.float64)).max() <= 1e-5 * np.abs(dy).sum(0).max()


@pytest.mark.parametrize("relu", [False, True])
def test_one_row_a_thread(relu: bool) -> None:
    """Fewer rows than a block, and a thread without any."""
    x = np.array([[1.0], [3.0]], np.float32).reshape(2, 1, 1, 1)
    y, cache = batch_norm2d.forward(x, None, None, None, None, 0.0, relu)
    assert float(cache.mean[0]) == 2.0
    assert float(cache.var[0]) == 1.0
    np.testing.assert_allclose(y.ravel(), [0 if relu else -1, 1])

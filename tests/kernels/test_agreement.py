"""Every kernel computes what its definition says: over drawn shapes, any strides at the door."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import functional as F
from minicnn.kernels import using
from tests.kernels.bounds import assert_close_sum
from tests.support.strategies import as_pair, int_or_pair, seeds

# A few sizes below, at and above what fills a vector or a tile; each new tile shape is one to compile.
BATCHES = st.sampled_from([1, 5, 16, 37, 64, 70])
CHANNELS = st.sampled_from([1, 3, 6, 8])


def stored_anyhow(rng: np.random.Generator, shape: tuple[int, ...], how: int) -> np.ndarray:
    """Random values in C order, channels last, batch innermost, reversed, or every other one of a larger array."""
    x = rng.standard_normal(shape).astype(np.float32)
    if how == 1 and x.ndim == 4:
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if how == 2:
        return np.ascontiguousarray(np.moveaxis(x, 0, -1)).transpose(x.ndim - 1, *range(x.ndim - 1))
    if how == 3:
        return x[::-1]
    if how == 4:
        wide = np.zeros((*shape[:-1], 2 * shape[-1]), dtype=np.float32)
        wide[..., ::2] = x
        return wide[..., ::2]
    return x


def frozen(*arrays: np.ndarray | None) -> list[np.ndarray]:
    return [array.copy() for array in arrays if array is not None]


@given(
    batch=BATCHES,
    in_channels=CHANNELS,
    out_channels=CHANNELS,
    kernel=int_or_pair(1, 3),
    stride=int_or_pair(1, 2),
    padding=st.one_of(st.just("same"), int_or_pair(0, 2)),
    dilation=int_or_pair(1, 2),
    extra=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    bias=st.booleans(),
    seed=seeds,
    how=st.integers(0, 4),
)
def test_direct_convolution(
    batch: int,
    in_channels: int,
    out_channels: int,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    extra: tuple[int, int],
    bias: bool,
    seed: int,
    how: int,
) -> None:
    rng = np.random.default_rng(seed)
    stride = 1 if padding == "same" else stride
    size = [d * (k - 1) + 1 + more for d, k, more in zip(as_pair(dilation), as_pair(kernel), extra)]
    x = stored_anyhow(rng, (batch, in_channels, *size), how)
    weight = rng.standard_normal((out_channels, in_channels, *as_pair(kernel))).astype(np.float32)
    b = rng.standard_normal(out_channels).astype(np.float32) if bias else None
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    with using("direct"):
        y, cache = F.conv2d_forward(x, weight, b, **options)
        dy = stored_anyhow(rng, y.shape, (how + 1) % 5)
        before = frozen(x, weight, b, dy)
        gradients = F.conv2d_backward(dy, cache)
    # One of the two direct algorithms: batch-innermost or channels-last storage.
    assert type(cache).__name__ in ("DirectConv2dCache", "NhwcConv2dCache")
    assert all(np.array_equal(a, b) for a, b in zip(before, frozen(x, weight, b, dy)))

    exact = _convolution(x, weight, b, dy, options)
    magnitude = _convolution(*(None if a is None else np.abs(a) for a in (x, weight, b, dy)), options)
    taps = in_channels * int(np.prod(as_pair(kernel)))
    pixels = dy[:, 0].size
    lengths = (taps + 1, taps * out_channels, pixels, pixels)
    for result, value, size_of_sum, length in zip((y, *gradients), exact, magnitude, lengths):
        if value is None:
            assert result is None
        else:
            assert_close_sum(result, value, size_of_sum, length)


def _convolution(x: Any, weight: Any, bias: Any, dy: Any, options: dict[str, Any]) -> tuple[Any, ...]:
    """y, dx, dweight and dbias of the definition in float64."""
    x, weight, bias, dy = (None if a is None else a.astype(np.float64) for a in (x, weight, bias, dy))
    y, cache = F.conv2d_forward(x, weight, bias, **options)
    return y, *F.conv2d_backward(dy, cache)


@given(
    batch=BATCHES,
    in_features=st.sampled_from([1, 3, 10, 33]),
    out_features=st.sampled_from([1, 3, 10, 25]),
    bias=st.booleans(),
    seed=seeds,
    how=st.sampled_from([0, 2, 3, 4]),
)
def test_linear(batch: int, in_features: int, out_features: int, bias: bool, seed: int, how: int) -> None:
    rng = np.random.default_rng(seed)
    x = stored_anyhow(rng, (batch, in_features), how)
    weight = rng.standard_normal((out_features, in_features)).astype(np.float32)
    b = rng.standard_normal(out_features).astype(np.float32) if bias else None
    dy = stored_anyhow(rng, (batch, out_features), (how + 2) % 5)
    before = frozen(x, weight, b, dy)
    with using("direct"):
        y, cache = F.linear_forward(x, weight, b)
        gradients = F.linear_backward(dy, cache)
    assert type(cache).__name__ == "DenseLinearCache"
    assert all(np.array_equal(a, b) for a, b in zip(before, frozen(x, weight, b, dy)))
    exact, magnitude = (
        _affine(x, weight, b, dy),
        _affine(*(None if a is None else np.abs(a) for a in (x, weight, b, dy))),
    )
    for result, value, size_of_sum, length in zip(
        (y, *gradients), exact, magnitude, (in_features + 1, out_features, batch, batch)
    ):
        if value is None:
            assert result is None
        else:
            assert_close_sum(result, value, size_of_sum, length)


def _affine(x: Any, weight: Any, bias: Any, dy: Any) -> tuple[Any, ...]:
    x, weight, bias, dy = (None if a is None else a.astype(np.float64) for a in (x, weight, bias, dy))
    y, cache = F.linear_forward(x, weight, bias)
    return y, *F.linear_backward(dy, cache)


@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)),
    kernel=int_or_pair(1, 3),
    stride=st.one_of(st.none(), int_or_pair(1, 3)),
    dilation=int_or_pair(1, 2),
    ceil_mode=st.booleans(),
    pad=st.booleans(),
    seed=seeds,
    how=st.integers(0, 4),
)
def test_max_pooling_is_the_definition_to_the_bit(
    shape: Any, kernel: Any, stride: Any, dilation: Any, ceil_mode: bool, pad: bool, seed: int, how: int
) -> None:
    reach = [d * (k - 1) + 1 for d, k in zip(as_pair(dilation), as_pair(kernel))]
    shape = (*shape[:2], *(max(size, r) for size, r in zip(shape[2:], reach)))
    rng = np.random.default_rng(seed)
    # Small integers: many equal values, of which the first must win.
    x = np.round(stored_anyhow(rng, shape, how) * 2) if seed % 2 else stored_anyhow(rng, shape, how)
    padding = tuple(side // 2 for side in as_pair(kernel)) if pad else 0
    options = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    with using("direct"):
        y, cache = F.max_pool2d_forward(x, kernel, **options)
        dy = stored_anyhow(rng, y.shape, (how + 1) % 5)
        dx = F.max_pool2d_backward(dy, cache)
    with using("reference"):
        y_ref, cache_ref = F.max_pool2d_forward(x, kernel, **options)
        dx_ref = F.max_pool2d_backward(dy, cache_ref)
    assert type(cache).__name__ == "MaxPool2dKernelCache"
    np.testing.assert_array_equal(y, y_ref)
    np.testing.assert_array_equal(cache.argmax, cache_ref.argmax)
    np.testing.assert_allclose(dx, dx_ref, rtol=1e-6, atol=1e-6)


@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 5), st.integers(3, 9), st.integers(3, 9)),
    kernel=int_or_pair(1, 3),
    stride=st.one_of(st.none(), int_or_pair(1, 3)),
    ceil_mode=st.booleans(),
    pad=st.booleans(),
    include=st.booleans(),
    override=st.one_of(st.none(), st.integers(1, 5)),
    seed=seeds,
    how=st.integers(0, 4),
)
def test_average_pooling(
    shape: Any,
    kernel: Any,
    stride: Any,
    ceil_mode: bool,
    pad: bool,
    include: bool,
    override: Any,
    seed: int,
    how: int,
) -> None:
    rng = np.random.default_rng(seed)
    x = stored_anyhow(rng, shape, how)
    padding = tuple(side // 2 for side in as_pair(kernel)) if pad else 0
    options = {
        "stride": stride,
        "padding": padding,
        "ceil_mode": ceil_mode,
        "count_include_pad": include,
        "divisor_override": override,
    }
    with using("direct"):
        y, cache = F.avg_pool2d_forward(x, kernel, **options)
        dy = stored_anyhow(rng, y.shape, (how + 1) % 5)
        dx = F.avg_pool2d_backward(dy, cache)
    y64, cache64 = F.avg_pool2d_forward(x.astype(np.float64), kernel, **options)
    assert type(cache).__name__ == "AvgPool2dKernelCache"
    np.testing.assert_allclose(y, y64, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        dx, F.avg_pool2d_backward(dy.astype(np.float64), cache64), rtol=1e-5, atol=1e-5
    )


@given(
    shape=st.tuples(*(st.integers(1, high) for high in (3, 40, 15, 15))),
    output_size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=seeds,
    how=st.integers(0, 4),
)
def test_adaptive_average_pooling(shape: Any, output_size: Any, seed: int, how: int) -> None:
    """Bins that tile the image, overlap, or repeat a pixel."""
    x = stored_anyhow(np.random.default_rng(seed), shape, how)
    with using("direct"):
        y, cache = F.adaptive_avg_pool2d_forward(x, output_size)
        dy = stored_anyhow(np.random.default_rng(seed + 1), y.shape, (how + 1) % 5)
        dx = F.adaptive_avg_pool2d_backward(dy, cache)
    y64, cache64 = F.adaptive_avg_pool2d_forward(x.astype(np.float64), output_size)
    assert type(cache).__name__ == "AvgPool2dKernelCache"
    np.testing.assert_allclose(y, y64, rtol=1e-5, atol=1e-5)
    expected = F.adaptive_avg_pool2d_backward(dy.astype(np.float64), cache64)
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-5)


@given(
    shape=st.one_of(
        st.tuples(st.integers(1, 40)),
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        st.tuples(*[st.integers(1, 7)] * 4),
    ),
    seed=seeds,
    how=st.integers(0, 4),
)
def test_relu_and_dropout_are_the_definitions_to_the_bit(shape: Any, seed: int, how: int) -> None:
    rng = np.random.default_rng(seed)
    x = stored_anyhow(rng, shape, how if len(shape) > 1 else 0)
    dy = stored_anyhow(rng, shape, 0)
    for forward, backward, options in (
        (F.relu_forward, F.relu_backward, {}),
        (
            F.dropout_forward,
            F.dropout_backward,
            {"p": (seed % 11) / 10, "seed": seed * 977, "offset": seed % 5},
        ),
    ):
        with using("direct"):
            y, cache = forward(x, **options)
            dx = backward(dy, cache)
        with using("reference"):
            y_ref, cache_ref = forward(x, **options)
            dx_ref = backward(dy, cache_ref)
        assert type(cache) is not type(cache_ref)
        np.testing.assert_array_equal(y, y_ref)
        np.testing.assert_array_equal(dx, dx_ref)


@given(
    batch=st.integers(1, 40),
    classes=st.integers(1, 30),
    mean=st.booleans(),
    seed=seeds,
    how=st.sampled_from([0, 2, 3]),
)
def test_cross_entropy(batch: int, classes: int, mean: bool, seed: int, how: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = 5 * stored_anyhow(rng, (batch, classes), how), rng.integers(0, classes, batch)
    options = {"reduction": "mean" if mean else "sum"}
    with using("direct"):
        loss, cache = F.cross_entropy_forward(logits, labels, **options)
        dlogits = F.cross_entropy_backward(np.float32(2.0) * np.ones_like(loss), cache)
    loss64, cache64 = F.cross_entropy_forward(logits.astype(np.float64), labels, **options)
    assert type(cache) is not type(cache64)
    assert loss.dtype == np.float32
    assert loss.shape == ()
    np.testing.assert_allclose(loss, loss64, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        dlogits, F.cross_entropy_backward(np.asarray(2.0), cache64), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("pair", [F.relu_forward, lambda x: F.max_pool2d_forward(x, 2)])
def test_nan_stays_nan(pair: Any) -> None:
    """Training that has diverged must be seen: no kernel may swallow a NaN."""
    x = np.ones((4, 3, 8, 8), dtype=np.float32)
    x[1, 2, 3, 4] = np.nan
    with using("direct"):
        y, cache = pair(x)
    assert "Kernel" in type(cache).__name__
    assert np.isnan(y).sum() == 1


def test_a_wrong_label_is_refused_in_the_same_words() -> None:
    logits, labels = np.zeros((64, 10), dtype=np.float32), np.full(64, 10)
    messages = []
    for algorithm in ("direct", "reference"):
        with using(algorithm), pytest.raises(ValueError, match="labels start at 0") as error:
            F.cross_entropy_forward(logits, labels)
        messages.append(str(error.value))
    assert messages[0] == messages[1]

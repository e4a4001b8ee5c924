"""The direct channels-last convolution against the definition in float64: within the bound of a float32 sum."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.kernels.cpu import conv_nhwc, conv_nhwc_gradient
from tests.kernels.nhwc import FEW, check_epilogues, check_sums, computed, make_case, threads
from tests.support.strategies import seeds

pairs = st.tuples


@given(
    images=st.integers(1, 3),
    inputs=st.sampled_from([1, 3, 7, 16]),
    outputs=st.sampled_from([5, 16, 33]),
    kernel=pairs(st.integers(1, 5), st.integers(1, 5)),
    stride=pairs(st.integers(1, 3), st.integers(1, 3)),
    padding=pairs(st.integers(0, 3), st.integers(0, 3)),
    dilation=pairs(st.integers(1, 3), st.integers(1, 3)),
    extra=pairs(st.integers(0, 6), st.integers(0, 6)),
    count=st.sampled_from(FEW),
    seed=seeds,
)
def test_all_three_passes(
    images: int, inputs: int, outputs: int, kernel: Any, stride: Any, padding: Any, dilation: Any, extra: Any,
    count: int, seed: int,
) -> None:  # fmt: skip
    """Any kernel, stride, padding and dilation, channels that do not fill vectors, NaN in the scratch before."""
    height, breadth = (
        max(1, d * (k - 1) + 1 - 2 * p) + e for d, k, p, e in zip(dilation, kernel, padding, extra)
    )
    case = make_case(
        seed,
        (images, height, breadth, inputs),
        outputs,
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    with threads(count):
        check_sums(computed(conv_nhwc, case), case)


@pytest.mark.parametrize(
    ("x_shape", "outputs", "kernel", "options"),
    [
        ((2, 35, 33, 3), 64, (7, 7), {"stride": (2, 2), "padding": (3, 3)}),
        ((1, 47, 47, 3), 64, (11, 11), {"stride": (4, 4), "padding": (2, 2)}),
        ((2, 7, 7, 64), 128, (3, 3), {"padding": (1, 1)}),
        ((2, 14, 14, 64), 128, (3, 3), {"stride": (2, 2), "padding": (1, 1)}),
    ],
)
def test_the_layers_it_is_for(x_shape: Any, outputs: int, kernel: Any, options: Any) -> None:
    case = make_case(1, x_shape, outputs, kernel, **options)
    check_sums(computed(conv_nhwc, case), case)


def test_bands_chunks_and_large_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small limits, so that a small case takes every path: parts of images, split panels, shared weights."""
    monkeypatch.setattr(conv_nhwc, "OWN_BYTES", 4e3)
    monkeypatch.setattr(conv_nhwc, "LARGE_BYTES", 2e4)
    monkeypatch.setattr(conv_nhwc, "CHUNK_BYTES", 1 << 10)
    monkeypatch.setattr(conv_nhwc_gradient, "BAND_BYTES", 4e3)
    for panels, own in ((1e9, 1e9), (0, 0)):
        monkeypatch.setattr(conv_nhwc, "PANELS_BYTES", panels)
        monkeypatch.setattr(conv_nhwc_gradient, "OWN_BYTES", own)
        for outputs in (16, 70):
            case = make_case(2, (3, 11, 10, 20), outputs, (3, 3), padding=(1, 1), dilation=(1, 2))
            check_sums(computed(conv_nhwc, case), case)


def test_relu_and_accumulate() -> None:
    check_epilogues(conv_nhwc, make_case(3, (2, 9, 9, 16), 20, (3, 3), stride=(2, 2), padding=(1, 1)))

"""Winograd's convolution against the definition in float64: within 2e-5 of the largest value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from minicnn.kernels.cpu import winograd
from minicnn.kernels.cpu.winograd_matrices import OUTPUTS, POINTS, TAPS, cook_toom
from tests.kernels.nhwc import FEW, check_epilogues, computed, exact, make_case, threads
from tests.support.strategies import seeds

BOUND = 2e-5  # 1e-4 is promised
# Whole vectors of 16, tails, and less than a vector; few, since each tile shape is one to compile.
CHANNELS = st.sampled_from([3, 16, 20, 32, 64])


@pytest.mark.parametrize(
    ("points", "m", "r"), [((0, 1, -1), 2, 3), (POINTS, OUTPUTS, TAPS), ((0, 1, -1, 2), 3, 3)]
)
def test_matrices_compute_a_convolution(points: tuple[float, ...], m: int, r: int) -> None:
    """y = Aᵀ [(G g) * (Bᵀ d)] is yᵢ = Σⱼ gⱼ dᵢ₊ⱼ."""
    at, g, bt = cook_toom(points, m, r)
    rng = np.random.default_rng(0)
    taps, data = rng.standard_normal(r), rng.standard_normal(m + r - 1)
    np.testing.assert_allclose(at @ ((g @ taps) * (bt @ data)), np.correlate(data, taps, "valid"), atol=1e-12)


@given(
    images=st.integers(1, 3),
    height=st.integers(1, 14),
    breadth=st.integers(1, 14),
    inputs=CHANNELS,
    outputs=CHANNELS,
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    count=st.sampled_from(FEW),
    seed=seeds,
)
def test_all_three_passes(
    images: int,
    height: int,
    breadth: int,
    inputs: int,
    outputs: int,
    padding: tuple[int, int],
    count: int,
    seed: int,
) -> None:
    """Any batch and size, with tiles that hang over on any side, any channels, NaN in the scratch before."""
    height, breadth = max(height, 3 - 2 * padding[0]), max(breadth, 3 - 2 * padding[1])
    case = make_case(seed, (images, height, breadth, inputs), outputs, (3, 3), padding=padding)
    with threads(count):
        results = computed(winograd, case)
    for result, right in zip(results, exact(case)):
        assert np.abs(result - right).max() <= BOUND * np.abs(right).max()


@pytest.mark.parametrize("own_filters", [3e6, 0])
def test_chunks(own_filters: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks a thread, and several shared by all threads, of which the last is not full."""
    monkeypatch.setattr(winograd, "SHARED_BYTES", 3e5)
    monkeypatch.setattr(winograd, "OWN_BYTES", 2e6)
    monkeypatch.setattr(winograd, "OWN_FILTERS", own_filters)
    case = make_case(1, (8, 20, 20, 64), 64, (3, 3), padding=(1, 1))
    for result, right in zip(computed(winograd, case), exact(case)):
        assert np.abs(result - right).max() <= BOUND * np.abs(right).max()


@pytest.mark.parametrize("shape", [(2, 9, 13, 256, 128), (1, 7, 7, 200, 140), (1, 4, 4, 10, 40)])
@pytest.mark.parametrize("count", FEW)
def test_few_tiles_and_many_filters(shape: tuple[int, ...], count: int) -> None:
    """A block of outputs at a time, each thread with a share of the channels, or with none."""
    *x_shape, outputs = shape
    case = make_case(1, tuple(x_shape), outputs, (3, 3), padding=(1, 1))
    with threads(count):
        results = computed(winograd, case)
    for result, right in zip(results, exact(case)):
        assert np.abs(result - right).max() <= BOUND * np.abs(right).max()


@pytest.mark.parametrize("channels", [64, 256])
def test_rounding_errors_stay_near_those_of_a_plain_sum(channels: int) -> None:
    """At most three times NumPy's in float32, in the mean square: a network's gradients are no worse."""
    case = make_case(5, (4, 14, 14, channels), 32, (3, 3), padding=(1, 1))
    patches = sliding_window_view(np.pad(case.x, ((0, 0), (1, 1), (1, 1), (0, 0))), (3, 3), axis=(1, 2))
    plain = patches.reshape(-1, channels * 9) @ case.weight.reshape(32, -1).T + case.bias
    right = exact(case)[0]
    error = np.square(computed(winograd, case)[0] - right).mean()
    assert error <= 3**2 * np.square(plain.reshape(right.shape) - right).mean()


@pytest.mark.parametrize("shape", [(2, 8, 8, 64, 64), (1, 7, 9, 20, 3)])
def test_relu_and_accumulate(shape: tuple[int, ...]) -> None:
    *x_shape, outputs = shape
    check_epilogues(winograd, make_case(2, tuple(x_shape), outputs, (3, 3), padding=(1, 1)))


def test_nan_is_not_swallowed_by_relu() -> None:
    case = make_case(3, (1, 8, 8, 16), 16, (3, 3), padding=(1, 1))
    case.x[0, 0, 0, 0] = np.nan
    y = np.empty_like(case.dy)
    winograd.forward(case.x, case.weight, case.bias, y, padding=(1, 1), relu=True)
    assert np.isnan(y[0, 0, 0]).all()


def test_what_does_not_fit_is_refused() -> None:
    case = make_case(4, (1, 8, 8, 16), 16, (3, 3), padding=(1, 1))
    with pytest.raises(ValueError, match="do not fit"):
        winograd.forward(case.x, case.weight[:, :8], None, case.dy)
    with pytest.raises(ValueError, match="C-contiguous float32"):
        winograd.forward(case.x.astype(np.float64), case.weight, None, case.dy)
    with pytest.raises(ValueError, match="3x3"):
        winograd.forward(case.x, case.weight[:, :, :2], None, case.dy)

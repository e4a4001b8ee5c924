"""Faults planted in the kernels, one at a time: each must be caught by the checks that the right kernels pass.

What cannot be planted here: races between blocks, and whatever shows only in a GPU's timing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pytest

from minicnn import functional as F
from minicnn.kernels.cuda import sources
from minicnn.kernels.cuda_calls import batch_norm2d, implicit_conv2d, launch, sums
from minicnn.kernels.emulator import EmulatorError
from tests.kernels.cuda import agreement
from tests.kernels.cuda.runner import BY, in_every_order
from tests.support.strategies import ConvConfig, PoolConfig

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BY != "emulator", reason="a planted fault could crash a GPU: the emulator catches it"),
]

UNEVEN = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}


def convolve(algorithm: str = "implicit", shape: Any = (2, 6, 9, 8), options: Any = None) -> None:
    options = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1} if options is None else options
    weight = (18, shape[1] // options["groups"], 3, 3)
    agreement.conv2d(ConvConfig(shape, weight, True, options, seed=7), algorithm)


def pool(kind: str) -> None:
    options = {"stride": (2, 1), "padding": 1} | (
        {"dilation": (1, 2)} if kind == "max" else {"count_include_pad": False}
    )
    agreement.pool(kind, PoolConfig((2, 2, 7, 8), 3, options, seed=4))


def normalise(given: bool = False, shortcut: bool = True) -> None:
    agreement.batch_norm2d((4, 3, 11, 13), True, given, True, shortcut, seed=5)


def total_of_channels() -> None:
    dy = np.random.default_rng(0).standard_normal((3, 4, 17, 19)).astype(np.float32)
    (result,) = in_every_order(lambda: (sums.channel_sums(dy),))
    np.testing.assert_allclose(result, dy.sum(axis=(0, 2, 3)), rtol=1e-4, atol=1e-4)


def activate(name: str) -> None:
    x = np.linspace(-4, 4, 777).astype(np.float32)
    agreement.pair(name, x, x[::-1].copy(), 3e-6)


def classify() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((37, 45)).astype(np.float32), rng.integers(0, 45, 37)

    def compute() -> tuple[Any, ...]:
        loss, cache = F.cross_entropy_forward(logits, labels)
        return loss, F.cross_entropy_backward(np.ones_like(loss), cache)

    results = in_every_order(compute)
    for result, expected in zip(results, compute()):  # outside of on_gpu: the CPU
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6)


def multiply() -> None:
    from tests.kernels.cuda.test_agreement import TestLinear

    TestLinear().agrees("tiled", (5, 150, 7), True, False, seed=1)


def drop() -> None:
    x = np.ones(1001, np.float32)
    (kept,) = in_every_order(lambda: (F.dropout_forward(x, 0.5, seed=2**40 + 3, offset=2**33 + 1)[0],))
    np.testing.assert_array_equal(kept, F.dropout_forward(x, 0.5, seed=2**40 + 3, offset=2**33 + 1)[0])


def train(rule: str) -> None:
    from tests.kernels.cuda.test_updates import check_rule

    check_rule(rule)


class Fault(NamedTuple):
    name: str
    file: str
    right: str
    wrong: str
    check: Callable[[], None]


BARRIER = "    __syncthreads();\n    current = 1 - current;"
FAULTS = [
    # barriers
    Fault("the barrier of every step", "conv_implicit_gemm.cu", BARRIER, BARRIER[21:], convolve),
    Fault(
        "the barrier after the first step is laid down", "conv_implicit_gemm.cu",
        "lay_down<B_ALONG_K, BN>(next_b, bs[0]);\n  __syncthreads();", "lay_down<B_ALONG_K, BN>(next_b, bs[0]);", convolve,
    ),
    Fault(
        "one buffer in place of two", "conv_implicit_gemm.cu", "lay_down<A_ALONG_K, BM>(next_a, as[1 - current])",
        "lay_down<A_ALONG_K, BM>(next_a, as[current])", convolve,
    ),
    Fault("a thread leaves before the barrier", "conv_implicit_gemm.cu", "  const Geometry of = GEOMETRY;\n",
          "  const Geometry of = GEOMETRY;\n  if (threadIdx.x >= N * P * Q) return;\n",
          lambda: convolve(shape=(1, 2, 4, 4))),
    Fault("the first barrier of a block's sum", "sums.cu", "  if (lane == 0) sums[warp] = value;\n  __syncthreads();",
          "  if (lane == 0) sums[warp] = value;", total_of_channels),
    Fault("the second barrier of a block's sum", "batch_norm.cu",
          "sums[lane] : T(0));\n  __syncthreads();", "sums[lane] : T(0));", normalise),
    Fault("the barrier before moments are merged", "batch_norm.cu", "m2s[warp] = moments.m2;\n  __syncthreads();",
          "m2s[warp] = moments.m2;", normalise),
    # bounds
    Fault("a loop goes one too far", "common.cuh", "i < (n); ", "i <= (n); ", lambda: activate("tanh")),
    Fault("a column too many", "im2col.cu", "w < W", "w <= W", lambda: convolve("im2col")),
    Fault("a window too many", "col2im.cu", "q >= Q) continue", "q > Q) continue", lambda: convolve("im2col")),
    Fault("a row too many in x", "conv_implicit_gemm.cu", "h < of.H", "h <= of.H", convolve),
    Fault("output channels past the last", "conv_implicit_gemm.cu", "if (o >= O || pixel >= pixels) return;",
          "if (pixel >= pixels) return;", convolve),
    Fault("pixels past the last", "conv_implicit_gemm.cu", "if (c >= C || pixel >= pixels) return;",
          "if (c >= C) return;", convolve),
    Fault("a window past the border", "max_pool.cu", "if (w < 0 || w >= W) continue;", "if (w < 0) continue;",
          lambda: pool("max")),
    Fault("a pixel too few in a window", "avg_pool.cu", "min(left + S, W)", "min(left + S, W - 1)", lambda: pool("avg")),
    Fault("labels equal to the number of classes", "cross_entropy.cu", "k < K; k += 32) sum", "k <= K; k += 32) sum", classify),
    # strides, tails, shares
    Fault("the stride of the other axis", "im2col.cu", "(int)q * stride_w", "(int)q * stride_h",
          lambda: convolve("im2col", options=UNEVEN)),
    Fault("the dilation left out", "conv_implicit_gemm.cu", "(int)s * of.dilation_w", "(int)s",
          lambda: convolve(options=UNEVEN)),
    Fault("the padding of the other axis", "conv_implicit_gemm.cu", "column + padding_w", "column + padding_h",
          lambda: convolve(options=UNEVEN)),
    Fault("the group left out", "conv_implicit_gemm.cu", "REAL* w = weight + (INDEX)group * O * taps", "REAL* w = weight",
          lambda: convolve(options=UNEVEN)),
    Fault("the tail of a sum", "conv_implicit_gemm.cu", "k0 + k < k_end ? load(k0 + k, side0 + side) : REAL(0)",
          "load(k0 + k, side0 + side)", convolve),
    Fault("the last step left out", "conv_implicit_gemm.cu", "k0 < k_end; k0 += BK", "k0 + BK <= k_end; k0 += BK", convolve),
    Fault("a part's end", "conv_implicit_gemm.cu", "min(begin + pixels_per_part, pixels)", "pixels", convolve),
    Fault("the end of a product's part", "linear.cu", "min(begin + k_per_part, (INDEX)K)", "(INDEX)K", multiply),
    Fault("a weight not transposed", "linear.cu", "b[col * K + k]", "b[k * N + col]", multiply),
    Fault("a part forgotten", "sums.cu", "part < count", "part < count - 1", total_of_channels),
    Fault("the mask's tail", "dropout.cu", "(size + 3) / 4", "size / 4", drop),
    Fault("a stride of three rows", "max_pool.cu", "(int)p * stride_h", "(int)p * stride_w", lambda: pool("max")),
    Fault("the divisor of the wrong output", "avg_pool.cu", "share[p * Q + q];\n    dx", "share[q];\n    dx", lambda: pool("avg")),
    # mathematics
    Fault("E[x^2] - E[x]^2 by halves", "batch_norm.cu", "count * other.count / total", "count * other.count", normalise),
    Fault("the variance as a constant", "batch_norm.cu", "if (!constants) gradient -=", "if (constants) gradient -=", normalise),
    Fault("the last of equal values", "max_pool.cu", "value > best", "value >= best",
          lambda: agreement.pool("max", PoolConfig((2, 2, 7, 8), 3, {"stride": 1}, seed=5))),
    Fault("the maximum not subtracted in the loss", "cross_entropy.cu", "log(sum) + highest - row", "log(sum) - row", classify),
    Fault("a round too few", "dropout.cu", "round < 10", "round < 9", drop),
    Fault("the high word of the offset", "dropout.cu", "c3 = (unsigned)(offset >> 32)", "c3 = 0", drop),
    Fault("a derivative of the wrong sign", "activation.cu", "return 1 - y * y", "return 1 + y * y", lambda: activate("tanh")),
    Fault("momentum twice", "updates.cu", "keep * velocity[i]) + rate", "keep * keep * velocity[i]) + rate",
          lambda: train("nesterov")),
    Fault("the root outside of the sum", "updates.cu", "sqrt(v[i]) / root + eps", "(sqrt(v[i]) + eps) / root",
          lambda: train("adam")),
    # tensor cores
    Fault("a fragment's lanes", "conv_implicit_gemm.cu", "g() + e % 2 * 8]", "g() + e / 2 * 8]", lambda: convolve("tf32")),
    Fault("a fragment's columns", "conv_implicit_gemm.cu", "2 * t() + e % 2,", "t() + e % 2 * 4,",
          lambda: convolve("tf32")),
    Fault("truncated in place of rounded", "conv_implicit_gemm.cu", "buffer[k][side] = to_shared(values[j]);",
          "buffer[k][side] = __float_as_uint(values[j]) & 0xffffc000u;", lambda: convolve("tf32")),
]  # fmt: skip


@pytest.fixture
def planted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Fault:
    fault: Fault = request.param

    def read(file: str) -> str:
        text = sources.read_source(file)
        return text.replace(fault.right, fault.wrong)

    file = "activation.cu" if fault.file == "common.cuh" else fault.file
    assert fault.right in sources.read_source(file), "the fault no longer fits the source"
    monkeypatch.setattr(launch, "read_source", read)
    monkeypatch.setattr(launch, "load", lru_cache(launch.load.__wrapped__))
    # Sums in several parts, as large networks have them.
    monkeypatch.setattr(implicit_conv2d, "SHORTEST_SUM", 50)
    monkeypatch.setattr(sums, "parts_for", lambda *_: 3)
    monkeypatch.setattr(batch_norm2d, "parts_for", lambda *_: 3)
    return fault


@pytest.mark.parametrize("planted", FAULTS, indirect=True, ids=lambda fault: fault.name)
def test_it_is_caught(planted: Fault) -> None:
    # A RuntimeWarning is NumPy's, where a NaN from an array's border arrives in a product.
    with pytest.raises((AssertionError, EmulatorError, RuntimeWarning)):
        planted.check()


@pytest.mark.parametrize("check", {fault.check for fault in FAULTS}, ids=lambda check: check.__name__)
def test_the_right_kernels_pass(check: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implicit_conv2d, "SHORTEST_SUM", 50)
    monkeypatch.setattr(sums, "parts_for", lambda *_: 3)
    monkeypatch.setattr(batch_norm2d, "parts_for", lambda *_: 3)
    check()

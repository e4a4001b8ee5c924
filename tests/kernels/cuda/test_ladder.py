"""Every rung of the ladder computes the same as the definition; the model rises from rung to rung."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import functional as F
from minicnn.kernels.cuda.ladder import steps
from tests.kernels.cuda.runner import in_every_order

each_matmul = pytest.mark.parametrize("step", steps.MATMUL, ids=lambda step: step.kernel)
each_conv = pytest.mark.parametrize("step", steps.CONV, ids=lambda step: step.kernel)


@each_matmul
@pytest.mark.parametrize("sizes", [(17, 19, 21), pytest.param((70, 67, 33), marks=pytest.mark.slow)])
def test_matmul(step: steps.Step, sizes: tuple[int, int, int]) -> None:
    rows, cols, depth = sizes
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((rows, depth), np.float32), rng.standard_normal((depth, cols), np.float32)

    def compute() -> tuple[np.ndarray]:
        c = np.full((rows, cols), np.nan, np.float32)
        steps.matmul(step, a, b, c)
        return (c,)

    (c,) = in_every_order(compute)
    np.testing.assert_allclose(c, a.astype(np.float64) @ b, rtol=1e-5, atol=1e-5)


@each_conv
@pytest.mark.parametrize(
    ("shape", "weight_shape", "padding"),
    [((2, 3, 7, 9), (5, 3, 3, 2), 1), pytest.param((1, 4, 19, 18), (18, 4, 5, 5), 2, marks=pytest.mark.slow)],
)
def test_conv(step: steps.Step, shape: tuple[int, ...], weight_shape: tuple[int, ...], padding: int) -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal(shape, np.float32), rng.standard_normal(weight_shape, np.float32)
    expected, _ = F.conv2d_forward(x.astype(np.float64), weight.astype(np.float64), padding=padding)

    def compute() -> tuple[np.ndarray]:
        y = np.full(expected.shape, np.nan, np.float32)
        steps.conv(step, x, weight, y, padding)
        return (y,)

    (y,) = in_every_order(compute)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_the_model_rises_to_the_peak() -> None:
    shares = [step.share_of_peak() for step in steps.MATMUL]
    assert shares == sorted(shares)
    assert shares[0] < 0.01 < 0.5 < shares[-1] <= 1


def test_the_table_names_every_rung() -> None:
    text = steps.table()
    assert all(step.kernel in text for step in (*steps.MATMUL, *steps.CONV))

"""What the tests of the channels-last convolutions share: arrays, the exact results, poisoned scratch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from minicnn.functional import conv2d_backward, conv2d_forward
from minicnn.kernels.cpu.threads import get_num_threads, num_threads_available, set_num_threads
from minicnn.kernels.memory import pool
from tests.kernels.bounds import assert_close_sum

Pair = tuple[int, int]
FEW = (1, min(2, num_threads_available()))  # thread counts to test with


class Case(NamedTuple):
    """Arrays of one convolution, channels last; the weight is OIHW."""

    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    dy: np.ndarray
    options: dict[str, Pair]


def make_case(seed: int, x_shape: tuple[int, ...], outputs: int, kernel: Pair, **options: Pair) -> Case:
    rng = np.random.default_rng(seed)
    images, height, breadth, channels = x_shape
    stride, padding, dilation = (
        options.get(name, default)
        for name, default in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1)))
    )
    size = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip((height, breadth), padding, dilation, kernel, stride)
    ]
    shapes: tuple[Any, ...] = (x_shape, (outputs, channels, *kernel), outputs, (images, *size, outputs))
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    return Case(*arrays, options)


class Results(NamedTuple):
    y: np.ndarray
    dx: np.ndarray
    dweight: np.ndarray


def exact(case: Case, absolute: bool = False) -> Results:
    """The definition in float64; absolute: of all magnitudes, which bounds the error of float32 sums."""
    x, weight, bias, dy = (np.abs(a) if absolute else a for a in case[:4])
    nchw = x.astype(np.float64).transpose(0, 3, 1, 2)
    y, cache = conv2d_forward(nchw, weight.astype(np.float64), bias.astype(np.float64), **case.options)
    dx, dweight, _ = conv2d_backward(dy.astype(np.float64).transpose(0, 3, 1, 2), cache, (True, True, False))
    return Results(y.transpose(0, 2, 3, 1), dx.transpose(0, 2, 3, 1), dweight)


def computed(passes: Any, case: Case) -> Results:
    """What the kernels give, into arrays of NaN and with scratch full of NaN: whatever is read was written."""
    x, weight, bias, dy, options = case
    y, dx, dweight = np.full_like(dy, np.nan), np.full_like(x, np.nan), np.full_like(weight, np.nan)
    poison()
    passes.forward(x, weight, bias, y, **options)
    poison()
    passes.grad_input(dy, weight, dx, **options)
    poison()
    passes.grad_weight(x, dy, dweight, **options)
    return Results(y, dx, dweight)


def poison() -> None:
    """NaN in every free block of the pool."""
    for block in pool().free_blocks():
        block.view(np.float32 if block.nbytes % 4 == 0 else np.uint8)[...] = (
            np.nan if block.nbytes % 4 == 0 else 255
        )


def check_sums(results: Results, case: Case, also_products: int = 4) -> None:
    """Each result within the bound of a float32 sum of its length."""
    _, _, rows, cols = case.weight.shape
    pixels = int(np.prod(case.dy.shape[:3]))
    lengths = (
        case.x.shape[3] * rows * cols + 1,
        case.dy.shape[3] * rows * cols,
        pixels,
    )
    for result, right, magnitude, length in zip(results, exact(case), exact(case, absolute=True), lengths):
        assert_close_sum(result, right, magnitude, length + also_products)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = get_num_threads()
    set_num_threads(count)
    try:
        yield
    finally:
        set_num_threads(before)


def check_epilogues(passes: Any, case: Case) -> None:
    """relu= is max(y, 0); accumulate= adds to what is there; both bit for bit what the plain pass gives."""
    x, weight, bias, dy, options = case
    plain, rectified, dx = np.empty_like(dy), np.full_like(dy, np.nan), np.empty_like(x)
    passes.forward(x, weight, bias, plain, **options)
    passes.forward(x, weight, bias, rectified, relu=True, **options)
    np.testing.assert_array_equal(rectified, np.maximum(plain, 0))
    passes.grad_input(dy, weight, dx, **options)
    onto = x.copy()
    passes.grad_input(dy, weight, onto, accumulate=True, **options)
    np.testing.assert_allclose(onto, dx + x, rtol=1e-6, atol=1e-6 * np.abs(dx).max())

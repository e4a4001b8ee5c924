"""Every Numba CUDA kernel against the definition, run by test_simulator.py in a process of its own.

    NUMBA_ENABLE_CUDASIM=1 python -m tests.kernels.numba_cuda.checks       # in Numba's simulator
    python -m tests.kernels.numba_cuda.checks                              # on a GPU

Prints a line for each kernel; the exit status is that of an uncaught assertion.
"""

from __future__ import annotations

import numpy as np

from minicnn import functional as F
from minicnn.functional.windows import col2im as define_col2im
from minicnn.functional.windows import im2col as define_im2col
from minicnn.functional.windows import make_window
from minicnn.kernels.numba_cuda import conv2d, im2col, matmul, pooling, softmax

# (N, C, H, W), (R, S), stride, padding: odd sides, one image, windows that overlap, touch and leave gaps.
WINDOWS = [
    ((2, 2, 5, 6), (3, 3), 1, 1),
    ((1, 3, 7, 5), (2, 3), 2, 1),
    ((3, 1, 4, 4), (1, 2), 3, 0),
]
GRIDS = [(2, 32), (1, 7)]  # fewer threads than elements, and no whole number of warps


def images(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check_im2col_and_col2im() -> None:
    for (shape, kernel, stride, padding), grid in zip(WINDOWS, [*GRIDS, GRIDS[0]]):
        window = make_window("check", shape[2:], kernel, stride, padding, 1)
        x = images(shape)
        expected = define_im2col(x, window)
        columns = np.full((np.prod(expected.shape[:3]), np.prod(expected.shape[3:])), np.nan, np.float32)
        im2col.im2col[grid](x, columns, kernel, stride, padding)
        np.testing.assert_array_equal(columns, expected.reshape(columns.shape))
        dcolumns, dx = images(columns.shape, 1), np.full(shape, np.nan, np.float32)
        im2col.col2im[grid](dcolumns, dx, kernel, stride, padding)
        np.testing.assert_allclose(dx, define_col2im(dcolumns.reshape(expected.shape), window), atol=1e-5)


def check_conv2d() -> None:
    for (shape, kernel, stride, padding), grid in zip(WINDOWS, [*GRIDS, GRIDS[0]]):
        x, weight, bias = images(shape), images((3, shape[1], *kernel), 1), images((3,), 2)
        wide = [array.astype(np.float64) for array in (x, weight, bias)]
        expected, _ = F.conv2d_forward(*wide, stride=stride, padding=padding)
        y = np.full(expected.shape, np.nan, np.float32)
        conv2d.conv2d[grid](x, weight, bias, y, stride, padding)
        np.testing.assert_allclose(y, expected, atol=1e-5)


def check_matmul() -> None:
    for rows, depth, cols in ((8, 8, 8), (9, 13, 10), (1, 3, 17)):
        a, b = images((rows, depth)), images((depth, cols), 1)
        c = np.full((rows, cols), np.nan, np.float32)
        tile = matmul.TILE
        matmul.matmul[(-(-cols // tile), -(-rows // tile)), (tile, tile)](a, b, c)
        np.testing.assert_allclose(c, a.astype(np.float64) @ b, atol=1e-5)


def check_pooling() -> None:
    for shape, kernel, stride in (((2, 2, 6, 5), (2, 2), 2), ((1, 3, 5, 7), (3, 2), 1)):
        x = np.round(images(shape))  # equal values, of which the first must win
        expected, cache = F.max_pool2d_forward(x.astype(np.float64), kernel, stride=stride)
        y, won = np.full(expected.shape, np.nan, np.float32), np.full(expected.shape, -1, np.int32)
        pooling.max_pool[2, 32](x, y, won, kernel, stride)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(won, cache.argmax)
        dy, dx = images(y.shape, 1), np.full(shape, np.nan, np.float32)
        pooling.max_pool_backward[2, 32](dy, won, dx, kernel, stride)
        np.testing.assert_allclose(dx, F.max_pool2d_backward(dy.astype(np.float64), cache), atol=1e-5)


def check_softmax_and_relu() -> None:
    for shape in ((3, 10), (2, 45), (1, 1)):
        x, y = 5 * images(shape), np.full(shape, np.nan, np.float32)
        softmax.softmax[2, softmax.THREADS](x, y)
        np.testing.assert_allclose(y, F.softmax_forward(x.astype(np.float64))[0], rtol=1e-5, atol=1e-7)
        softmax.relu[1, 32](x.ravel(), y.ravel())
        np.testing.assert_array_equal(y, np.maximum(x, 0))


if __name__ == "__main__":
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            check()
            print(f"{name.removeprefix('check_').replace('_', ' ')}: agrees", flush=True)

"""1x1 convolution: at every pixel one matrix product over the channels. Channels last.

    y[p, o] = Σ_c x[p, c] w[o, c]         p: all pixels of all images in one long row

so that it is the blocked product of product.py as it stands. With a stride, only every stride-th
pixel of every stride-th row is looked at: those are gathered first (a copy of a quarter of x at
stride 2, cheap beside the product), and the input gradient is scattered, with zeros between.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicnn.kernels.cpu.bands import check_arrays
from minicnn.kernels.cpu.compiler import helper, kernel
from minicnn.kernels.cpu.product import product
from minicnn.kernels.cpu.product_gradient import product_gradient
from minicnn.kernels.cpu.scratch import carve
from minicnn.kernels.cpu.threads import fork

Floats = NDArray[np.float32]
Pair = tuple[int, int]


@helper
def gather_part(x, out, down, across, part, parts):
    """out[n, i, j] = x[n, i*down, j*across]."""
    images, height, breadth, channels = out.shape
    for line in range(images * height * part // parts, images * height * (part + 1) // parts):
        n, i = line // height, line % height
        for j in range(breadth):
            source, target = x[n, i * down, j * across], out[n, i, j]
            for c in range(channels):
                target[c] = source[c]


@helper
def scatter_part(values, x, down, across, accumulate, part, parts):
    """x[n, i*down, j*across] = values[n, i, j] and zero elsewhere, or += where there is a value."""
    images, height, breadth, channels = x.shape
    for line in range(images * height * part // parts, images * height * (part + 1) // parts):
        n, h = line // height, line % height
        for b in range(breadth):
            target = x[n, h, b]
            i, j = h // down, b // across
            met = h % down == 0 and b % across == 0 and i < values.shape[1] and j < values.shape[2]
            if met:
                source = values[n, i, j]
                if accumulate:
                    for c in range(channels):
                        target[c] += source[c]
                else:
                    for c in range(channels):
                        target[c] = source[c]
            elif not accumulate:
                for c in range(channels):
                    target[c] = np.float32(0)


@kernel
def gather(x, out, down, across):
    fork(gather_part, (x, out, down, across))


@kernel
def scatter(values, x, down, across, accumulate):
    fork(scatter_part, (values, x, down, across, accumulate))


def seen(x: Floats, y: Floats, stride: Pair) -> Floats:
    """The pixels of x that the convolution looks at, one row each."""
    if stride == (1, 1):
        return x.reshape(-1, x.shape[3])
    (pixels,) = carve((*y.shape[:3], x.shape[3]))
    gather(x, pixels, *stride)
    return pixels.reshape(-1, x.shape[3])


def forward(
    x: Floats, w: Floats, bias: Floats | None, y: Floats, *, stride: Pair = (1, 1), relu: bool = False
) -> None:
    """y = w * x + bias, then ReLU if asked. x (N, H, W, C), w (O, C, 1, 1), y (N, P, Q, O)."""
    check(x, w, y, stride)
    product(seen(x, y, stride), w[:, :, 0, 0], bias, y.reshape(-1, y.shape[3]), turn=True, relu=relu)


def grad_input(dy: Floats, w: Floats, dx: Floats, *, stride: Pair = (1, 1), accumulate: bool = False) -> None:
    """dx = the input gradient, or dx += it."""
    check(dx, w, dy, stride)
    rows = dy.reshape(-1, dy.shape[3])
    if stride == (1, 1):
        product(rows, w[:, :, 0, 0], None, dx.reshape(-1, dx.shape[3]), accumulate=accumulate)
    else:
        (values,) = carve((*dy.shape[:3], dx.shape[3]))
        product(rows, w[:, :, 0, 0], None, values.reshape(-1, dx.shape[3]))
        scatter(values, dx, *stride, accumulate)


def grad_weight(x: Floats, dy: Floats, dw: Floats, *, stride: Pair = (1, 1)) -> None:
    """dw = the weight gradient (O, C, 1, 1)."""
    check(x, dw, dy, stride)
    product_gradient(dy.reshape(-1, dy.shape[3]), seen(x, dy, stride), dw[:, :, 0, 0])


def check(x: Floats, w: Floats, y: Floats, stride: Pair) -> None:
    expected = ((x.shape[1] - 1) // stride[0] + 1, (x.shape[2] - 1) // stride[1] + 1)
    if w.shape[2:] != (1, 1) or y.shape[1:3] != expected:
        raise ValueError(f"pointwise: x {x.shape}, w {w.shape}, stride {stride} and y {y.shape} do not fit")
    check_arrays("pointwise", x, w, y)

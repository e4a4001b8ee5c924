"""Bands: the part of a batch that a thread works on at a time, with its border, in the thread's own cache.

A band is a few output rows of one image, or a few whole images if they are small. Its input rows, with
the zeros around them, are copied into a buffer [image][row][column][channel] in which every window lies inside.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn.kernels.cpu.compiler import helper

Floats = NDArray[np.float32]
Pair = tuple[int, int]
FLOAT32 = np.dtype(np.float32)


class Geometry(NamedTuple):
    """Which pixels a convolution reads and writes. Pairs are (height, width)."""

    kernel: Pair
    stride: Pair
    dilation: Pair
    before: Pair  # padding
    count: Pair  # output pixels: p, q < count,
    step: Pair  # written `step` apart
    offset: Pair  # from `offset` on


class Bands(NamedTuple):
    """Band b: images b // per_image * images + (0 .. images - 1), output rows b % per_image * height + ..."""

    count: int
    per_image: int
    images: int  # in a band
    height: int  # output rows in a band
    batch: int
    output_height: int
    before: Pair  # the border above and to the left
    copied: bool  # False: every window lies inside the image, which is then read where it is


@lru_cache(maxsize=1024)
def make_bands(
    x_shape: tuple[int, ...], g: Geometry, target: float, fewest: int
) -> tuple[Bands, tuple[int, int, int, int]]:
    """Bands of about `target` bytes, at least `fewest` if possible, and the shape of a band's buffer."""
    batch, height, breadth, channels = x_shape

    def rows_for(outputs: int) -> int:
        return (outputs - 1) * g.stride[0] + (g.kernel[0] - 1) * g.dilation[0] + 1

    columns = (g.count[1] - 1) * g.stride[1] + (g.kernel[1] - 1) * g.dilation[1] + 1
    copied = g.before != (0, 0) or rows_for(g.count[0]) > height or columns > breadth
    row_bytes = 4 * columns * channels
    image_bytes = row_bytes * rows_for(g.count[0])
    images = int(max(1, min(batch, target // image_bytes, batch // fewest)))
    per_image = 1
    if images == 1:
        per_image = max(-(-image_bytes // int(target)), -(-fewest // batch))
        per_image = min(per_image, g.count[0])
    tall = -(-g.count[0] // per_image)
    per_image = -(-g.count[0] // tall)
    bands = -(-batch // images) * per_image
    shape = (images, rows_for(tall), columns, channels) if copied else (1, 1, 1, 1)
    return Bands(bands, per_image, images, tall, batch, g.count[0], g.before, copied), shape


@helper
def extent(bands, b):
    """First and last image and output row of band b."""
    n, p = b // bands.per_image * bands.images, b % bands.per_image * bands.height
    return n, min(bands.batch, n + bands.images), p, min(bands.output_height, p + bands.height)


@helper
def fill(x, copy, n0, n1, h0, w0):
    """copy[n - n0, i, j] = x[n, h0 + i, w0 + j], zero outside of the image."""
    _, height, breadth, channels = x.shape
    left = min(copy.shape[2], max(0, -w0))
    right = max(left, min(copy.shape[2], breadth - w0))
    for n in range(n0, n1):
        for i in range(copy.shape[1]):
            line = copy[n - n0, i].reshape(-1)
            inside = 0 <= h0 + i < height
            begin = left * channels if inside else 0
            end = right * channels if inside else 0
            for k in range(begin):
                line[k] = np.float32(0)
            if inside:
                source = x[n, h0 + i].reshape(-1)[(w0 + left) * channels :]
                target = line[begin:end]
                for k in range(end - begin):
                    target[k] = source[k]
            rest = line[end:]
            for k in range(rest.size):
                rest[k] = np.float32(0)


def check_arrays(who: str, x: Floats, w: Floats, y: Floats) -> None:
    """The kernels check nothing: wrong shapes would read and write outside of the arrays."""
    if x.shape[0] != y.shape[0] or w.shape[:2] != (y.shape[3], x.shape[3]) or not x.size * w.size * y.size:
        raise ValueError(f"{who}: x {x.shape}, w {w.shape} and y {y.shape} do not fit")
    for name, array in (("x", x), ("w", w), ("y", y)):
        if array.dtype != FLOAT32 or not array.flags.c_contiguous:
            raise ValueError(
                f"{who}: {name} must be C-contiguous float32, got {array.dtype}, {array.strides}"
            )

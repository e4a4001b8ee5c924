"""What all geometric transforms come down to: reading an image between its pixels, or at whole ones.

The NumPy texts below are the definitions; for NumPy arrays of uint8, float32 and float64 the kernels of
kernels/cpu/sampling.py do the same, serially and without the GIL.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from minicnn.errors import ConfigError, ShapeError
from minicnn.kernels.choice import is_reference

PADDING_MODES = ("constant", "nearest")


class Moves(NamedTuple):
    """The arguments of `crop`, one an image: from where, how large, flipped or not."""

    tops: np.ndarray
    lefts: np.ndarray
    size: tuple[int, int]
    flip_rows: np.ndarray | None = None
    flip_columns: np.ndarray | None = None


def affine(
    images: np.ndarray,
    maps: np.ndarray,
    *,
    size: tuple[int, int] | None = None,
    fill: float = 0.0,
    padding_mode: str = "constant",
    moves: Moves | None = None,
) -> np.ndarray:
    """Every image read along an affine map, bilinear between its four nearest pixels.

        y[n, c, i, j] = x[n, c] at (row, column) = maps[n] @ (i, j, 1)

    images (n, C, H, W) uint8 or floating; maps (n, 2, 3), from output pixels to input places, in pixels;
    size (P, Q) of the result, by default (H, W). Outside the image lies `fill` ("constant": a place between the
    border and the outside is blended with it) or the nearest pixel of the border ("nearest"): the same as
    scipy.ndimage.affine_transform with order=1 and mode="grid-constant" or "nearest".
    moves: the images are first cropped and flipped by these, which costs no pass of its own.
    The dtype stays; uint8 is rounded. Raises ShapeError and ConfigError for what does not fit.
    """
    if padding_mode not in PADDING_MODES:
        raise ConfigError(f"unknown padding_mode {padding_mode!r}: known: {', '.join(PADDING_MODES)}")
    if maps.shape != (len(images), 2, 3):
        raise ShapeError(f"affine expects one map (2, 3) an image, ({len(images)}, 2, 3), got {maps.shape}")
    maps = np.ascontiguousarray(maps, np.float64)
    inner = images.shape[2:] if moves is None else moves.size
    y = np.empty((*images.shape[:2], *(inner if size is None else size)), images.dtype)
    clamp = padding_mode == "nearest"
    if is_reference():
        images = images if moves is None else _moved(images, moves, fill)
        return _affine(images, maps, images.dtype.type(fill), clamp, y)
    from minicnn.kernels.cpu import sampling

    if moves is None:
        none = np.zeros(len(images), np.int64)
        moves = Moves(none, none, inner)
    padded = _moved(images, moves, fill, sampling.BORDER)
    rows = max(1, sampling.BAND // max(y.shape[3], 1))
    kernel = sampling.affine_bytes if y.dtype == np.uint8 else sampling.affine_floats
    kernel(padded, maps, _grid(rows, y.shape[3]), clamp, y)
    return y


def _moved(images: np.ndarray, moves: Moves, fill: float, border: int = 0) -> np.ndarray:
    tops, lefts, size, flip_rows, flip_columns = moves
    return crop(
        images, tops, lefts, size, flip_rows=flip_rows, flip_columns=flip_columns, fill=fill, border=border
    )


@lru_cache(maxsize=64)
def _grid(rows: int, columns: int) -> np.ndarray:
    """(2, rows * columns): row and column of every pixel, row by row."""
    return np.mgrid[0:rows, 0:columns].reshape(2, -1).astype(np.float64)


def _for_kernel(images: np.ndarray) -> np.ndarray:
    """C-contiguous and writable: to Numba a read-only array is another type, compiled anew for some seconds."""
    return np.require(images, requirements=["C", "W"])


def _affine(x: np.ndarray, maps: np.ndarray, fill: np.generic, clamp: bool, y: np.ndarray) -> np.ndarray:
    height, width = x.shape[2:]
    i, j = np.mgrid[0 : y.shape[2], 0 : y.shape[3]]
    half = 0.5 if y.dtype.kind == "u" else 0.0  # the conversion then rounds
    for image, m, out in zip(x, maps, y):
        row, column = (m[k, 0] * i + m[k, 1] * j + m[k, 2] for k in (0, 1))
        if clamp:
            row, column = row.clip(0, height - 1), column.clip(0, width - 1)
        # One pixel of the outside all around; what is farther away is all outside and looks the same there.
        padded = np.pad(
            image.astype(np.float64),
            ((0, 0), (2, 2), (2, 2)),
            **({"mode": "edge"} if clamp else {"constant_values": fill}),
        )
        row, column = row.clip(-2, height) + 2, column.clip(-2, width) + 2
        r, s = np.floor(row).astype(int), np.floor(column).astype(int)
        down, right = row - r, column - s
        above = padded[:, r, s] + right * (padded[:, r, s + 1] - padded[:, r, s])
        below = padded[:, r + 1, s] + right * (padded[:, r + 1, s + 1] - padded[:, r + 1, s])
        out[...] = above + down * (below - above) + half
    return y


def crop(
    images: np.ndarray,
    tops: np.ndarray,
    lefts: np.ndarray,
    size: tuple[int, ...],
    *,
    flip_rows: np.ndarray | None = None,
    flip_columns: np.ndarray | None = None,
    fill: float = 0.0,
    border: int = 0,
) -> np.ndarray:
    """A window of `size` (P, Q) from every image, its upper left corner at (tops[n], lefts[n]), perhaps flipped.

    The window may reach outside, where there is `fill`: so this pads, too. Pixels are copied exactly.
    border: so many more pixels of `fill` around the window, whatever the image has there.
    """
    n = len(images)
    flip_rows = np.zeros(n, bool) if flip_rows is None else flip_rows
    flip_columns = np.zeros(n, bool) if flip_columns is None else flip_columns
    y = np.empty((*images.shape[:2], *(side + 2 * border for side in size)), images.dtype)
    value = images.dtype.type(fill)
    tops, lefts = np.asarray(tops, np.int64), np.asarray(lefts, np.int64)
    if is_reference():
        y[...] = value
        window = y[:, :, border : border + size[0], border : border + size[1]]
        _crop(images, tops, lefts, flip_rows, flip_columns, value, window)
        return y
    from minicnn.kernels.cpu import sampling

    sampling.crop(_for_kernel(images), tops, lefts, flip_rows, flip_columns, value, border, y)
    return y


def _crop(
    x: np.ndarray,
    tops: np.ndarray,
    lefts: np.ndarray,
    flip_rows: np.ndarray,
    flip_columns: np.ndarray,
    fill: np.generic,
    y: np.ndarray,
) -> None:
    size = y.shape[2:]
    for n in range(len(x)):
        window = np.full(y.shape[1:], fill)
        # Where window and image overlap, along each axis: [low, high) of the image.
        low = [max(0, start) for start in (tops[n], lefts[n])]
        high = [
            min(side, start + length) for side, start, length in zip(x.shape[2:], (tops[n], lefts[n]), size)
        ]
        if low[0] < high[0] and low[1] < high[1]:
            rows = slice(low[0] - tops[n], high[0] - tops[n])
            columns = slice(low[1] - lefts[n], high[1] - lefts[n])
            window[:, rows, columns] = x[n, :, low[0] : high[0], low[1] : high[1]]
        window = window[:, ::-1] if flip_rows[n] else window
        y[n] = window[:, :, ::-1] if flip_columns[n] else window

"""The two kinds of geometric transforms, and what lets several of them share one pass over the pixels.

A `WholePixel` transform copies pixels (flips, crops, padding), a `Sampled` one reads between them (rotation,
scale ...). Each only says where pixels come from; `Compose` then joins flips with a crop, and both with the
sampling that follows, to the same bits as one after another.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.data.transforms.base import Transform
from minicnn.data.transforms.sampling import Moves, affine, crop


class WholePixel(Transform):
    """A subclass defines `moves`: for n images of `size` (H, W), the windows and flips. Outside is `fill`."""

    fill: float = 0

    def moves(self, n: int, size: tuple[int, int], rng: Any) -> Moves:
        raise NotImplementedError(f"{type(self).__name__} must define moves(self, n, size, rng)")

    def images(self, x: np.ndarray, rng: Any) -> np.ndarray:
        return move(x, self.moves(len(x), x.shape[2:], rng), self.fill)


class Sampled(Transform):
    """A subclass defines `maps`, as `sampling.affine` takes them."""

    fill: float = 0
    padding_mode = "constant"

    def maps(self, n: int, size: tuple[int, int], rng: Any) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} must define maps(self, n, size, rng)")

    def images(self, x: np.ndarray, rng: Any) -> np.ndarray:
        return self.sample(x, self.maps(len(x), x.shape[2:], rng))

    def sample(self, x: np.ndarray, maps: np.ndarray, moves: Moves | None = None) -> np.ndarray:
        _, height, width = self.output_shape((1, *(x.shape[2:] if moves is None else moves.size)))
        return affine(
            x, maps, size=(height, width), fill=self.fill, padding_mode=self.padding_mode, moves=moves
        )


def move(x: np.ndarray, moves: Moves, fill: float) -> np.ndarray:
    tops, lefts, size, flip_rows, flip_columns = moves
    return crop(x, tops, lefts, size, flip_rows=flip_rows, flip_columns=flip_columns, fill=fill)


def both(first: Moves, second: Moves, size: tuple[int, int]) -> Moves | None:
    """The moves that do what `first`, on images of `size`, and `second` do one after the other.

    None where there are none: a window in a window would show again what the first one cut off.
    """
    flip_rows = _either(first.flip_rows, second.flip_rows)
    flip_columns = _either(first.flip_columns, second.flip_columns)
    if is_flip(second, first.size):
        return first._replace(flip_rows=flip_rows, flip_columns=flip_columns)
    if not is_flip(first, size):
        return None
    # A window of a flipped image is the window of the image itself that lies as far from the other side.
    tops = _from_other_side(second.tops, first.flip_rows, size[0] - second.size[0])
    lefts = _from_other_side(second.lefts, first.flip_columns, size[1] - second.size[1])
    return Moves(tops, lefts, second.size, flip_rows, flip_columns)


def is_flip(moves: Moves, size: tuple[int, int]) -> bool:
    """Whether every window is the whole image, so that nothing is cut off and nothing is outside."""
    return moves.size == tuple(size) and not (moves.tops.any() or moves.lefts.any())


def _either(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    if first is None or second is None:
        return first if second is None else second
    return first ^ second  # twice flipped is not flipped


def _from_other_side(starts: np.ndarray, flipped: np.ndarray | None, rest: int) -> np.ndarray:
    return starts if flipped is None else np.where(flipped, rest - starts, starts)

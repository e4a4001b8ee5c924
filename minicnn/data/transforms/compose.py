"""One transform after another, in as few passes over the pixels as give the same result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.data.transforms.base import Transform
from minicnn.data.transforms.moving import Sampled, WholePixel, both, is_flip, move
from minicnn.data.transforms.sampling import Moves
from minicnn.errors import ConfigError


class Compose(Transform):
    """One transform after another.

    Flips, a crop and a rotation (or another affine map) that follow each other take one pass together: the same
    draws, the same bits.
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        for transform in transforms:
            if not callable(transform) or isinstance(transform, type):
                raise ConfigError(f"Compose takes transforms such as RandomRotation(10), got {transform!r}")
        self.transforms = list(transforms)

    @property
    def random(self) -> bool:  # type: ignore[override]
        return any(getattr(transform, "random", True) for transform in self.transforms)

    def apply(self, x: np.ndarray, labels: Any, rng: Any) -> tuple[np.ndarray, Any]:
        waiting = _Waiting()
        for transform in self.transforms:
            if isinstance(transform, WholePixel) and _is_plain(transform, WholePixel):
                x = waiting.add(x, transform, rng)
            elif isinstance(transform, Sampled) and _is_plain(transform, Sampled):
                x = waiting.sample(x, transform, rng)
            else:
                x, labels = transform(waiting.done(x), labels, rng)
        return waiting.done(x), labels

    def output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        for transform in self.transforms:
            shape = transform.output_shape(shape)
        return shape

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.transforms))}])"


def _is_plain(transform: Any, kind: type) -> bool:
    """Whether it works on images as its kind does, and does not replace that."""
    return all(
        getattr(type(transform), name) is getattr(kind, name) for name in ("__call__", "apply", "images")
    )


class _Waiting:
    """Moves that were drawn and not yet carried out."""

    def __init__(self) -> None:
        self.moves: Moves | None = None
        self.fill = 0.0

    def add(self, x: np.ndarray, transform: WholePixel, rng: Any) -> np.ndarray:
        size = x.shape[2:] if self.moves is None else self.moves.size
        moves = transform.moves(len(x), size, rng)
        if self.moves is not None:
            joined = both(self.moves, moves, x.shape[2:])
            if joined is None:
                x = self.done(x)
            elif is_flip(moves, size):  # the fill stays that of the window
                self.moves = joined
                return x
            else:
                moves = joined
        self.moves, self.fill = moves, transform.fill
        return x

    def sample(self, x: np.ndarray, transform: Sampled, rng: Any) -> np.ndarray:
        same = transform.padding_mode == "constant" and (
            self.fill == transform.fill or self.moves is None or is_flip(self.moves, x.shape[2:])
        )
        if not same:
            x = self.done(x)
        size = x.shape[2:] if self.moves is None else self.moves.size
        maps = transform.maps(len(x), size, rng)
        moves, self.moves = self.moves, None
        return transform.sample(x, maps, moves)

    def done(self, x: np.ndarray) -> np.ndarray:
        if self.moves is None:
            return x
        moves, self.moves = self.moves, None
        return move(x, moves, self.fill)

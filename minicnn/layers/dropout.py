"""Dropout as a layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minicnn.backend import Array
from minicnn.errors import ConfigError
from minicnn.functional.check import check_upstream
from minicnn.functional.dropout import dropout_backward, dropout_forward
from minicnn.layers.base import Layer


class Dropout(Layer):
    """In training each value is dropped with probability p and the rest scaled by 1 / (1 - p).

    In evaluation it is the identity. The mask is a function of (seed, offset): the seed is
    drawn from `rng` once, the offset counts the forward passes in training. Setting both
    back replays the same masks; a checkpoint stores them, a state dict does not.
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator | None = None) -> None:
        if not 0 <= p <= 1:
            raise ConfigError(f"Dropout: p is the probability of dropping, from 0 to 1, got {p}")
        self.p = p
        rng = np.random.default_rng() if rng is None else rng
        self.seed = int(rng.integers(2**64, dtype=np.uint64))
        self.offset = 0

    def forward(self, x: Array) -> Array:
        if not self.training:
            self.cache = x.shape
            return x
        y, self.cache = dropout_forward(x, self.p, seed=self.seed, offset=self.offset)
        self.offset += 1
        return y

    def backward(self, dy: Array) -> Array:
        cache = self.take_cache()
        if type(cache) is tuple:  # the shape of x: nothing was dropped
            check_upstream("dropout", dy, cache)
            return dy
        return dropout_backward(dy, cache)

    def random_state(self) -> dict[str, int]:
        """What decides the next masks, for a checkpoint."""
        return {"seed": self.seed, "offset": self.offset}

    def load_random_state(self, state: Mapping[str, int]) -> None:
        """Go on with the masks that followed when the state was taken."""
        self.seed, self.offset = int(state["seed"]), int(state["offset"])

    def extra_repr(self) -> str:
        return f"p={self.p}"

"""Weights that two frameworks, and two machines, can make alike without a file: a generator for every name."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np

Shapes = Iterable[tuple[str, tuple[int, ...]]]


def seeded_state(shapes: Shapes, seed: int = 0) -> dict[str, np.ndarray]:
    """Float64 values for the names and shapes of a state dict, batch norm's statistics randomised too.

    Weights are He normal by fan-in; batch norm's scales lie in [0.5, 1), so that signals keep their
    size through a hundred residual blocks. The last state made is kept, and so its arrays are read-only.
    """
    return dict(_state(tuple((name, tuple(shape)) for name, shape in shapes), seed))


@lru_cache(maxsize=1)
def _state(shapes: tuple[tuple[str, tuple[int, ...]], ...], seed: int) -> dict[str, np.ndarray]:
    state = {name: _values(name, shape, seed) for name, shape in shapes}
    for values in state.values():
        values.flags.writeable = False
    return state


def _values(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape)
    if len(shape) == 1 and name.endswith("weight"):
        return rng.uniform(0.5, 1.0, shape)
    if len(shape) == 1:
        return 0.1 * rng.standard_normal(shape)
    values = rng.standard_normal(shape)
    values *= np.sqrt(2 / np.prod(shape[1:]))
    return values


def digest(shapes: Shapes) -> str:
    """One text for ordered names and shapes: two layouts are equal if theirs are."""
    lines = "".join(f"{name} {tuple(shape)}\n" for name, shape in shapes)
    return hashlib.sha256(lines.encode()).hexdigest()


def projections(gradients: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Of every array one number that any wrong entry changes: its product with a seeded array of unit norm."""
    return {
        name: float(np.sum(gradient * _unit(name, gradient.shape))) for name, gradient in gradients.items()
    }


def _unit(name: str, shape: tuple[int, ...]) -> np.ndarray:
    values = np.random.default_rng([1, zlib.crc32(name.encode())]).standard_normal(shape)
    return values / np.sqrt(np.sum(values**2))

"""Where to look: directions to move an array in, and cotangents to look from.

A probe is the slope of φ(t) = <v, f(θ + t u) − f(θ)> at 0, to be compared with <gradient, u>.

Entries of u and v are ± a number in [0.5, 1.5]: never near 0, so that a single wrong element of
size δ moves the slope by at least δ/2 (a Gaussian direction misses it with probability
erf(τ / δ√2), τ being the bound), and never of equal size, so that errors do not cancel. All ones
would be blind: batch norm's and softmax's gradients sum to zero whatever is wrong with them.

They have 20 binary digits and steps are powers of two, so that t u is exact in float64 and θ + t u
is so too, unless the sum has more digits than θ: no rounding of the input has to be allowed for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DIGITS = 20


@dataclass(frozen=True)
class Direction:
    """A direction in an array: all elements (indices None), or those at the flat indices."""

    values: np.ndarray
    indices: np.ndarray | None = None
    label: str = ""

    def move(self, array: np.ndarray, t: float) -> np.ndarray:
        """array + t u, a new array."""
        if self.indices is None:
            return array + t * self.values
        moved = array.copy()
        moved.reshape(-1)[self.indices] += t * self.values
        return moved

    def dot(self, gradient: np.ndarray) -> float:
        """<gradient, u>."""
        return float(np.sum(self.terms(gradient)))

    def rounding(self, gradient: np.ndarray) -> float:
        """How far <gradient, u> may be off because each element is rounded: 16 eps ‖g·u‖ and the sum's own."""
        terms = self.terms(gradient)
        eps = np.finfo(np.float64).eps
        return float(eps * (16 * np.sqrt(np.sum(terms**2)) + 2 * np.abs(np.sum(np.abs(terms)))))

    def without(self, excluded: np.ndarray) -> Direction:
        """The same direction with the flat indices in `excluded` held still (for a full direction)."""
        values = self.values.copy()
        values.reshape(-1)[excluded] = 0.0
        return Direction(values, None, self.label)

    def terms(self, gradient: np.ndarray) -> np.ndarray:
        """The products gradient · u, element by element."""
        if self.indices is None:
            return gradient * self.values
        return gradient.reshape(-1)[self.indices] * self.values


def random_entries(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Entries ± [0.5, 1.5] with 20 binary digits."""
    size = np.round((0.5 + rng.random(shape)) * 2**DIGITS) / 2**DIGITS
    return np.where(rng.random(shape) < 0.5, -size, size)


def random_direction(shape: tuple[int, ...], rng: np.random.Generator, label: str = "") -> Direction:
    return Direction(random_entries(shape, rng), None, label)


def element_direction(index: int, label: str = "") -> Direction:
    return Direction(np.ones(1), np.array([index]), label)


def element_directions(indices: Sequence[int] | np.ndarray) -> list[Direction]:
    return [element_direction(int(index)) for index in indices]


def typical_scale(array: np.ndarray) -> float:
    """How far an array may be moved at all: its spread, or its size if it is constant, or 1.

    The spread and not the size, because values may lie far from zero: a step of a tenth of
    1e6 would leave the region in which batch norm of 1e6 ± 1 is anything like a polynomial.
    """
    if array.size == 0:
        return 1.0
    spread = float(np.std(array))
    size = float(np.max(np.abs(array)))
    if spread > 1e-9 * size:
        return spread
    return size if size > 0 else 1.0


def first_step(array: np.ndarray) -> float:
    """A quarter of the typical scale, rounded to a power of two."""
    return float(2.0 ** np.round(np.log2(typical_scale(array) / 4)))


def smallest_step(array: np.ndarray) -> float:
    """Below this step θ + t u is no longer exact."""
    size = float(np.max(np.abs(array))) if array.size else 1.0
    return float(2.0 ** (DIGITS - 51)) * max(size, 1e-300)

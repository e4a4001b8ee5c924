"""Directions never come near zero, steps are exact, and a single wrong element cannot hide."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minicnn.gradcheck.directions import (
    Direction,
    element_direction,
    first_step,
    random_direction,
    random_entries,
    smallest_step,
    typical_scale,
)


@given(st.integers(0, 1000))
def test_entries_lie_between_a_half_and_one_and_a_half(seed: int) -> None:
    entries = np.abs(random_entries((50,), np.random.default_rng(seed)))
    assert entries.min() >= 0.5
    assert entries.max() <= 1.5
    assert len(np.unique(entries)) > 40


@given(st.integers(0, 1000), st.floats(-6, 6), st.integers(0, 20))
def test_moved_arrays_are_as_exact_as_float64_allows(seed: int, magnitude: float, halvings: int) -> None:
    """θ + t u as a fraction: off by half a last digit at most, and by nothing if no digit is gained."""
    rng = np.random.default_rng(seed)
    array = 10.0**magnitude * rng.standard_normal(3)
    direction = random_direction(array.shape, rng)
    t = first_step(array) / 2**halvings
    if t < smallest_step(array):
        return
    moved = direction.move(array, t)
    for before, u, after in zip(array, direction.values, moved):
        off = abs(Fraction(after) - Fraction(before) - Fraction(t) * Fraction(u))
        assert off <= Fraction(np.spacing(abs(after))) / 2
        if np.spacing(abs(after)) <= np.spacing(abs(before)):
            assert off == 0


def test_a_direction_of_one_element_moves_that_one() -> None:
    array = np.zeros((2, 3))
    moved = element_direction(4).move(array, 0.5)
    assert moved[1, 1] == 0.5
    assert np.count_nonzero(moved) == 1
    assert not array.any()


def test_the_scale_of_values_far_from_zero_is_their_spread() -> None:
    rng = np.random.default_rng(0)
    assert 0.5 < typical_scale(1e6 + rng.standard_normal(100)) < 2
    assert typical_scale(np.full(5, 3.0)) == 3.0
    assert typical_scale(np.zeros(5)) == 1.0
    assert typical_scale(np.empty(0)) == 1.0


def test_elements_can_be_held_still() -> None:
    direction = Direction(np.ones((2, 2))).without(np.array([1, 2]))
    assert direction.values.tolist() == [[1.0, 0.0], [0.0, 1.0]]

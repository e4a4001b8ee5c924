"""Places where the function has a corner: ReLU at 0, two equal maxima, |x| at 0.

At a corner no derivative exists, only slopes from either side, and a central difference gives
their mean, which a correct backward rarely does. So the elements that sit on a corner are found
and held still while the rest is probed, and are then judged in two ways:

ties     equal elements moved together keep every tie, so that direction is smooth: an exact
         test, which finds a maximum counted twice.
bounds   an element alone: the analytic value must lie between the slopes from the two sides,
         taken for each output on its own, because a sum of outputs may choose a side for each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.gradcheck.directions import Direction, first_step, random_entries, smallest_step
from minicnn.gradcheck.slopes import Prober

GROUP_BUDGET = 6000  # groups tested before the rest counts as kinked
SPLIT = 4


class Bounds(NamedTuple):
    """The slopes of one element from both sides: low <= analytic <= high, give or take `error`."""

    low: float
    high: float
    error: float


def kinked_elements(prober: Prober, array: int, rng: np.random.Generator) -> np.ndarray:
    """The flat indices of the elements that sit on a corner, by testing groups and splitting them."""
    value = prober.subject.values[array]
    entries = random_entries(value.shape, rng).reshape(-1)
    groups = [np.arange(value.size)]
    found: list[np.ndarray] = []
    tested = 0
    while groups:
        if tested > GROUP_BUDGET:
            found.extend(groups)
            break
        tested += len(groups)
        kinked = is_kinked(prober, array, [Direction(entries[group], group) for group in groups])
        suspects = [group for group, is_kinked in zip(groups, kinked) if is_kinked]
        found.extend(group for group in suspects if len(group) == 1)
        groups = [
            part
            for group in suspects
            if len(group) > 1
            for part in np.array_split(group, min(SPLIT, len(group)))
        ]
    return np.sort(np.concatenate(found)) if found else np.empty(0, dtype=int)


def tie_directions(
    value: np.ndarray, kinked: np.ndarray, rng: np.random.Generator, count: int
) -> tuple[list[Direction], list[Direction]]:
    """Directions that move equal elements together, by an amount of their own for each value.

    Returns `count` directions that move all groups at once, and one direction per group.
    """
    _, group, sizes = np.unique(value.reshape(-1)[kinked], return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    joint = [
        Direction(random_entries((len(sizes),), rng)[group], kinked, f"ties {i + 1}") for i in range(count)
    ]
    single = [
        Direction(np.ones(int(size)), kinked[group == g], "tied elements") for g, size in enumerate(sizes)
    ]
    return joint, single


def one_sided_bounds(prober: Prober, array: int, index: int, cotangent: np.ndarray) -> Bounds:
    """Σ over outputs of the smaller and of the larger of the two one-sided slopes of v·y."""
    value = prober.subject.values[array]
    step = tiny_step(value)
    direction = Direction(np.ones(1), np.array([index]))
    y = prober.base.y.astype(np.float64).reshape(-1)

    def change(t: float) -> np.ndarray:
        moved = prober.run(prober.subject.with_value(array, direction.move(value, t))).y
        return cotangent * (moved.astype(np.float64).reshape(-1) - y)

    # (4 f(h/2) − f(h) − 3 f(0)) / h is the one-sided slope up to h².
    right = (4 * change(step / 2) - change(step)) / step
    left = -(4 * change(-step / 2) - change(-step)) / step
    error = 10 * float(prober.assumed_noise.max(initial=0.0)) / step
    error += 1e-6 * float(np.sum(np.abs(right)) + np.sum(np.abs(left)))
    return Bounds(float(np.minimum(left, right).sum()), float(np.maximum(left, right).sum()), error)


def tiny_step(value: np.ndarray) -> float:
    """Small enough that a corner within it counts as being here."""
    return max(first_step(value) / 8**5, 4 * smallest_step(value))


def is_kinked(prober: Prober, array: int, directions: list[Direction]) -> np.ndarray:
    """(B,) whether there is a corner at the base point, or next to it, along each direction."""
    step = tiny_step(prober.subject.values[array])
    plus, same_plus = prober.phi(array, directions, step)
    minus, same_minus = prober.phi(array, directions, -step)
    half = prober.phi(array, directions, step / 2)[0] + prober.phi(array, directions, -step / 2)[0]
    gap = np.abs(4 * half - plus - minus).max(axis=1) / step  # 2 G(h/2) − G(h)
    slope = np.abs(plus - minus).max(axis=1) / (2 * step)
    changed = ~(same_plus & same_minus)
    return changed | (gap > 16 * prober.assumed_noise.max(initial=0.0) / step + 1e-7 * slope)

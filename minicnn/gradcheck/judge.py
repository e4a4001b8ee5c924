"""The verdict on one slope: analytic against numeric, and a wrong gradient against both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicnn.gradcheck.directions import Direction, random_entries
from minicnn.gradcheck.report import Comparison, Verdict
from minicnn.gradcheck.slopes import Slopes

CERTIFIED = 1e-4  # a bound above this part of the slope certifies nothing
CONTROL = 1e-4  # size of the error planted in the negative control


def verdict_on(difference: float, bound: float, scale: float, kinked: bool) -> Verdict:
    """PASS within a bound that is small against the scale of the slope, FAIL beyond it.

    A bound that is large certifies nothing, unless the difference is far beyond even that.
    """
    if not np.isfinite(bound) or kinked:
        return Verdict.UNRESOLVED
    exact = bound <= CERTIFIED * scale
    if difference <= bound:
        return Verdict.PASS if exact or difference == 0 else Verdict.UNRESOLVED
    return Verdict.FAIL if exact or difference > 16 * bound else Verdict.UNRESOLVED


def compare(
    gradients: Sequence[np.ndarray], spread: np.ndarray, direction: Direction, slopes: Slopes, b: int
) -> Comparison | None:
    """<g, u> against the b-th slope, for the cotangent that disagrees most.

    gradients: of one array, one per cotangent. spread: how noisy their elements are. None for an
    element on a corner.
    """
    if slopes.kinked[b] and direction.indices is not None:
        return None
    noise = 4 * float(np.sqrt(np.sum(direction.terms(spread) ** 2)))
    scale = float(slopes.scale[b])
    best: Comparison | None = None
    for m, gradient in enumerate(gradients):
        bound = float(slopes.error[b]) + direction.rounding(gradient) + noise
        analytic, numeric = direction.dot(gradient), float(slopes.value[b, m])
        verdict = verdict_on(abs(analytic - numeric), bound, scale, bool(slopes.kinked[b]))
        found = Comparison(analytic, numeric, bound, verdict, direction.label)
        if direction.indices is not None and len(direction.indices) == 1:
            index = np.unravel_index(int(direction.indices[0]), gradient.shape)
            found.index = tuple(int(i) for i in index)
        if best is None or found.ratio > best.ratio:
            best = found
    return best


def control_is_rejected(
    gradient: np.ndarray, directions: Sequence[Direction], slopes: Slopes, rng: np.random.Generator
) -> bool | None:
    """Whether the gradient with an error of one part in 10,000 planted is rejected; None if not tried."""
    full = [b for b, d in enumerate(directions) if d.indices is None and np.isfinite(slopes.error[b])]
    if not full:
        return None
    typical = max(float(slopes.scale[b]) for b in full) / np.sqrt(gradient.size)
    size = max(float(np.sqrt(np.mean(gradient**2))), typical) or 1.0
    wrong = gradient + CONTROL * size * random_entries(gradient.shape, rng)
    for b in full:
        bound = float(slopes.error[b]) + directions[b].rounding(gradient)
        difference = abs(directions[b].dot(wrong) - float(slopes.value[b, 0]))
        if verdict_on(difference, bound, float(slopes.scale[b]), bool(slopes.kinked[b])) is Verdict.FAIL:
            return True
    return False

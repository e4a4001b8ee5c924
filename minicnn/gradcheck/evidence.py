"""What a wrong gradient looks like, for those who look for its cause."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minicnn.gradcheck.directions import element_directions, random_direction
from minicnn.gradcheck.report import ArrayResult
from minicnn.gradcheck.slopes import Prober, ShapeChanged
from minicnn.gradcheck.subject import BadOutput, CodeRaised, Subject

if TYPE_CHECKING:
    from minicnn.gradcheck.engine import Examination

EXPLAINED = 1e-3  # a cause must leave less than this part of the error unexplained


class Mistake(NamedTuple):
    """What a known mistake would make of the gradient of the array at hand, and how to say it."""

    sentence: str
    gradient: np.ndarray


class Suspects(NamedTuple):
    """The right gradient of a recognised operation, and what known mistakes make of it."""

    right: np.ndarray
    mistakes: Iterable[Mistake]


@dataclass
class Evidence:
    """One wrong gradient: the arrays, the output y, the cotangent v, and the gradient both ways.

    index is the position of the array among `values`; numeric is NaN where no element was tested.
    """

    examination: Examination
    subject: Subject
    index: int
    y: np.ndarray
    v: np.ndarray
    analytic: np.ndarray
    numeric: np.ndarray
    tested: np.ndarray  # flat indices
    error: float  # of the numeric gradient

    @property
    def values(self) -> list[np.ndarray]:
        return self.subject.values

    @property
    def name(self) -> str:
        return self.subject.names[self.index]

    @property
    def value(self) -> np.ndarray:
        return self.values[self.index]

    def fits(self, predicted: np.ndarray, right: np.ndarray | None = None) -> bool:
        """Whether a prediction explains the error: what it leaves is nothing to what was wrong.

        right: the right gradient if it is known everywhere; without it the numeric one is taken,
        on the elements that were tested.
        """
        if predicted.shape != self.analytic.shape:
            return False
        known = np.ones(self.analytic.shape, dtype=bool) if right is not None else np.isfinite(self.numeric)
        known &= np.isfinite(predicted)
        if not known.any():
            return False
        truth = right if right is not None else self.numeric
        wrong_by = np.max(np.abs(self.analytic - truth)[known])
        left_over = np.max(np.abs(self.analytic - predicted)[known])
        size = np.max(np.abs(self.analytic)[known])
        tolerance = 1e-13 * size + (0.0 if right is not None else 4 * self.error)
        return bool(
            wrong_by > 0 and left_over <= EXPLAINED * wrong_by + tolerance and left_over < 0.1 * wrong_by
        )

    def is_right(self, gradient: np.ndarray) -> bool:
        """Whether a gradient agrees with the numeric one wherever that is known."""
        known = np.isfinite(self.numeric)
        if gradient.shape != self.numeric.shape:
            return False
        if not known.any():
            return True
        off = np.max(np.abs(gradient - self.numeric)[known])
        return bool(off <= 1e-6 * np.max(np.abs(self.numeric)[known]) + 16 * self.error)

    def numeric_for(self, cotangents: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The numeric gradients, NaN where not tested, that other cotangents give.

        To nine digits: enough to tell whether a cause explains an error to three of its digits.
        """
        old = self.examination.prober
        flat = np.stack([np.reshape(v, -1) for v in cotangents])
        prober = Prober(self.subject, flat, old.base)
        try:
            slopes = prober.central(self.index, element_directions(self.tested))
        except (CodeRaised, BadOutput, ShapeChanged):
            return []
        gradients = []
        for m in range(len(flat)):
            gradient = np.full(self.value.shape, np.nan)
            gradient.reshape(-1)[self.tested] = slopes[:, m]
            gradients.append(gradient)
        return gradients

    def ratio_with_fewer_samples(self) -> tuple[int, float] | None:
        """(N − 1, analytic / numeric) with the last sample left out; None if that cannot be run."""
        smaller = self.subject.with_fewer_samples()
        if smaller is None:
            return None
        try:
            base = smaller.run(smaller.values)
            v = np.random.default_rng(5).uniform(0.5, 1.5, base.y.shape)
            direction = random_direction(self.value.shape, np.random.default_rng(6))
            if self.index == 0:
                direction = random_direction(smaller.values[0].shape, np.random.default_rng(6))
            analytic = direction.dot(smaller.gradients(v)[self.index])
            slope = Prober(smaller, v.reshape(1, -1), base).slopes(self.index, [direction])
        except (CodeRaised, BadOutput, ShapeChanged, TypeError, ValueError):
            return None
        numeric = float(slope.value[0, 0])
        return (len(smaller.values[0]), analytic / numeric) if numeric else None


def gather(examination: Examination, result: ArrayResult) -> Evidence | None:
    """The evidence for an array that was looked at element by element; None otherwise."""
    index = examination.subject.names.index(result.name)
    if result.numeric is None or result.analytic is None or index not in examination.element_slopes:
        return None
    tested, slopes = examination.element_slopes[index]
    finite = np.isfinite(slopes.error) & ~slopes.kinked
    y = examination.prober.base.y.astype(np.float64)
    return Evidence(
        examination=examination,
        subject=examination.subject,
        index=index,
        y=y,
        v=examination.prober.cotangents[0].reshape(y.shape),
        analytic=result.analytic,
        numeric=result.numeric,
        tested=tested,
        error=float(np.max(slopes.error[finite], initial=0.0)),
    )

"""The slope of a subject along many directions at once, with an error bound and news of kinks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.gradcheck.directions import Direction, first_step, smallest_step, typical_scale
from minicnn.gradcheck.richardson import Tableau, measured_noise
from minicnn.gradcheck.subject import ActiveSet, Evaluation, Subject, same_active

LEVELS = 7  # rows of one tableau: a step and six halvings
ATTEMPTS = 9  # tableaus, each starting from an eighth of the step before
STACK_ELEMENTS = 1 << 15  # elements of one stacked input: stays in the L2 cache


@dataclass
class Slopes:
    """For B directions and M cotangents: value (B, M), error (B,), and what kind of place it is.

    kinked (B,): the slopes from the two sides differ however small the step.
    scale (B,): the size of a slope that is neither very large nor very small here, to judge
    an error by. `error` is infinite where the slope could not be found.
    """

    value: np.ndarray
    error: np.ndarray
    kinked: np.ndarray
    scale: np.ndarray


class Prober:
    """Evaluates a subject around its base point, seen from the cotangents V (M, outputs)."""

    def __init__(self, subject: Subject, cotangents: np.ndarray, base: Evaluation) -> None:
        self.subject = subject
        self.cotangents = cotangents
        self.base = base
        self.evaluations = 0
        # 16 eps Σ|v y| / √m: rounding errors of the outputs are as good as independent.
        flat = np.abs(base.y.astype(np.float64)).reshape(-1)
        eps = float(np.finfo(base.y.dtype).eps)
        self.eps = eps
        self.assumed_noise = 16 * eps * (np.abs(cotangents) @ flat) / np.sqrt(max(flat.size, 1))
        self.noise: dict[int, np.ndarray] = {}
        self._moved = np.zeros(0)  # Σ|v Δy| for each direction of the last phi: what its sum can cancel
        self._output_size = np.sqrt(np.mean((cotangents @ base.y.astype(np.float64).reshape(-1)) ** 2))
        self._output_norm = float(np.sqrt(np.mean((cotangents**2) @ flat**2)))

    # ---- values of φ

    def phi(self, array: int, directions: Sequence[Direction], t: float) -> tuple[np.ndarray, np.ndarray]:
        """φ(t) (B, M) along each direction, and whether the active set is still that of the base point."""
        subject = self.subject
        if array == 0 and subject.stacks and len(directions) > 1:
            return self._phi_stacked(directions, t)
        phi = np.empty((len(directions), len(self.cotangents)))
        same = np.ones(len(directions), dtype=bool)
        value = subject.values[array]
        self._moved = np.empty(len(directions))
        for b, direction in enumerate(directions):
            y, active = self.run(subject.with_value(array, direction.move(value, t)))
            phi[b] = self.project(y)
            self._moved[b] = self._size(y.astype(np.float64) - self.base.y)
            same[b] = same_active(active, self.base.active)
        return phi, same

    def run(self, values: Sequence[np.ndarray]) -> Evaluation:
        self.evaluations += 1
        return self.subject.run(values)

    def project(self, y: np.ndarray) -> np.ndarray:
        """<v, y − y₀> for every v; the difference is taken first, where it cancels exactly."""
        if y.shape != self.base.y.shape:
            raise ShapeChanged(f"forward returned shape {self.base.y.shape} first and {y.shape} later")
        return self.cotangents @ (y.astype(np.float64) - self.base.y).reshape(-1)

    def _size(self, change: np.ndarray) -> float:
        """The largest Σ|v Δy| over the cotangents v."""
        return float((np.abs(self.cotangents) @ np.abs(change).reshape(-1)).max(initial=0.0))

    def _phi_stacked(self, directions: Sequence[Direction], t: float) -> tuple[np.ndarray, np.ndarray]:
        """Many moved copies of x as one batch: samples do not see each other (the protocol made sure)."""
        x = self.subject.values[0]
        rows, same, sizes = [], [], []
        for chunk in _chunks(directions, max(1, STACK_ELEMENTS // max(x.size, 1))):
            stacked = np.concatenate([direction.move(x, t) for direction in chunk])
            y, active = self.run(self.subject.with_value(0, stacked))
            change = y.astype(np.float64).reshape(len(chunk), -1) - self.base.y.reshape(-1)
            rows.append(change @ self.cotangents.T)
            sizes += [self._size(row) for row in change]
            same.append(_same_in_stack(active, self.base.active, len(chunk)))
        self._moved = np.array(sizes)
        return np.concatenate(rows), np.concatenate(same)

    # ---- slopes

    def slopes(self, array: int, directions: Sequence[Direction], *, corners: bool = True) -> Slopes:
        """The slope along each direction: one tableau, and smaller ones where it does not converge.

        corners=False where it is known that the base point lies on none, and nobody need look.
        """
        count = len(directions)
        value = self.subject.values[array]
        natural = self._output_norm / typical_scale(value)
        noise = self._noise(array, directions)
        result = Slopes(
            value=np.zeros((count, len(self.cotangents))),
            error=np.full(count, np.inf),
            kinked=np.zeros(count, dtype=bool),
            scale=np.full(count, natural),
        )
        # At some step the active set held and the one-sided slopes agreed. Both are asked, because
        # a network may hold layers of which only some tell their active set.
        smooth = np.zeros(count, dtype=bool)
        exact = np.zeros(count, dtype=bool)  # smaller steps would not help
        left = np.arange(count)
        step = first = first_step(value)
        for _ in range(ATTEMPTS):
            if step / 2 < smallest_step(value) or not len(left):
                break
            # Where only the gap is still in doubt, two rows show it.
            levels = 2 if np.all(exact[left]) else LEVELS
            tableau, same, gap, cancelled = self._tableau(
                array, [directions[int(b)] for b in left], step, noise, levels
            )
            error = np.maximum(tableau.error, cancelled)
            scale = np.abs(tableau.value).max(axis=1, initial=0.0)
            size = np.maximum(scale, 1e-3 * natural)
            gap_noise = 16 * noise.max(initial=0.0) * 2**LEVELS / step
            # A gap is only absent where noise would not have hidden it.
            no_gap = np.abs(gap).max(axis=1, initial=0.0) <= gap_noise + 1e-9 * size
            no_gap &= (gap_noise <= 1e-3 * size) | (step == first)
            smooth[left] |= same & (no_gap | (not corners))
            better = same & (error < result.error[left])
            chosen = left[better]
            result.value[chosen] = tableau.value[better]
            result.error[chosen] = error[better]
            result.scale[chosen] = np.maximum(scale[better], 1e-6 * natural)
            # Good enough, or limited by rounding, which smaller steps only make worse.
            limited = np.maximum(tableau.rounding, cancelled) > 0.3 * result.error[left]
            small = result.error[left] <= 1e-11 * size
            exact[left] |= small | limited
            left = left[~(smooth[left] & (small | limited))]
            step /= 8
        result.kinked = ~smooth
        return result

    def central(self, array: int, directions: Sequence[Direction]) -> np.ndarray:
        """The slope (B, M) by one central difference: nine digits or so, for two passes a direction."""
        step = max(first_step(self.subject.values[array]) / 2**14, smallest_step(self.subject.values[array]))
        plus, _ = self.phi(array, directions, step)
        minus, _ = self.phi(array, directions, -step)
        return (plus - minus) / (2 * step)

    def _tableau(
        self, array: int, directions: Sequence[Direction], step: float, noise: np.ndarray, levels: int
    ) -> tuple[Tableau, np.ndarray, np.ndarray, np.ndarray]:
        """One tableau from `step`. Also (B,) whether the active set held, the gap (B, M), and what cancels (B,).

        <v, Δy> is a sum, and where its terms cancel it is as inexact as they are large: 16 eps Σ|v Δy| / √m,
        divided by the step for the slope. The noise of the base point knows nothing of that where y itself is small.

        The gap between the one-sided slopes, G = (φ(h) + φ(−h)) / h = c₁ h + c₃ h³ + ... where φ is
        smooth: 2 G(h/2) − G(h) is free of c₁, and so on as in Richardson's tableau, with weights
        2, 8, 32, ... What is left is a corner.
        """
        tableau = Tableau(noise)
        same = np.ones(len(directions), dtype=bool)
        gaps: list[np.ndarray] = []
        cancelled = np.zeros(len(directions))
        for level in range(levels):
            h = step / 2**level
            plus, same_plus = self.phi(array, directions, h)
            if level == 0:
                cancelled = 16 * self.eps * self._moved / (np.sqrt(max(self.base.y.size, 1)) * h)
            if level == 0 and not same_plus.any():
                same = same_plus
                tableau.add(h, plus * 0)
                break
            minus, same_minus = self.phi(array, directions, -h)
            same &= same_plus & same_minus
            tableau.add(h, plus - minus)
            current = (plus + minus) / h
            row = [current]
            for j, older in enumerate(gaps, start=1):
                weight = 2.0 ** (2 * j - 1)
                row.append((weight * row[-1] - older) / (weight - 1))
            gaps = row
            if not same.any() or (level >= 1 and np.all(tableau.converged() | ~same)):
                break
        gap = gaps[-1] if gaps else np.zeros((len(directions), len(self.cotangents)))
        return tableau, same, gap, cancelled

    def _noise(self, array: int, directions: Sequence[Direction]) -> np.ndarray:
        """Rounding noise of φ (M,): the assumed one, or the measured one where cancellation makes it larger."""
        if array not in self.noise:
            measured = self._measured_noise(array, directions[0], 2.0**-20)
            if np.any(measured > self.assumed_noise):
                # A corner between the points looks like noise, but one that shrinks with their distance.
                measured = np.minimum(measured, self._measured_noise(array, directions[0], 2.0**-25))
            self.noise[array] = np.maximum(self.assumed_noise, measured)
        return self.noise[array]

    def _measured_noise(self, array: int, direction: Direction, distance: float) -> np.ndarray:
        """Eight times the spread of φ over seven close points, all on one side of the base point's corners."""
        value = self.subject.values[array]
        delta = max(first_step(value) * distance, smallest_step(value))
        samples = [self.phi(array, [direction], delta * j)[0][0] for j in range(1, 8)]
        return 8 * measured_noise(np.stack(samples))


class ShapeChanged(Exception):
    """forward returned different shapes for inputs of one shape."""


def _same_in_stack(active: ActiveSet | None, base: ActiveSet | None, count: int) -> np.ndarray:
    """For each of the stacked copies, whether its part of the active set is that of the base point."""
    same = np.ones(count, dtype=bool)
    for part, base_part in zip(active or (), base or ()):
        same &= np.all(part.reshape(count, -1) == base_part.reshape(1, -1), axis=1)
    return same


def _chunks(items: Sequence[Direction], size: int) -> Iterator[Sequence[Direction]]:
    return (items[i : i + size] for i in range(0, len(items), size))

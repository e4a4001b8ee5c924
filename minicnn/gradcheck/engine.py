"""The check itself: protocol, projections, corners, elements, control.

An array passes when its gradient agrees with the slope along random directions, seen from
random cotangents, to within a bound that is derived and not chosen:

    |<g, u> − slope| <= error of the slope + rounding of <g, u> + rounding noise of backward

Only where a projection disagrees is every element looked at, to name the worst one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from minicnn.gradcheck.curves import error_curve
from minicnn.gradcheck.directions import (
    Direction,
    element_direction,
    element_directions,
    random_direction,
    random_entries,
    typical_scale,
)
from minicnn.gradcheck.judge import compare, control_is_rejected
from minicnn.gradcheck.kinks import is_kinked, kinked_elements, one_sided_bounds, tie_directions
from minicnn.gradcheck.protocol import Protocol, run_protocol
from minicnn.gradcheck.report import ArrayResult, Comparison, Finding, Report, Verdict
from minicnn.gradcheck.richardson import EPS
from minicnn.gradcheck.slopes import Prober, ShapeChanged, Slopes
from minicnn.gradcheck.subject import BadOutput, CodeRaised, Subject, same_active

COTANGENTS = 8  # cotangents looked from; the first ANALYTIC of them are also sent through backward
ANALYTIC = 2
BOUND_TESTS = 48  # elements on a corner that are judged one by one


@dataclass
class Settings:
    """directions per array; elements: look at every element even if the projections agree;
    narrow_down: look at the elements where they disagree, to name the worst one;
    element_limit: of a larger array only so many elements are looked at."""

    directions: int = 2
    elements: bool = False
    narrow_down: bool = True
    element_limit: int = 2048
    samples_independent: bool | None = None


class Examination:
    """One subject under examination, at its base point."""

    def __init__(
        self,
        subject: Subject,
        rng: np.random.Generator,
        settings: Settings,
        upstream: np.ndarray | None = None,
    ) -> None:
        """upstream: a dy that backward gets in practice, looked from beside the random ones."""
        self.subject = subject
        self.rng = rng
        self.upstream = upstream
        self.settings = settings
        self.findings: list[Finding] = []
        self.arrays: list[ArrayResult] = []
        self.gradients: list[list[np.ndarray]] = []  # [cotangent][array]
        self.prober: Prober
        self.worst_direction: tuple[int, Direction] | None = None
        # array -> the flat indices that were looked at one by one, and their slopes
        self.element_slopes: dict[int, tuple[np.ndarray, Slopes]] = {}

    # ---- the whole of it

    def run(self) -> Report:
        started = time.perf_counter()
        protocol = run_protocol(self.subject, self.rng, self.settings.samples_independent)
        self.findings = protocol.findings
        if protocol.usable:
            try:
                self._compare(protocol)
            except ShapeChanged as changed:
                text = f"{changed}; the output's shape must depend on the input's shape alone"
                self.findings.append(Finding("shape changes", text, Verdict.UNRESOLVED))
            except (CodeRaised, BadOutput) as raised:
                text = f"{raised}; this happened at an input close to the given one"
                self.findings.append(Finding("raised nearby", text, Verdict.UNRESOLVED))
        report = Report(self.subject.name, self.arrays, self.findings)
        report.evaluations = self.prober.evaluations if hasattr(self, "prober") else 0
        self.subject.begin()  # nothing that the code drew or remembered is left behind
        report.seconds = time.perf_counter() - started
        if self.worst_direction is not None:
            array, direction = self.worst_direction
            gradient, prober, name = self.gradients[0][array], self.prober, self.subject.names[array]
            report.curve = lambda: error_curve(prober, array, direction, gradient, name)
        return report

    def _compare(self, protocol: Protocol) -> None:
        assert protocol.base is not None
        self._settle(protocol)
        worst_ratio = -1.0
        for array in range(len(self.subject.values)):
            result = self._array(array)
            self.arrays.append(result)
            found = result.worst
            if found is not None and found.ratio > worst_ratio:
                worst_ratio = found.ratio
                direction = (
                    element_direction(int(np.ravel_multi_index(found.index, result.shape)), str(found.index))
                    if found.index is not None
                    else self.directions[array][0]
                )
                self.worst_direction = (array, direction)

    def _settle(self, protocol: Protocol) -> None:
        """The base point, the cotangents, the analytic gradients and how noisy those are."""
        assert protocol.base is not None
        base = protocol.base
        size = base.y.size
        count = COTANGENTS if size > 1 else 1
        cotangents = random_entries((count, size), self.rng)
        if self.upstream is not None and self.upstream.size == size and np.any(self.upstream) and count > 1:
            # Brought to the size of the others, so that one bound serves all.
            cotangents[1] = self.upstream.reshape(-1) / np.sqrt(np.mean(self.upstream**2))
        self.prober = Prober(self.subject, cotangents, base)
        self.directions = [
            [
                random_direction(value.shape, self.rng, f"projection {i + 1}")
                for i in range(self.settings.directions)
            ]
            for value in self.subject.values
        ]
        self._gradients_here()
        if self.subject.composite and self._on_corner():
            self._move_off_corner()

    def _gradients_here(self) -> None:
        subject, base = self.subject, self.prober.base
        shown = self.prober.cotangents[: ANALYTIC if base.y.size > 1 else 1]
        self.gradients = [subject.gradients(v.reshape(base.y.shape).astype(base.y.dtype)) for v in shown]
        self.spread = self._gradient_noise(shown[0].reshape(base.y.shape).astype(base.y.dtype))

    def _gradient_noise(self, v: np.ndarray) -> list[np.ndarray]:
        """How far backward's own rounding errors reach: the change under changes of the last bits.

        Inputs far from zero make batch norm cancel 6 of its 16 digits, and then its gradient is no better
        than that. A change as large as 1e-6 is no rounding error but a corner, and is not allowed for.
        """
        subject = self.subject
        values = subject.values
        bits = [self.rng.integers(-2, 3, value.shape) for value in values]
        try:
            subject.values = [value + n * np.spacing(np.abs(value)) for value, n in zip(values, bits)]
            _, active = subject.run(subject.values)
            moved = subject.gradients(v)
        finally:
            subject.values = values
        if not same_active(active, self.prober.base.active):
            return [np.zeros_like(value) for value in values]
        spreads = []
        for old, new in zip(self.gradients[0], moved):
            spread = np.abs(new - old)
            honest = np.max(spread, initial=0) <= 1e-6 * np.max(np.abs(old), initial=0)
            spreads.append(spread if honest else np.zeros_like(spread))
        return spreads

    # ---- composite subjects on a corner

    def _on_corner(self) -> bool:
        return any(
            bool(is_kinked(self.prober, array, self.directions[array][:1])[0])
            for array, value in enumerate(self.subject.values)
            if value.size
        )

    def _move_off_corner(self) -> None:
        """A network on a corner is looked at close by: corners inside it add up in ways no bound describes."""
        subject = self.subject
        subject.values = [
            value + 1e-3 * typical_scale(value) * random_entries(value.shape, self.rng)
            for value in subject.values
        ]
        self.prober = Prober(subject, self.prober.cotangents, subject.run(subject.values))
        self._gradients_here()
        self.findings.append(
            Finding(
                "corner",
                "the input lies on a corner (a ReLU at 0, or two equal maxima), where no derivative exists; "
                "the whole was checked at a point 1/1000 away instead",
                None,
            )
        )

    # ---- one array

    def _array(self, array: int) -> ArrayResult:
        subject = self.subject
        name, value = subject.names[array], subject.values[array]
        result = ArrayResult(name, value.shape, Verdict.PASS)
        if value.size == 0:
            result.note = "empty: nothing to check"
            return result
        largest = int(np.argmax(np.abs(self.gradients[0][array])))
        tries = [*self.directions[array], element_direction(largest, "element")]
        slopes = self.prober.slopes(array, tries)
        corners: list[Comparison] = []
        kinked = np.empty(0, dtype=int)
        if slopes.kinked[:-1].any():
            kinked = kinked_elements(self.prober, array, self.rng)
            if len(kinked):
                corners = self._corners(array, kinked, result)
                tries = [direction.without(kinked) for direction in self.directions[array]]
                if largest not in kinked:
                    tries.append(element_direction(largest, "element"))
                slopes = self.prober.slopes(array, tries) if len(kinked) < value.size else _none(self.prober)
                tries = tries if len(kinked) < value.size else []
        projections = [
            c for b, d in enumerate(tries) if (c := self._comparison(array, d, slopes, b)) is not None
        ]
        result.comparisons = projections + corners
        self._judge(array, result, tries, slopes)
        failed = any(c.verdict is Verdict.FAIL for c in result.comparisons)
        if (failed and self.settings.narrow_down) or self.settings.elements:
            self._elements(array, result, kinked)
        self._pick_worst(result)
        return result

    def _comparison(self, array: int, direction: Direction, slopes: Slopes, b: int) -> Comparison | None:
        gradients = [gradients[array] for gradients in self.gradients]
        return compare(gradients, self.spread[array], direction, slopes, b)

    def _judge(self, array: int, result: ArrayResult, tries: list[Direction], slopes: Slopes) -> None:
        """The verdict over all comparisons, and the negative control on the same numbers."""
        verdicts = [c.verdict for c in result.comparisons]
        if Verdict.FAIL in verdicts:
            result.verdict = Verdict.FAIL
        elif Verdict.PASS not in verdicts:
            result.verdict = Verdict.UNRESOLVED
            if not result.note:
                result.note = "no slope could be found exactly enough along any direction tried"
        result.control_rejected = control_is_rejected(self.gradients[0][array], tries, slopes, self.rng)
        if result.verdict is Verdict.PASS and result.control_rejected is False:
            result.verdict = Verdict.UNRESOLVED
            result.note = "a deliberately wrong gradient was not rejected: the check is blind here"

    # ---- corners

    def _corners(self, array: int, kinked: np.ndarray, result: ArrayResult) -> list[Comparison]:
        """Tied elements together, then each element between its one-sided slopes."""
        value = self.subject.values[array]
        found: list[Comparison] = []
        joint, single = tie_directions(value, kinked, self.rng, self.settings.directions)
        slopes = self.prober.slopes(array, joint)
        if slopes.kinked.any():  # some value is on a corner that moving together does not avoid: a ReLU at 0
            joint = [
                direction
                for direction in single
                if direction.indices is not None and len(direction.indices) > 1
            ]
            joint = joint[: 4 * BOUND_TESTS]
            slopes = self.prober.slopes(array, joint) if joint else _none(self.prober)
        for b, direction in enumerate(joint):
            comparison = None if slopes.kinked[b] else self._comparison(array, direction, slopes, b)
            if comparison is not None and comparison.verdict is not Verdict.UNRESOLVED:
                found.append(comparison)
        chosen = (
            kinked
            if len(kinked) <= BOUND_TESTS
            else np.sort(self.rng.choice(kinked, BOUND_TESTS, replace=False))
        )
        outside = [c for index in chosen if (c := self._outside(array, int(index))) is not None]
        found += outside
        result.note = (
            f"{len(kinked)} of {value.size} elements lie on a corner (a ReLU at 0, equal maxima): tied elements were "
            "moved together, and alone each may lie anywhere between its two one-sided slopes"
        )
        if any(c.verdict is Verdict.UNRESOLVED for c in outside):
            result.note += (
                "; some lie outside, which this code, if it is made of several operations, may do rightly"
            )
        return found

    def _outside(self, array: int, index: int) -> Comparison | None:
        """The comparison of an element outside its one-sided slopes; None for one inside."""
        low, high, error = one_sided_bounds(self.prober, array, index, self.prober.cotangents[0])
        analytic = float(self.gradients[0][array].reshape(-1)[index])
        nearest = min(max(analytic, low), high)
        if abs(analytic - nearest) <= error + 16 * EPS * abs(analytic):
            return None
        sure = self.subject.knows_active_set and not self.subject.composite
        place = tuple(int(i) for i in np.unravel_index(index, self.subject.values[array].shape))
        verdict = Verdict.FAIL if sure else Verdict.UNRESOLVED
        return Comparison(analytic, nearest, error, verdict, "corner", place)

    # ---- element by element

    def _elements(self, array: int, result: ArrayResult, kinked: np.ndarray) -> None:
        """Every element (of the part that disagrees, if the array is large)."""
        value = self.subject.values[array]
        indices = np.setdiff1d(np.arange(value.size), kinked)
        if len(indices) > self.settings.element_limit:
            indices = self._narrow(array, indices)
        result.analytic = self.gradients[0][array].copy()
        result.numeric = np.full(value.shape, np.nan)
        result.tested_elements = len(indices)
        directions = element_directions(indices)
        slopes = self.prober.slopes(array, directions, corners=False)  # those on one are left out
        self.element_slopes[array] = (indices, slopes)
        limit = np.max(np.abs(result.analytic), initial=0.0) * 16 * EPS
        for b, direction in enumerate(directions):
            if slopes.kinked[b] or not np.isfinite(slopes.error[b]):
                continue
            result.numeric.reshape(-1)[indices[b]] = slopes.value[b, 0]
            comparison = self._comparison(array, direction, slopes, b)
            if comparison is None or comparison.difference <= limit:
                continue
            if comparison.verdict is Verdict.FAIL:
                result.wrong_elements += 1
                result.comparisons.append(comparison)
                result.verdict = Verdict.FAIL

    def _narrow(self, array: int, indices: np.ndarray) -> np.ndarray:
        """The part of a large array that disagrees most, by halving."""
        while len(indices) > self.settings.element_limit:
            parts = np.array_split(indices, 4)
            directions = [Direction(random_entries((len(part),), self.rng), part) for part in parts]
            slopes = self.prober.slopes(array, directions)
            off = [
                abs(direction.dot(self.gradients[0][array]) - slopes.value[b, 0])
                / (slopes.error[b] + direction.rounding(self.gradients[0][array]))
                for b, direction in enumerate(directions)
            ]
            indices = parts[int(np.argmax(np.nan_to_num(off, nan=0.0)))]
        return indices

    def _pick_worst(self, result: ArrayResult) -> None:
        """What the table shows: the wrong element that is furthest off, or else the largest ratio."""
        if not result.comparisons:
            return
        failed = [c for c in result.comparisons if c.verdict is Verdict.FAIL]
        elements = [c for c in failed if c.index is not None]
        if elements:
            result.worst = max(elements, key=lambda c: c.difference)
        else:
            result.worst = max(failed or result.comparisons, key=lambda c: c.ratio)


def _none(prober: Prober) -> Slopes:
    empty = np.empty(0)
    return Slopes(np.empty((0, len(prober.cotangents))), empty, np.empty(0, dtype=bool), empty)

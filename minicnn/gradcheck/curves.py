"""The error of a difference against its step, along one direction of a checked array."""

from __future__ import annotations

import numpy as np

from minicnn.gradcheck.directions import Direction, first_step
from minicnn.gradcheck.report import Curve
from minicnn.gradcheck.slopes import Prober


def error_curve(prober: Prober, array: int, direction: Direction, gradient: np.ndarray, name: str) -> Curve:
    """|central difference − analytic| and |one tableau step − analytic| for 40 halvings of the step.

    With a right gradient the first is a V: h² from the left, rounding noise / h from the right.
    With a wrong one it flattens out at the size of the mistake.
    """
    step = first_step(prober.subject.values[array]) * 4
    analytic = direction.dot(gradient)
    steps = step / 2.0 ** np.arange(40)
    central = np.array([_central(prober, array, direction, h) for h in steps])
    richardson = np.append((4 * central[1:] - central[:-1]) / 3, np.nan)
    slopes = prober.slopes(array, [direction])
    prober.subject.begin()
    return Curve(
        steps=steps,
        central=np.abs(central - analytic),
        richardson=np.abs(richardson - analytic),
        analytic=analytic,
        bound=float(slopes.error[0]) + direction.rounding(gradient),
        label=f"{name}, {direction.label}",
    )


def _central(prober: Prober, array: int, direction: Direction, step: float) -> float:
    plus, _ = prober.phi(array, [direction], step)
    minus, _ = prober.phi(array, [direction], -step)
    return float((plus[0, 0] - minus[0, 0]) / (2 * step))

"""Experiments on difference rules: the V-curve of error against step.

    forward      (φ(h) − φ(0)) / h                       error c₁ h   + noise / h
    central      (φ(h) − φ(−h)) / 2h                     error c₂ h²  + noise / h
    richardson   the central one at h, h/2, h/4 combined error c₆ h⁶  + noise / h
    complex      Im φ(ih) / h                            error c₂ h²,  and no noise: nothing cancels

Source of the complex step: Squire and Trapp 1998, "Using complex variables to estimate
derivatives of real functions". It needs a function that is analytic: max, abs and ReLU are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import ConfigError, DTypeError, nearest
from minicnn.gradcheck.directions import first_step, random_entries
from minicnn.gradcheck.richardson import EPS, Tableau

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS = ("forward", "central", "complex", "richardson")
Function = Callable[[Any], Any]


@dataclass
class Sweep:
    """errors[method, dtype] is the relative error at each of `steps`; NaN where a rule failed."""

    steps: np.ndarray
    errors: dict[tuple[str, str], np.ndarray]
    exact: float

    def best(self, method: str, dtype: str) -> tuple[float, float]:
        """(step, relative error) where the rule is most exact; NaN if it never worked."""
        errors = self.errors[method, dtype]
        if np.all(np.isnan(errors)):
            return float("nan"), float("nan")
        index = int(np.nanargmin(errors))
        return float(self.steps[index]), float(errors[index])

    def to_dict(self) -> dict[str, Any]:
        return {
            "exact": self.exact,
            "steps": self.steps.tolist(),
            "errors": {
                f"{method} {dtype}": [None if np.isnan(e) else float(e) for e in errors]
                for (method, dtype), errors in self.errors.items()
            },
        }

    def plot(self) -> Figure:
        """One panel per precision, one curve per rule."""
        from minicnn.gradcheck.figures import sweep_figure

        return sweep_figure(self)


def step_sweep(
    f: Function,
    x: Any,
    methods: Sequence[str] = METHODS,
    dtypes: Sequence[str] = ("float64", "float32"),
    *,
    steps: np.ndarray | None = None,
    exact: float | None = None,
    rng: np.random.Generator | int = 0,
) -> Sweep:
    """The error of the slope of φ(t) = <v, f(x + t u)> at 0 by each rule, at each step.

    f: a function of one array, or of a number; u and v are random. exact: the true slope if it is
    known (needed at a corner); otherwise the complex step in float64 gives it or, for a function
    that does not take complex numbers, the best entry of a Richardson tableau.
    """
    for method in methods:
        if method not in METHODS:
            raise ConfigError(f"unknown difference rule {method!r}: {nearest(method, METHODS)}")
    x = np.asarray(x)
    if x.dtype.kind != "f":
        raise DTypeError(f"x holds {x.dtype} values: pass x.astype(numpy.float64)")
    rng = np.random.default_rng(rng)
    u = random_entries(x.shape, rng) if x.ndim else np.ones(())
    v = random_entries(np.shape(f(x.astype(np.float64))), rng)
    v = v if v.ndim else np.ones(())
    steps = np.logspace(0, -16, 97) if steps is None else np.asarray(steps, dtype=np.float64)
    exact = _exact(f, x, u, v) if exact is None else float(exact)
    errors = {
        (method, dtype): np.array([_error(method, f, x, u, v, h, np.dtype(dtype), exact) for h in steps])
        for dtype in dtypes
        for method in methods
    }
    return Sweep(steps, errors, exact)


def _error(
    method: str,
    f: Function,
    x: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    step: float,
    dtype: np.dtype,
    exact: float,
) -> float:
    x, u, v = x.astype(dtype), u.astype(dtype), v.astype(dtype)
    h = dtype.type(step)
    with np.errstate(all="ignore"):
        slope = _slope(method, f, x, u, v, h)
    return (
        float("nan")
        if slope is None or not np.isfinite(slope)
        else abs(float(slope) - exact) / (abs(exact) or 1.0)
    )


def _slope(method: str, f: Function, x: np.ndarray, u: np.ndarray, v: np.ndarray, h: Any) -> Any:
    if method == "forward":
        return np.sum(v * (f(x + h * u) - f(x))) / h
    if method == "central":
        return np.sum(v * (f(x + h * u) - f(x - h * u))) / (2 * h)
    if method == "richardson":
        centrals = [_slope("central", f, x, u, v, h / 2**k) for k in range(3)]
        once = [(4 * centrals[k + 1] - centrals[k]) / 3 for k in range(2)]
        return (16 * once[1] - once[0]) / 15
    imaginary = np.complex64(1j) if x.dtype == np.float32 else np.complex128(1j)
    try:
        y = np.asarray(f(x + imaginary * (h * u)))
    except TypeError:
        return None
    return np.sum(v * y.imag) / h if np.iscomplexobj(y) else None


def _exact(f: Function, x: np.ndarray, u: np.ndarray, v: np.ndarray) -> float:
    x = x.astype(np.float64)

    def phi(t: float) -> np.ndarray:
        return np.array([[np.sum(v * (f(x + t * u) - f(x)))]])

    tableau = Tableau(np.array([16 * EPS * np.sum(np.abs(v * f(x)))]))
    step = first_step(x)
    for level in range(10):
        h = step / 2**level
        tableau.add(h, phi(h) - phi(-h))
    best, error = float(tableau.value[0, 0]), float(tableau.error[0])
    with np.errstate(all="ignore"):
        by_complex = _slope("complex", f, x, u, v, 1e-30)
    # Of a function that is not analytic the complex step gives something else altogether.
    if by_complex is not None and abs(by_complex - best) <= 10 * error + 1e-7 * abs(best):
        return float(by_complex)
    return best

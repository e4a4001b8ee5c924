"""float32 code is checked through a float64 copy; here the two are compared.

Differences of float32 values are too noisy to check a gradient by: at best three digits are
left. So the copy in float64 is checked, and the float32 path has only to agree with it, to as
many digits as its own rounding leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicnn.backend import to_numpy
from minicnn.gradcheck.directions import typical_scale
from minicnn.gradcheck.report import Finding, Verdict
from minicnn.gradcheck.subject import BadOutput, CodeRaised, Subject, as_output, same_active

if TYPE_CHECKING:
    from minicnn.gradcheck.engine import Examination

EPS32 = float(np.finfo(np.float32).eps)
FLOOR = 1e3 * EPS32  # agreement demanded of every path, of the largest element: about 1e-4


def float32_findings(single: Subject, examination: Examination) -> list[Finding]:
    """Broken rules of the float32 path; `single` is the subject in its own precision."""
    if not examination.gradients:
        return []
    double = examination.subject
    try:
        return _compare(single, double, examination)
    except (CodeRaised, BadOutput) as raised:
        return [Finding("float32 fails", f"with the float32 arrays as given {raised}", Verdict.FAIL)]


def _compare(single: Subject, double: Subject, examination: Examination) -> list[Finding]:
    single.begin()
    token, y = single.forward([value.copy() for value in single.values])
    y = as_output(y)
    findings = []
    all_single = all(value.dtype == np.float32 for value in single.values)
    if all_single and y.dtype != np.float32:
        findings.append(_dtype("the output", y.dtype, "forward"))
    active = single.active()
    dy = np.random.default_rng(0).standard_normal(y.shape).astype(y.dtype)
    gradients = [
        np.zeros_like(value) if gradient is None else to_numpy(gradient)
        for value, gradient in zip(single.values, single.backward(token, dy))
    ]
    for name, value, gradient in zip(single.names, single.values, gradients):
        if all_single and gradient.dtype != value.dtype:
            findings.append(_dtype(f"the gradient of {name}", gradient.dtype, "backward"))
    here = [np.asarray(value, dtype=np.float64) for value in single.values]
    moved, double.values = double.values, here
    try:
        y64, active64 = double.run(double.values)
        gradients64 = double.gradients(dy.astype(y64.dtype))
        noise = _conditioning(double, dy, gradients64)
    finally:
        double.values = moved
    if not same_active(active, active64):
        return findings  # rounding put an activation on the other side of its corner: another function
    scales = [typical_scale(value) for value in single.values]
    # What an array moves the output by: a gradient that is 0 by cancellation (a bias before batch
    # norm) is the rest of terms of about this size, and rounded as they are.
    moved_by = max(float(np.max(np.abs(g), initial=0.0)) * scale for g, scale in zip(gradients64, scales))
    for name, g32, g64, spread, scale in zip(single.names, gradients, gradients64, noise, scales):
        size = np.max(np.abs(g64), initial=0.0)
        allowed = FLOOR * size + 64 * EPS32 * moved_by / scale + 16 * spread + 1e-30
        off = np.max(np.abs(g32.astype(np.float64) - g64), initial=0.0)
        if off > allowed:
            # Code that does not tell its active set may have crossed a corner.
            sure = double.knows_active_set or (off > 0.5 * size and spread < 1e-2 * size)
            findings.append(
                Finding(
                    "float32 differs",
                    f"in float32 the gradient of {name} differs by {off:.2g} from that in float64, "
                    f"where {allowed:.2g} can be explained by rounding",
                    Verdict.FAIL if sure else Verdict.UNRESOLVED,
                )
            )
    return findings


def _conditioning(double: Subject, dy: np.ndarray, gradients: list[np.ndarray]) -> list[float]:
    """How far each gradient moves when the last float32 bits of all arrays change."""
    rng = np.random.default_rng(1)
    here = double.values
    try:
        double.values = [value + EPS32 * np.abs(value) * rng.uniform(-1, 1, value.shape) for value in here]
        moved = double.gradients(dy.astype(np.float64))
    finally:
        double.values = here
    return [float(np.max(np.abs(a - b), initial=0.0)) for a, b in zip(moved, gradients)]


def _dtype(what: str, dtype: np.dtype, stage: str) -> Finding:
    return Finding(
        "dtype changed",
        f"float32 arrays went in and {what} came out as {dtype}: {stage} should keep the precision it is given "
        "(a float64 constant array or numpy's default dtype is the usual reason)",
    )

"""What backward hands back, before its numbers are looked at: is it there, and of the right kind and shape?"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.backend import to_numpy
from minicnn.gradcheck.closeness import close, count_bad
from minicnn.gradcheck.directions import random_entries, typical_scale
from minicnn.gradcheck.report import Finding
from minicnn.gradcheck.subject import BadOutput, CodeRaised, Subject


def well_formed(subject: Subject, raw: list[Any], y_shape: tuple[int, ...], findings: list[Finding]) -> bool:
    """Whether every gradient that is there is a finite array of floats of its array's shape."""
    valid = True
    for name, value, gradient in zip(subject.names, subject.values, raw):
        kind, text = "", ""
        if gradient is None:
            continue
        if not hasattr(gradient, "shape") and not np.isscalar(gradient):
            kind = "wrong type"
            text = f"the gradient of {name} is a {type(gradient).__name__}; it must be an array of shape {value.shape}"
        elif np.shape(gradient) != value.shape:
            kind = "wrong shape"
            text = (
                f"the gradient of {name} has shape {np.shape(gradient)}; {name} itself has shape {value.shape}, "
                f"and its gradient must have the same{_shape_hint(np.shape(gradient), value.shape, y_shape)}"
            )
        elif to_numpy(gradient).dtype.kind != "f":
            kind = "wrong type"
            text = (
                f"the gradient of {name} holds {to_numpy(gradient).dtype} values; it must be floating point"
            )
        elif not np.all(np.isfinite(to_numpy(gradient))):
            kind = "non-finite gradient"
            text = (
                f"the gradient of {name} contains {count_bad(to_numpy(gradient))} although the output is finite: "
                "look for a division by zero or a power of zero"
            )
        if kind:
            findings.append(Finding(kind, text))
            valid = False
    return valid


def complete(
    subject: Subject, raw: list[Any], y: np.ndarray, findings: list[Finding], rng: np.random.Generator
) -> bool:
    """Whether there is a gradient for all that the output depends on."""
    absent = [array for array, gradient in enumerate(raw) if gradient is None]
    missing = [array for array in absent if _is_used(subject, array, y, rng)]
    for array in missing:
        text = f"backward gives no gradient for {subject.names[array]} (None): return or store one"
        findings.append(Finding("missing gradient", text))
    unused = [subject.names[array] for array in absent if array not in missing]
    if unused:
        text = f"backward gives no gradient for {', '.join(unused)}, and need not: nothing here depends on it"
        findings.append(Finding("unused", text, None))
    return not missing


def _is_used(subject: Subject, array: int, y: np.ndarray, rng: np.random.Generator) -> bool:
    """Whether the output changes with an array: it does not with an auxiliary head that evaluation passes by."""
    value = subject.values[array]
    moved = value + typical_scale(value) * random_entries(value.shape, rng)
    try:
        return not close(subject.run(subject.with_value(array, moved)).y, y)
    except (CodeRaised, BadOutput):
        return True


def _shape_hint(given: tuple[int, ...], wanted: tuple[int, ...], y_shape: tuple[int, ...]) -> str:
    if given == wanted[::-1] and len(wanted) == 2:
        return ": it looks transposed"
    if given == y_shape and len(wanted) < len(given):
        return ": it looks like dy itself, not summed over the axes along which forward broadcast the array"
    if (
        len(given) == len(wanted) == 4
        and given[:2] == wanted[:2]
        and all(g > w for g, w in zip(given[2:], wanted[2:]))
    ):
        return ": the padding that forward added must be cropped away again"
    if len(given) == len(wanted) + 1 and given[1:] == wanted:
        return ": it still has a batch axis, over which it must be summed"
    return ""

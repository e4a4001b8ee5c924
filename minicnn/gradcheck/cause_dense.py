"""Linear maps and concatenations: recognised by what they compute; then known mistakes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minicnn.gradcheck.evidence import Evidence, Mistake, Suspects


def linear_suspects(evidence: Evidence) -> Suspects | None:
    """y = x Wᵀ + b, or y = x W + b."""
    x, y, v, others = evidence.values[0], evidence.y, evidence.v, evidence.values[1:]
    weight = next((a for a in others if a.ndim == 2), None)
    if x.ndim != 2 or y.ndim != 2 or weight is None or len(others) > 2:
        return None
    bias = next((a for a in others if a.ndim == 1 and a.shape == y.shape[1:]), np.zeros(y.shape[1]))
    fitting = [
        (matrix, transposed)
        for matrix, transposed in ((weight.T, True), (weight, False))
        if matrix.shape == (x.shape[1], y.shape[1]) and _close(x @ matrix + bias, y)
    ]
    if not fitting:
        return None
    matrix, transposed = fitting[0]
    if evidence.index == 0:
        return Suspects(v @ matrix.T, _of_input(v, matrix))
    if evidence.value.ndim == 2:
        right = x.T @ v
        return Suspects(right.T if transposed else right, _of_weight(right.T if transposed else right, x, v))
    return Suspects(v.sum(axis=0), [])


def _of_input(v: np.ndarray, matrix: np.ndarray) -> Iterator[Mistake]:
    if matrix.shape[0] == matrix.shape[1]:
        yield Mistake(
            "the weight is transposed (or not transposed) once too often in dx: forward multiplies by the matrix, "
            "backward by its transpose",
            v @ matrix,
        )


def _of_weight(right: np.ndarray, x: np.ndarray, v: np.ndarray) -> Iterator[Mistake]:
    if right.shape[0] == right.shape[1]:
        yield Mistake(
            "the gradient is transposed: rows and columns are exchanged (dyᵀ x against xᵀ dy)", right.T
        )
    for which, n in (("first", 0), ("last", len(x) - 1)):
        if len(x) > 1:
            outer = np.outer(v[n], x[n])
            outer = outer if outer.shape == right.shape else outer.T
            yield Mistake(f"only the {which} sample of the batch contributes: sum over all of them", outer)


def concat_suspects(evidence: Evidence) -> Suspects | None:
    """y = the arrays joined along one axis."""
    parts, y, v = evidence.values, evidence.y, evidence.v
    if len(parts) < 2 or any(a.ndim != y.ndim or y.ndim == 0 for a in parts):
        return None
    axes = [axis for axis in range(y.ndim) if _is_joined(parts, y, axis)]
    if not axes:
        return None
    axis = axes[0]
    start = sum(a.shape[axis] for a in parts[: evidence.index])
    length = evidence.value.shape[axis]
    right = np.take(v, range(start, start + length), axis=axis)
    sentence = (
        "dy is split at the wrong places: each part of a concatenation gets exactly the channels that it "
        f"contributed; for {evidence.name} these are {start} to {start + length - 1} of axis {axis}"
    )
    others = (
        Mistake(sentence, np.take(v, range(wrong, wrong + length), axis=axis))
        for wrong in range(y.shape[axis] - length + 1)
        if wrong != start
    )
    return Suspects(right, others)


def _is_joined(parts: list[np.ndarray], y: np.ndarray, axis: int) -> bool:
    others = {a.shape[:axis] + a.shape[axis + 1 :] for a in (*parts, y)}
    fits = len(others) == 1 and sum(a.shape[axis] for a in parts) == y.shape[axis]
    return fits and np.array_equal(np.concatenate(parts, axis=axis), y)


def _close(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.max(np.abs(one - other), initial=0) <= 1e-9 * np.max(np.abs(other), initial=1e-300))

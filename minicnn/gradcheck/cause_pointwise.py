"""Activations, dropout and softmax: recognised from values alone; then known mistakes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from minicnn.gradcheck.evidence import Evidence, Mistake, Suspects

_erf = np.vectorize(math.erf, otypes=[np.float64])
_C = math.sqrt(2 / math.pi)


def pointwise_suspects(evidence: Evidence) -> Suspects | None:
    """The right gradient of an activation, of dropout or of softmax, and its mistakes."""
    if len(evidence.values) != 1 or evidence.values[0].shape != evidence.y.shape:
        return None
    x, y, v = evidence.values[0], evidence.y, evidence.v
    with np.errstate(all="ignore"):
        for recognise in (_relu, _leaky_relu, _sigmoid, _tanh, _gelu, _softmax, _log_softmax, _dropout):
            suspects = recognise(x, y, v, evidence.analytic)
            if suspects is not None:
                return suspects
    return None


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.max(np.abs(one - other), initial=0) <= 1e-9 * np.max(np.abs(other), initial=1e-300))


def _relu(x: np.ndarray, y: np.ndarray, v: np.ndarray, a: np.ndarray) -> Suspects | None:
    if not _same(np.maximum(x, 0), y):
        return None
    return Suspects(v * (x > 0), _of_relu(x, v))


def _of_relu(x: np.ndarray, v: np.ndarray) -> Iterator[Mistake]:
    by_dy = "dy is masked by its own sign (dy > 0): the mask must come from the input of forward (x > 0)"
    yield Mistake(by_dy, v * (v > 0))
    yield Mistake(by_dy, v * (v > 0) * (x > 0))
    yield Mistake("the mask is not applied: where x <= 0 the output is constant, and dx must be 0", v.copy())
    yield Mistake("the mask is the wrong way round: dx is dy where x > 0, not where x < 0", v * (x < 0))
    yield Mistake("this is dx = dy * y: the derivative of ReLU is 1 where x > 0, not x", v * np.maximum(x, 0))


def _leaky_relu(x: np.ndarray, y: np.ndarray, v: np.ndarray, a: np.ndarray) -> Suspects | None:
    negative = x < 0
    if not negative.any() or not (x > 0).any():
        return None
    slope = float(np.median(y[negative] / x[negative]))
    if slope in (0.0, 1.0) or not _same(np.where(negative, slope * x, x), y):
        return None
    mistakes = [
        Mistake(
            "the mask comes from dy; it must come from the input of forward", v * np.where(v > 0, 1, slope)
        ),
        Mistake(f"the slope {slope:g} for negative inputs is left out: dx is 0 there", v * (x > 0)),
        Mistake(f"the slope {slope:g} for negative inputs is left out: dx is dy there", v.copy()),
        Mistake("the slope has the wrong sign for negative inputs", v * np.where(negative, -slope, 1)),
    ]
    return Suspects(v * np.where(negative, slope, 1), mistakes)


def _sigmoid(x: np.ndarray, y: np.ndarray, v: np.ndarray, a: np.ndarray) -> Suspects | None:
    def sigmoid(t: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-t))

    if not _same(sigmoid(x), y):
        return None
    again = sigmoid(y)
    mistakes = [
        Mistake("the derivative is taken from x instead of the output: dx = dy y (1 − y)", v * x * (1 - x)),
        Mistake("the factor (1 − y) is missing: dx = dy y (1 − y)", v * y),
        Mistake("the factor y is missing: dx = dy y (1 − y)", v * (1 - y)),
        Mistake(
            "the sigmoid is applied a second time to the output: dx = dy y (1 − y)", v * again * (1 - again)
        ),
    ]
    return Suspects(v * y * (1 - y), mistakes)


def _tanh(x: np.ndarray, y: np.ndarray, v: np.ndarray, a: np.ndarray) -> Suspects | None:
    if not _same(np.tanh(x), y):
        return None
    mistakes = [
        Mistake("the derivative is taken from x instead of the output: dx = dy (1 − y²)", v * (1 - x**2)),
        Mistake("y is not squared: dx = dy (1 − y²)", v * (1 - y)),
        Mistake(
            "the tanh is applied a second time to the output: dx = dy (1 − y²)", v * (1 - np.tanh(y) ** 2)
        ),
    ]
    return Suspects(v * (1 - y**2), mistakes)


def _gelu(x: np.ndarray, y: np.ndarray, v: np.ndarray, a: np.ndarray) -> Suspects | None:
    phi = 0.5 * (1 + _erf(x / math.sqrt(2)))
    exact = phi + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    t = np.tanh(_C * (x + 0.044715 * x**3))
    by_tanh = 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * _C * (1 + 3 * 0.044715 * x**2)
    gate = 1 / (1 + np.exp(-1.702 * x))
    by_sigmoid = gate + x * 1.702 * gate * (1 - gate)
    forms = {
        "the exact one with erf": (x * phi, exact, phi),
        "the tanh approximation": (0.5 * x * (1 + t), by_tanh, 0.5 * (1 + t)),
        "the sigmoid approximation": (x * gate, by_sigmoid, gate),
    }
    name = next((name for name, (forward, _, _) in forms.items() if _same(forward, y)), None)
    if name is None:
        return None
    _, derivative, bare = forms[name]
    mistakes = [
        Mistake(
            f"forward and backward use different formulas of GELU: forward is {name}, and this is the derivative of "
            f"{other}",
            v * forms[other][1],
        )
        for other in forms
        if other != name
    ]
    mistakes.append(
        Mistake("the product rule is cut short: x times the derivative of the gate is missing", v * bare)
    )
    return Suspects(v * derivative, mistakes)


def _dropout(x: np.ndarray, y: np.ndarray, v: np.ndarray, a: np.ndarray) -> Suspects | None:
    known = x != 0
    ratio = np.where(known, y / np.where(known, x, 1), 0)
    kept = ratio != 0
    if not kept.any() or not (~kept & known).any():
        return None
    scale = float(np.median(ratio[kept]))
    if scale < 1 or not _same(ratio, scale * kept):
        return None
    return Suspects(v * scale * kept, _of_dropout(v, a, kept, scale))


def _of_dropout(v: np.ndarray, a: np.ndarray, kept: np.ndarray, scale: float) -> Iterator[Mistake]:
    no_mask = "the mask is not applied: dx must be 0 where forward dropped the value"
    yield Mistake(no_mask, v.copy())
    if scale != 1:
        yield Mistake(no_mask, v * scale)
        yield Mistake(
            f"the scale 1 / (1 − p) = {scale:g} is left out: what forward scales, backward scales too",
            v * kept,
        )
    # Another mask: dx is dy times 0 or the scale, but not where forward dropped.
    given = a / v
    other = np.abs(given - scale) < 1e-9
    if np.all(other | (given == 0)) and other.any() and not other.all() and np.any(other != kept):
        yield Mistake(
            "another mask than in forward: it is drawn again in backward; keep the mask of forward in the cache",
            v * scale * other,
        )


def _softmax(x: np.ndarray, y: np.ndarray, v: np.ndarray, a: np.ndarray) -> Suspects | None:
    return _along_axes(x, y, np.exp, lambda axis: _of_softmax(y, v, axis))


def _log_softmax(x: np.ndarray, y: np.ndarray, v: np.ndarray, a: np.ndarray) -> Suspects | None:
    return _along_axes(x, y, lambda t: t, lambda axis: _of_log_softmax(y, v, axis))


def _along_axes(
    x: np.ndarray, y: np.ndarray, link: Callable[[np.ndarray], np.ndarray], build: Callable[[int], Suspects]
) -> Suspects | None:
    """`build` for the axis along which y = link(log softmax(x))."""
    for axis in range(x.ndim):
        if x.shape[axis] < 2:
            continue
        shifted = x - x.max(axis=axis, keepdims=True)
        if _same(link(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))), y):
            return build(axis)
    return None


def _of_softmax(y: np.ndarray, v: np.ndarray, axis: int) -> Suspects:
    inner = (v * y).sum(axis=axis, keepdims=True)
    mistakes = [
        Mistake(
            "only the diagonal of the Jacobian is used, dy y (1 − y): every output depends on every input, "
            "dx = y (dy − Σ dy y)",
            v * y * (1 - y),
        ),
        Mistake("the sum is missing: dx = y (dy − Σ dy y)", v * y),
        Mistake("the factor y in front is missing: dx = y (dy − Σ dy y)", v - inner),
    ]
    mistakes += [
        Mistake(
            f"the sum runs along axis {other}, but the softmax along axis {axis}",
            y * (v - (v * y).sum(axis=other, keepdims=True)),
        )
        for other in range(y.ndim)
        if other != axis
    ]
    return Suspects(y * (v - inner), mistakes)


def _of_log_softmax(y: np.ndarray, v: np.ndarray, axis: int) -> Suspects:
    p = np.exp(y)
    mistakes = [
        Mistake("dy is not summed: dx = dy − softmax(x) Σ dy", v - p * v),
        Mistake("only dy − softmax(x): the sum of dy is taken to be 1, as for a one-hot dy", v - p),
        Mistake("the term through the normalisation is missing: dx = dy − softmax(x) Σ dy", v.copy()),
    ]
    return Suspects(v - p * v.sum(axis=axis, keepdims=True), mistakes)

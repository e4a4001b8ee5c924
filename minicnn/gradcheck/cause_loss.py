"""Losses: softmax cross entropy and mean squared error, recognised from their right gradient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minicnn.gradcheck.evidence import Evidence, Mistake, Suspects


def loss_suspects(evidence: Evidence) -> Suspects | None:
    """The right gradient of a loss with one number as output, and its mistakes."""
    if evidence.y.size != 1:
        return None
    v = float(evidence.v.reshape(-1)[0])
    if len(evidence.values) == 2 and evidence.values[0].shape == evidence.values[1].shape:
        return _squared_error(evidence, v)
    if len(evidence.values) == 1 and evidence.value.ndim == 2:
        return _cross_entropy(evidence, v)
    return None


def _cross_entropy(evidence: Evidence, v: float) -> Suspects | None:
    """The labels need not be known: numeric = v (softmax − target) / N gives them away."""
    logits, numeric = evidence.value, evidence.numeric
    samples, classes = logits.shape
    if classes < 2 or v == 0 or not np.all(np.isfinite(numeric)):
        return None
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = shifted / shifted.sum(axis=1, keepdims=True)
    for divisor in (samples, 1):
        target = p - numeric * divisor / v
        labels = target.argmax(axis=1)
        hot = np.eye(classes)[labels]
        smoothing = float(np.mean(target[hot == 0])) * classes
        ideal = (1 - smoothing) * hot + smoothing / classes
        off = float(np.max(np.abs(target - ideal)))
        if smoothing < -1e-6 or smoothing > 0.99 or off > 1e-3:
            continue
        if off <= 1e-9 or np.max(np.abs(target - ideal) / (np.abs(target) + 1e-3)) <= 1e-8:
            smoothing = max(0.0, round(smoothing, 9))
            exact = (1 - smoothing) * hot + smoothing / classes
            return Suspects(
                v * (p - exact) / divisor, _of_cross_entropy(p, hot, exact, v, divisor, smoothing)
            )
        guarded = _guarded(evidence, p, hot, v, divisor)
        if guarded is not None:
            return guarded
    return None


def _of_cross_entropy(
    p: np.ndarray, hot: np.ndarray, target: np.ndarray, v: float, divisor: int, smoothing: float
) -> Iterator[Mistake]:
    samples, classes = p.shape
    right = v * (p - target) / divisor
    factors = {
        "the gradient is not divided by the batch size N, though the loss is the mean over the batch": divisor,
        "the gradient is divided by the number of classes instead of the batch size": divisor / classes,
        "the gradient is divided by the batch size and by the number of classes": 1 / classes,
    }
    if divisor == 1:
        factors = {
            "the gradient is divided by the batch size, but the loss is a sum over the batch": 1 / samples
        }
    for sentence, factor in factors.items():
        if _is_telling(factor):
            yield Mistake(sentence, right * factor)
    if smoothing > 0:
        yield Mistake(
            f"label smoothing is ignored: forward spreads {smoothing:g} of each target over all classes, and backward "
            "must subtract the same smoothed target from the probabilities",
            v * (p - hot) / divisor,
        )
    yield Mistake("the target is not subtracted: dlogits = (softmax − target) / N", v * p / divisor)
    yield Mistake(
        "only the element of the label gets a gradient: all logits enter the softmax, dlogits = (softmax − target) / N",
        right * hot,
    )
    yield Mistake(
        "only the diagonal of softmax's Jacobian is used: every probability depends on every logit",
        -v * hot * (1 - p) / divisor,
    )


def _is_telling(factor: float) -> bool:
    """Whether a wrong factor points to where it came from: twice or half may come from anywhere."""
    return factor not in (0.5, 1.0, 2.0)


def _guarded(evidence: Evidence, p: np.ndarray, hot: np.ndarray, v: float, divisor: int) -> Suspects | None:
    """forward computes log(p + ε): then the right gradient is (p − target) p / (p + ε) for the label's p."""
    plain = v * (p - hot) / divisor
    of_label = (p * hot).sum(axis=1, keepdims=True)
    shrink = (evidence.numeric * hot).sum(axis=1, keepdims=True) / (plain * hot).sum(axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        eps = of_label * (1 / shrink - 1)
    typical = float(np.median(eps))
    if not 0 < typical < 1e-2:
        return None
    guess = 10.0 ** round(np.log10(typical))
    right = plain * of_label / (of_label + guess)
    if not evidence.is_right(right) or np.max(np.abs(right - evidence.numeric)) > 0.1 * np.max(
        np.abs(right - plain)
    ):
        return None
    return Suspects(
        right,
        [
            Mistake(
                f"forward computes log(p + {guess:g}), but backward is that of log(p): drop the {guess:g} and compute "
                "log softmax directly, which needs none",
                plain,
            )
        ],
    )


def _squared_error(evidence: Evidence, v: float) -> Suspects | None:
    x, target = evidence.values
    difference = x - target if evidence.index == 0 else target - x
    for divisor in (x.size, len(x) if x.ndim else 1, 1):
        for factor in (2.0, 1.0):
            right = v * factor * difference / divisor
            if not evidence.is_right(right):
                continue
            mistakes = [Mistake("the sign is wrong: the difference is taken the wrong way round", -right)]
            if factor == 2.0:
                mistakes.append(Mistake("the factor 2 of the square's derivative is missing", right / 2))
            if divisor > 2:
                mistakes.append(
                    Mistake(
                        f"the gradient is not divided by {divisor}, over which the loss is a mean",
                        right * divisor,
                    )
                )
            return Suspects(right, mistakes)
    return None

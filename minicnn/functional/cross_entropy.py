"""Cross entropy between class scores and labels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import Array, get_xp
from minicnn.errors import ConfigError, LabelError, ShapeError
from minicnn.functional.check import check_float, check_upstream
from minicnn.functional.mse import check_reduction, reduce
from minicnn.functional.softmax import log_softmax_forward
from minicnn.kernels.choice import kernel_for
from minicnn.kernels.table import Logits


class CrossEntropyCache(NamedTuple):
    log_probs: Array  # (N, K, d...)
    labels: Array  # (N, d...), 0 where ignored
    ignored: Array  # (N, d...), True where the label is ignore_index
    weight: Array  # (K,), ones where none was given
    divisor: Array | float  # what the sum of losses was divided by: 1 unless reduction is "mean"
    reduction: str
    label_smoothing: float


def cross_entropy_forward(
    logits: Array,
    labels: Array,
    *,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> tuple[Array, CrossEntropyCache]:
    """The surprise -log p(label) under p = softmax(logits), weighted, smoothed and reduced.

    logits (N, K) and integer labels (N,), or logits (N, K, d1, ...) and labels (N, d1, ...).
    With class weights w, smoothing ε and log p = log_softmax(logits, dim=1), sample n loses

        ℓₙ = -Σₖ tₙₖ log pₙₖ,   tₙₖ = wₖ ((1 - ε) [k = labelₙ] + ε / K),

    and 0 where its label is ignore_index. "none" returns ℓ (N, d1, ...), "sum" Σ ℓ, and "mean"
    Σ ℓ / Σ w[labels], ignored samples left out of both: PyTorch's weighted mean. The mean over
    no samples (N = 0, or all ignored) is NaN, as in PyTorch; its gradient is 0.
    Smoothing: Szegedy et al. 2016, Rethinking the Inception architecture.
    """
    check_reduction("cross_entropy", reduction)
    label_smoothing = check_smoothing("cross_entropy", label_smoothing)
    check_float("cross_entropy", logits=logits)
    if weight is not None or not type(logits) is type(labels) is np.ndarray:
        get_xp(logits, labels, weight)  # raises where they lie on different devices
    plain = (
        weight is None and label_smoothing == 0 and reduction != "none" and _is_one_label_each(logits, labels)
    )
    if (kernel := kernel_for("cross_entropy", logits, Logits(logits.shape, plain))) and (
        done := kernel.forward(logits, labels, reduction)
    ):
        return done
    labels = check_labels(logits.shape, labels, ignore_index)
    weight = class_weights(get_xp(logits), weight, logits.shape[1], logits.dtype)
    return _definition(logits, labels, weight, ignore_index, reduction, label_smoothing)


@np.errstate(invalid="ignore")  # 0 · inf: the NaN that comes of it is the answer
def _definition(
    logits: Array, labels: Array, weight: Array, ignore_index: int, reduction: str, label_smoothing: float
) -> tuple[Array, CrossEntropyCache]:
    xp, classes = get_xp(logits), logits.shape[1]
    log_probs, _ = log_softmax_forward(logits, dim=1)
    ignored = labels == ignore_index
    labels = xp.where(ignored, 0, labels)
    losses = xp.take_along_axis(log_probs, labels[:, None], axis=1)[:, 0]
    losses = -(1 - label_smoothing) * weight[labels] * losses
    if label_smoothing > 0:
        losses -= label_smoothing / classes * xp.tensordot(log_probs, weight, axes=(1, 0))
    losses = xp.where(ignored, 0, losses)

    divisor: Array | float = 1.0
    if reduction == "mean":
        total_weight = xp.where(ignored, 0, weight[labels]).sum()
        divisor = xp.where(total_weight == 0, np.nan, total_weight)  # the mean of nothing is NaN
    cache = CrossEntropyCache(log_probs, labels, ignored, weight, divisor, reduction, label_smoothing)
    return reduce(losses, reduction, divisor), cache


def cross_entropy_backward(dy: Array, cache: CrossEntropyCache) -> Array:
    """dlogitsₙₖ = dyₙ (pₙₖ Σⱼ tₙⱼ - tₙₖ), for "mean" divided by Σ w[labels], 0 where ignored.

    Without weights Σⱼ tₙⱼ = 1 and what remains is p - t: probabilities minus targets.
    dy has the shape of the loss: () or, with reduction "none", (N, d1, ...).
    """
    if not isinstance(cache, CrossEntropyCache):  # a kernel's: it knows its own backward
        check_upstream("cross_entropy", dy, ())
        return cache.backward(dy)
    return _definition_backward(dy, cache)


@np.errstate(invalid="ignore")
def _definition_backward(dy: Array, cache: CrossEntropyCache) -> Array:
    log_probs, labels, ignored, weight, divisor, reduction, label_smoothing = cache
    xp = get_xp(log_probs)
    check_upstream("cross_entropy", dy, labels.shape if reduction == "none" else ())
    classes = log_probs.shape[1]
    over_classes = (classes,) + (1,) * (log_probs.ndim - 2)  # a (K,) array as (K, 1, ...)

    is_label = labels[:, None] == xp.arange(classes).reshape(over_classes)
    target = (1 - label_smoothing) * is_label.astype(weight.dtype) + label_smoothing / classes
    target *= weight.reshape(over_classes)
    dlogits = xp.exp(log_probs)
    dlogits *= target.sum(axis=1, keepdims=True)
    dlogits -= target
    upstream = xp.asarray(dy, dtype=log_probs.dtype) / divisor
    dlogits *= upstream[:, None] if reduction == "none" else upstream
    return xp.where(ignored[:, None], 0, dlogits)


def _is_one_label_each(logits: Array, labels: Any) -> bool:
    shape = getattr(labels, "shape", None)
    return shape == logits.shape[:1] and labels.dtype.kind in "iu"


def check_smoothing(who: str, label_smoothing: float) -> float:
    """label_smoothing as a Python float, which never upcasts an array; ConfigError outside 0 to 1."""
    if not 0.0 <= label_smoothing <= 1.0:
        raise ConfigError(f"{who}: label_smoothing must be from 0 to 1, got {label_smoothing}")
    return float(label_smoothing)


def check_labels(
    logits_shape: tuple[int, ...], labels: Any, ignore_index: int = -100, *, who: str = "cross_entropy"
) -> Array:
    """The labels as int64, checked against logits (N, K, d...): integers (N, d...) from 0 to K - 1."""
    xp = get_xp(labels)
    labels = xp.asarray(labels)
    if len(logits_shape) < 2:
        raise ShapeError(
            f"{who} expects logits (N, K), one row of K class scores per sample, got {logits_shape}: "
            "for a single sample use logits[None]"
        )
    expected = (logits_shape[0], *logits_shape[2:])
    classes = logits_shape[1]
    if labels.shape == logits_shape:
        raise LabelError(
            f"{who} expects one class number per sample, labels of shape {expected}, "
            f"got {labels.shape}: these look like one-hot labels; use labels.argmax(axis=1)"
        )
    if labels.shape != expected:
        if labels.size == np.prod(expected):
            advice = f"use labels.reshape({', '.join(map(str, expected))})"
        else:
            advice = "check that images and labels come from the same batch"
        raise LabelError(
            f"{who} got {logits_shape[0]} rows of logits, shape {logits_shape}, and labels of shape "
            f"{labels.shape} where {expected} is expected: {advice}"
        )
    if labels.dtype.kind not in "iu":
        raise LabelError(
            f"{who} expects integer labels, the numbers of the classes, got dtype {labels.dtype}: "
            "use labels.astype(np.int64)"
        )
    labels = labels.astype(np.int64)
    wrong = ((labels < 0) | (labels >= classes)) & (labels != ignore_index)
    if bool(wrong.any()):
        index = tuple(int(axis[0]) for axis in xp.nonzero(wrong))
        _refuse_label(int(labels[index]), index, classes, ignore_index)
    return labels


def _refuse_label(value: int, index: tuple[int, ...], classes: int, ignore_index: int) -> None:
    place = ", ".join(map(str, index))
    if value < 0:
        advice = f"a sample to leave out bears the label ignore_index = {ignore_index}"
    elif value == classes:
        advice = "labels start at 0; if yours start at 1, use labels - 1"
    else:
        advice = f"labels start at 0; {value + 1} or more classes need a last layer with as many outputs"
    raise LabelError(
        f"labels[{place}] is {value}, but logits for {classes} classes expect labels from 0 to {classes - 1}: "
        f"{advice}"
    )


def class_weights(xp: Any, weight: Any, classes: int, dtype: np.dtype) -> Array:
    """One weight per class, (K,) of the logits' dtype; ones for None."""
    if weight is None:
        return xp.ones(classes, dtype=dtype)
    weight = xp.asarray(weight, dtype=dtype)
    if weight.shape != (classes,):
        raise ShapeError(
            f"cross_entropy expects one weight per class, shape ({classes},) for these logits, "
            f"got {weight.shape}"
        )
    return weight

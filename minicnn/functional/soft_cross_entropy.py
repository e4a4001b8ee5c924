"""Cross entropy against shares of classes rather than one class: for mixup, cutmix and distillation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.backend import Array, get_xp
from minicnn.errors import ShapeError
from minicnn.functional.check import check_float, check_upstream
from minicnn.functional.cross_entropy import class_weights
from minicnn.functional.mse import check_reduction, reduce
from minicnn.functional.softmax import log_softmax_forward

Needs = tuple[bool, bool]


class SoftCrossEntropyCache(NamedTuple):
    log_probs: Array  # (N, K)
    target: Array  # (N, K)
    weight: Array  # (K,), ones where none was given
    divisor: float  # N for "mean", otherwise 1
    reduction: str


def soft_cross_entropy_forward(
    logits: Array, target: Array, *, weight: Array | None = None, reduction: str = "mean"
) -> tuple[Array, SoftCrossEntropyCache]:
    """ℓₙ = -Σₖ wₖ tₙₖ log pₙₖ,  p = softmax(logits).

    logits (N, K) and target (N, K) of one dtype, the shares of the classes, which usually sum to 1; weight (K,).
    "none" returns ℓ (N,), "sum" Σ ℓ, "mean" Σ ℓ / N: PyTorch's cross entropy with probabilities as targets.
    The mean over no samples is NaN.
    """
    check_reduction("soft_cross_entropy", reduction)
    check_float("soft_cross_entropy", logits=logits, target=target)
    if logits.ndim != 2 or logits.shape != target.shape:
        raise ShapeError(
            f"soft_cross_entropy expects logits and target of one shape (N, K), got {logits.shape} and {target.shape}"
        )
    xp = get_xp(logits, target, weight)
    weight = class_weights(xp, weight, logits.shape[1], logits.dtype)
    log_probs, _ = log_softmax_forward(logits, dim=1)
    # A share of 0 counts nothing, even where log p is -inf.
    losses = -(weight * target * xp.where(target == 0, 0, log_probs)).sum(axis=1)
    divisor = (float(len(logits)) or np.nan) if reduction == "mean" else 1.0
    cache = SoftCrossEntropyCache(log_probs, target.copy(), weight, divisor, reduction)
    return reduce(losses, reduction, divisor), cache


def soft_cross_entropy_backward(
    dy: Array, cache: SoftCrossEntropyCache, needs: Needs = (True, True)
) -> tuple[Array | None, Array | None]:
    """dlogitsₙₖ = dyₙ (pₙₖ Σⱼ wⱼ tₙⱼ - wₖ tₙₖ),  dtargetₙₖ = -dyₙ wₖ log pₙₖ, both over N for "mean"."""
    log_probs, target, weight, divisor, reduction = cache
    xp = get_xp(log_probs)
    check_upstream("soft_cross_entropy", dy, target.shape[:1] if reduction == "none" else (), log_probs.dtype)
    upstream = dy[:, None] if reduction == "none" else dy
    scale = xp.asarray(upstream / divisor, dtype=log_probs.dtype)
    weighted = weight * target
    dlogits = dtarget = None
    if needs[0]:
        dlogits = (xp.exp(log_probs) * weighted.sum(axis=1, keepdims=True) - weighted) * scale
    if needs[1]:
        dtarget = -weight * log_probs * scale
    return dlogits, dtarget

"""The focal loss: cross entropy that looks away from what is already right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.backend import Array, get_xp
from minicnn.errors import ConfigError
from minicnn.functional.check import check_float, check_upstream, number
from minicnn.functional.cross_entropy import check_labels, class_weights
from minicnn.functional.mse import check_reduction, reduce
from minicnn.functional.softmax import log_softmax_forward


class FocalLossCache(NamedTuple):
    log_probs: Array  # (N, K, d...)
    labels: Array  # (N, d...), 0 where ignored
    factor: Array  # (N, d...): what multiplies p - [k = label] in the gradient, 0 where ignored
    divisor: Array | float  # what the sum of losses was divided by: 1 unless reduction is "mean"
    reduction: str


@np.errstate(invalid="ignore")  # 0 · inf: the NaN that comes of it is the answer
def focal_loss_forward(
    logits: Array,
    labels: Array,
    *,
    gamma: float = 2.0,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> tuple[Array, FocalLossCache]:
    """ℓₙ = -w (1 - pₙ)^γ log pₙ,  pₙ = softmax(logits)ₙ[labelₙ],  w = weight[labelₙ].

    logits (N, K) and integer labels (N,), or (N, K, d1, ...) and (N, d1, ...). A sample that is right with
    p = 0.9 counts a hundredth with γ = 2; γ = 0 is cross entropy. "none" returns ℓ, "sum" Σ ℓ, and "mean"
    Σ ℓ / Σ w[labels], samples with the label ignore_index left out of both, as in cross_entropy.
    Raises ConfigError for γ < 0. Lin et al. 2017, Focal loss for dense object detection, with softmax.
    """
    check_reduction("focal_loss", reduction)
    gamma = number("focal_loss", "gamma", gamma)
    if not 0 <= gamma < np.inf:
        raise ConfigError(f"focal_loss: gamma must be 0 or more, got {gamma}")
    check_float("focal_loss", logits=logits)
    xp = get_xp(logits, labels, weight)
    labels = check_labels(logits.shape, labels, ignore_index, who="focal_loss")
    weight = class_weights(xp, weight, logits.shape[1], logits.dtype)

    log_probs, _ = log_softmax_forward(logits, dim=1)
    ignored = labels == ignore_index
    labels = xp.where(ignored, 0, labels)
    log_p = xp.take_along_axis(log_probs, labels[:, None], axis=1)[:, 0]
    missing = -xp.expm1(log_p)  # 1 - p, exact where p is nearly 1
    counted = xp.where(ignored, 0, weight[labels])
    modulation = missing**gamma
    losses = -counted * modulation * log_p
    losses = xp.where(ignored, 0, losses)

    # log p / (1 - p) goes to -1 where p goes to 1.
    sure = missing == 0
    ratio = xp.where(sure, -1, log_p / xp.where(sure, 1, missing))
    factor = counted * modulation * (1 - gamma * xp.exp(log_p) * ratio)
    divisor: Array | float = 1.0
    if reduction == "mean":
        total = counted.sum()
        divisor = xp.where(total == 0, np.nan, total)  # the mean of nothing is NaN
    cache = FocalLossCache(log_probs, labels, xp.where(ignored, 0, factor), divisor, reduction)
    return reduce(losses, reduction, divisor), cache


@np.errstate(invalid="ignore")
def focal_loss_backward(dy: Array, cache: FocalLossCache) -> Array:
    """dlogitsₙₖ = dyₙ w (1 - p)^γ (1 - γ p log p / (1 - p)) (pₙₖ - [k = labelₙ]), over the divisor for "mean".

    From dℓ/dp = w (γ (1 - p)^(γ-1) log p - (1 - p)^γ / p) and dp/dlogitₖ = p ([k = label] - pₖ).
    """
    log_probs, labels, factor, divisor, reduction = cache
    xp = get_xp(log_probs)
    check_upstream("focal_loss", dy, labels.shape if reduction == "none" else (), log_probs.dtype)
    over_classes = (log_probs.shape[1],) + (1,) * (log_probs.ndim - 2)
    is_label = labels[:, None] == xp.arange(log_probs.shape[1]).reshape(over_classes)
    dlogits = xp.exp(log_probs) - is_label.astype(log_probs.dtype)
    scale = xp.asarray(xp.where(factor == 0, 0, factor * dy / divisor), dtype=log_probs.dtype)
    return xp.where(scale[:, None] == 0, 0, scale[:, None] * dlogits)

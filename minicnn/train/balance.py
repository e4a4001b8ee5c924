"""Classes of unequal size: what a run does about them (`minicnn train --balance`).

    none          nothing: the large classes win
    weights       the loss counts every class the same in sum (data.class_weights)
    oversample    small classes are seen as often as the largest (data.OverSampler)
    undersample   large classes are seen as rarely as the smallest, other samples every epoch (data.UnderSampler)
    focal         the focal loss, gamma 2, with the same class weights

In all but the first, the best weights are those with the best balanced accuracy on the held-out images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicnn.data import OverSampler, UnderSampler, class_weights
from minicnn.data.report import UNEQUAL
from minicnn.data.samplers import Sampler
from minicnn.errors import ConfigError, nearest
from minicnn.losses import CrossEntropyLoss, FocalLoss, Loss, SoftCrossEntropyLoss
from minicnn.train.callbacks import BestWeights
from minicnn.train.metrics import balanced_accuracy

if TYPE_CHECKING:
    from minicnn.train.trainer import Trainer

BALANCES = ("none", "weights", "oversample", "undersample", "focal")


def of_unequal_size(counts: np.ndarray) -> bool:
    """Whether the largest class has UNEQUAL (3) times as many samples as the smallest that has any, and 10 more."""
    there = counts[counts > 0]
    return len(there) > 1 and bool(there.max() >= max(UNEQUAL * there.min(), there.min() + 10))


def check_balance(balance: str, soft_labels: bool) -> None:
    """Raises ConfigError for an unknown way, and for the focal loss where labels are shares (mixup, cutmix)."""
    if balance not in BALANCES:
        raise ConfigError(f"unknown balance {balance!r}: {nearest(str(balance), BALANCES)}")
    if balance == "focal" and soft_labels:
        raise ConfigError(
            "balance 'focal' needs one class an image: leave mixup and cutmix out, or use 'weights'"
        )


def make_loss(balance: str, labels: np.ndarray, num_classes: int, soft_labels: bool) -> Loss:
    """The loss of the way; soft_labels: labels are shares (N, K)."""
    weight = class_weights(labels, num_classes) if balance in ("weights", "focal") else None
    if balance == "focal":
        return FocalLoss(weight=weight)
    return SoftCrossEntropyLoss(weight) if soft_labels else CrossEntropyLoss(weight)


def make_sampler(balance: str, labels: np.ndarray) -> Sampler | None:
    """The sampler of the way; None where every sample is seen once an epoch."""
    if balance == "oversample":
        return OverSampler(labels)
    return UnderSampler(labels) if balance == "undersample" else None


class BestBalancedWeights(BestWeights):
    """Keeps the weights of the epoch with the best balanced accuracy (the mean recall of the classes)."""

    def merit(self, trainer: Trainer) -> float:
        assert trainer.evaluation is not None
        return balanced_accuracy(trainer.evaluation.confusion)

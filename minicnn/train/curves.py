"""One class against the rest: precision-recall and ROC curves, their areas, and where to put the threshold.

labels (N,): True (or 1) for the class.  scores (N,): the higher, the surer, such as the class's probability.
A sample counts as predicted where its score is at least the threshold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.errors import ConfigError, DataError, LabelError, ShapeError


class RocCurve(NamedTuple):
    """Points from (0, 0) to (1, 1), at falling thresholds; the first threshold is infinite."""

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    thresholds: np.ndarray

    @property
    def area(self) -> float:
        """The chance that a sample of the class scores higher than one of the rest, ties counting half."""
        return float(np.trapezoid(self.true_positive_rate, self.false_positive_rate))


class PrecisionRecallCurve(NamedTuple):
    """One point a distinct score, at falling thresholds."""

    precision: np.ndarray
    recall: np.ndarray
    thresholds: np.ndarray

    @property
    def area(self) -> float:
        """Average precision: Σ (Rₙ - Rₙ₋₁) Pₙ, without interpolation."""
        return float(np.sum(np.diff(self.recall, prepend=0.0) * self.precision))


def roc_curve(labels: np.ndarray, scores: np.ndarray) -> RocCurve:
    """The rate of false alarms and of finds at every threshold. Raises DataError where one side has no sample."""
    hits, alarms, thresholds = _counts(labels, scores)
    if hits[-1] == 0 or alarms[-1] == 0:
        raise DataError("a ROC curve needs samples of the class and of the rest")
    return RocCurve(
        np.concatenate([[0.0], alarms / alarms[-1]]),
        np.concatenate([[0.0], hits / hits[-1]]),
        np.concatenate([[np.inf], thresholds]),
    )


def precision_recall_curve(labels: np.ndarray, scores: np.ndarray) -> PrecisionRecallCurve:
    """Precision and recall at every threshold. Raises DataError where the class has no sample."""
    hits, alarms, thresholds = _counts(labels, scores)
    if hits[-1] == 0:
        raise DataError("a precision-recall curve needs samples of the class")
    return PrecisionRecallCurve(hits / (hits + alarms), hits / hits[-1], thresholds)


class Threshold(NamedTuple):
    """A threshold and what it comes to."""

    threshold: float
    precision: float
    recall: float
    f1: float


def best_threshold(
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    min_recall: float | None = None,
    min_precision: float | None = None,
) -> Threshold:
    """The threshold with the best F1; or the most precise one with at least min_recall, or the other way round.

    Choose it on validation data: on the test data it would be too good to be true. Raises ConfigError when no
    threshold reaches what is asked for.
    """
    if min_recall is not None and min_precision is not None:
        raise ConfigError("best_threshold: give min_recall or min_precision, not both")
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    allowed = np.ones(len(f1), bool)
    merit = f1
    if min_recall is not None:
        allowed, merit = recall >= min_recall, precision
    elif min_precision is not None:
        allowed, merit = precision >= min_precision, recall
    if not allowed.any():
        raise ConfigError(
            f"no threshold reaches a precision of {min_precision}: the best is {precision.max():.3f}"
            if min_precision is not None
            else f"no threshold reaches a recall of {min_recall}"
        )
    at = int(np.argmax(np.where(allowed, merit, -1.0)))
    return Threshold(*(float(values[at]) for values in (thresholds, precision, recall, f1)))


def _counts(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples of the class and of the rest at or above every distinct score, and these, falling."""
    labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ShapeError(f"labels and scores are (N,) each, got {labels.shape} and {scores.shape}")
    if not len(labels):
        raise DataError("a curve needs samples, got none")
    if not np.isin(labels, (0, 1)).all():
        raise LabelError(
            "labels are True for the class and False for the rest: use labels == the class's number"
        )
    if np.isnan(scores).any():
        raise DataError("scores hold NaN")
    order = np.argsort(-scores, kind="stable")
    sorted_scores, positive = scores[order], labels[order].astype(bool)
    last = np.append(np.flatnonzero(np.diff(sorted_scores)), len(scores) - 1)  # of every run of equal scores
    hits = np.cumsum(positive)[last]
    return hits, last + 1 - hits, sorted_scores[last]

"""Numbers that say how well a classifier does.

Throughout: labels and predictions (N,) class numbers, K classes, rows of the confusion
matrix are true classes and columns predicted ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minicnn.errors import ConfigError, LabelError, ShapeError
from minicnn.functional.softmax import softmax_forward


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """The share of predictions that are right; nan for none."""
    labels, predictions = _checked(labels, predictions)
    return float(np.mean(labels == predictions)) if len(labels) else float("nan")


def top_k_accuracy(labels: np.ndarray, scores: np.ndarray, k: int) -> float:
    """The share of samples whose class is among the k highest scores (N, K); nan for none.

    A class that ties with the k-th counts only if fewer than k classes score higher.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    if labels.ndim != 1 or scores.ndim != 2 or len(labels) != len(scores):
        raise ShapeError(
            f"top_k_accuracy expects labels (N,) and scores (N, K), got {labels.shape} and {scores.shape}"
        )
    if not 1 <= k <= scores.shape[1]:
        raise ConfigError(
            f"top_k_accuracy: k must be from 1 to the number of classes {scores.shape[1]}, got {k}"
        )
    _check_range("labels", labels, scores.shape[1])
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    return float(np.mean((scores > own).sum(axis=1) < k)) if len(labels) else float("nan")


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """counts[i, j] = samples of class i predicted as class j, (K, K) int64."""
    labels, predictions = _checked(labels, predictions)
    _check_range("labels", labels, num_classes)
    _check_range("predictions", predictions, num_classes)
    flat = labels.astype(np.int64) * num_classes + predictions.astype(np.int64)
    return np.bincount(flat, minlength=num_classes * num_classes).reshape(num_classes, num_classes)


class ClassMetrics(NamedTuple):
    """Per class, (K,) each. Where nothing was counted the value is nan."""

    precision: np.ndarray  # of those predicted as the class, the share that are it
    recall: np.ndarray  # of those that are the class, the share predicted as it
    f1: np.ndarray  # 2 precision recall / (precision + recall)
    support: np.ndarray  # how many samples the class has


def class_metrics(confusion: np.ndarray) -> ClassMetrics:
    """Precision, recall, F1 and support of every class, from a confusion matrix (K, K)."""
    right = np.diag(confusion).astype(np.float64)
    predicted, actual = confusion.sum(axis=0), confusion.sum(axis=1)
    return ClassMetrics(
        precision=_ratio(right, predicted),
        recall=_ratio(right, actual),
        f1=_ratio(2 * right, predicted + actual),
        support=actual,
    )


def balanced_accuracy(confusion: np.ndarray) -> float:
    """The mean recall of the classes that have samples, from a confusion matrix (K, K); nan for none.

    Always guessing the largest class gives 1 / K, however large it is: Brodersen et al. 2010.
    """
    recall = class_metrics(confusion).recall
    present = ~np.isnan(recall)
    return float(recall[present].mean()) if present.any() else float("nan")


def macro_f1(confusion: np.ndarray) -> float:
    """The mean F1 of the classes that have samples, from a confusion matrix (K, K); nan for none."""
    metrics = class_metrics(confusion)
    present = metrics.support > 0
    return float(metrics.f1[present].mean()) if present.any() else float("nan")


@dataclass(frozen=True)
class Evaluation:
    """What a network made of a data set. Without class labels only the loss and outputs mean something."""

    loss: float
    outputs: np.ndarray  # (N, K): logits
    labels: np.ndarray  # (N,)

    @property
    def predictions(self) -> np.ndarray:
        """(N,): the class with the highest output."""
        return self.outputs.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        return accuracy(self.labels, self.predictions)

    def top_k_accuracy(self, k: int) -> float:
        return top_k_accuracy(self.labels, self.outputs, k)

    @property
    def confusion(self) -> np.ndarray:
        """(K, K): rows true, columns predicted."""
        return confusion_matrix(self.labels, self.predictions, self.outputs.shape[1])

    @property
    def probabilities(self) -> np.ndarray:
        """(N, K): the softmax of the outputs."""
        return softmax_forward(self.outputs, dim=1)[0]

    @property
    def balanced_accuracy(self) -> float:
        return balanced_accuracy(self.confusion)

    @property
    def macro_f1(self) -> float:
        return macro_f1(self.confusion)

    @property
    def per_class(self) -> ClassMetrics:
        return class_metrics(self.confusion)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    result = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def _checked(labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays (N,): other shapes would be broadcast to a wrong answer."""
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape or labels.ndim != 1:
        advice = "; scores become predictions by scores.argmax(axis=1)" if predictions.ndim == 2 else ""
        raise ShapeError(
            f"labels and predictions are class numbers, (N,) each, got {labels.shape} and {predictions.shape}{advice}"
        )
    return labels, predictions


def _check_range(what: str, values: np.ndarray, num_classes: int) -> None:
    if not len(values):
        return
    if values.dtype.kind not in "iu":
        raise LabelError(f"{what} are class numbers, so integers, got {values.dtype}")
    if not 0 <= values.min() <= values.max() < num_classes:
        raise LabelError(
            f"{what} run from {values.min()} to {values.max()}, but {num_classes} classes are numbered from 0 "
            f"to {num_classes - 1}"
        )

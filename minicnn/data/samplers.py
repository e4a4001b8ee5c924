"""Samplers: which samples an epoch holds, and in what order.

A sampler has a length and `draw(rng)`, an array of that many indices, new for every epoch. They are for classes
of unequal size: each makes the rare ones be seen more often, or the frequent ones less.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from minicnn.errors import ConfigError, LabelError


class Sampler(Protocol):
    """All that a loader asks of a sampler."""

    def __len__(self) -> int: ...

    def draw(self, rng: np.random.Generator) -> np.ndarray: ...


class WeightedRandomSampler:
    """`num_samples` indices, each drawn with a probability in proportion to its weight.

    weights (N,): 0 or more, not all 0.  replacement=False draws no sample twice.
    """

    def __init__(self, weights: Any, num_samples: int | None = None, replacement: bool = True) -> None:
        weights = np.asarray(weights, np.float64)
        if (
            weights.ndim != 1
            or not np.isfinite(weights).all()
            or (weights < 0).any()
            or not weights.sum() > 0
        ):
            raise ConfigError(
                "WeightedRandomSampler: weights are one number a sample, 0 or more and not all 0"
            )
        self.probabilities = weights / weights.sum()
        self.num_samples = len(weights) if num_samples is None else num_samples
        self.replacement = replacement
        most = np.count_nonzero(weights)
        if self.num_samples < 1 or (not replacement and self.num_samples > most):
            raise ConfigError(
                f"WeightedRandomSampler: cannot draw {self.num_samples} samples"
                + ("" if replacement else f" from {most} without replacement")
            )

    def __len__(self) -> int:
        return self.num_samples

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        return rng.choice(
            len(self.probabilities), self.num_samples, replace=self.replacement, p=self.probabilities
        )


class OverSampler:
    """Every class as often as the largest: each of its samples equally often, give or take one, in random order."""

    def __init__(self, labels: Any) -> None:
        self.members = members_of_classes(labels)
        self.per_class = max(map(len, self.members))

    def __len__(self) -> int:
        return self.per_class * len(self.members)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(np.concatenate([_repeated(own, self.per_class, rng) for own in self.members]))


class UnderSampler:
    """Every class as often as the smallest; which samples of the larger ones, is drawn anew every epoch."""

    def __init__(self, labels: Any) -> None:
        self.members = members_of_classes(labels)
        self.per_class = min(map(len, self.members))

    def __len__(self) -> int:
        return self.per_class * len(self.members)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        drawn = [rng.permutation(own)[: self.per_class] for own in self.members]
        return rng.permutation(np.concatenate(drawn))


class BalancedBatchSampler:
    """Batches that hold every class equally often, give or take one; small classes are repeated as in OverSampler.

    batch_size: the loader's own. One epoch is as long as that of OverSampler.
    """

    def __init__(self, labels: Any, batch_size: int) -> None:
        self.members = members_of_classes(labels)
        if batch_size < len(self.members):
            raise ConfigError(
                f"BalancedBatchSampler: batches of {batch_size} cannot hold each of {len(self.members)} classes"
            )
        self.batch_size = batch_size
        self.per_class = max(map(len, self.members))

    def __len__(self) -> int:
        return self.per_class * len(self.members)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        # One column a class: read row by row, any stretch holds each class equally often, give or take one.
        table = np.stack(
            [rng.permutation(_repeated(own, self.per_class, rng)) for own in self.members], axis=1
        )
        order = table[:, rng.permutation(len(self.members))].ravel()
        for start in range(0, len(order), self.batch_size):
            order[start : start + self.batch_size] = rng.permutation(order[start : start + self.batch_size])
        return order


def _repeated(members: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` of the members: all of them as often as goes, the rest drawn."""
    times, rest = divmod(count, len(members))
    return np.concatenate([np.tile(members, times), rng.permutation(members)[:rest]])


def members_of_classes(labels: Any) -> list[np.ndarray]:
    """The indices of every class that occurs."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        raise LabelError(
            f"a sampler needs class numbers (N,), at least one; got {labels.dtype} {labels.shape}"
        )
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def class_weights(labels: Any, num_classes: int | None = None) -> np.ndarray:
    """(K,) float32: w_k = N / (K n_k), so that every class weighs the same in sum; for CrossEntropyLoss(weight=...).

    K counts the classes that occur; one without samples gets weight 0. King and Zeng 2001, as in scikit-learn.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        raise LabelError(
            f"class_weights needs class numbers (N,), at least one; got {labels.dtype} {labels.shape}"
        )
    counts = np.bincount(labels, minlength=num_classes or 0)
    present = counts > 0
    weights = np.zeros(len(counts))
    weights[present] = len(labels) / (np.count_nonzero(present) * counts[present])
    return weights.astype(np.float32)

"""The data: classes, numbers, whether labels belong to images, whether images stand in both splits."""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import Any

import numpy as np

from minicnn.backend import to_numpy
from minicnn.train.doctor.finding import Finding, fault, note, ok
from minicnn.train.doctor.patient import Patient


def check_classes(patient: Patient) -> Finding:
    """All classes are there, and each batch holds several."""
    check = "classes"
    labels = np.asarray(_labels_of(patient.batches.dataset))
    counts = np.bincount(labels, minlength=patient.num_classes)
    present = np.flatnonzero(counts)
    if len(present) == 1:
        return fault(
            check,
            "one class only",
            f"all {len(labels):,} labels are {present[0]}: the network need only learn to say so. Look at how the "
            "labels are read and how the data are split (a file sorted by class?)",
        )
    first = [np.unique(y) for _, y in islice(iter(patient.batches), 5)]
    if all(len(classes) == 1 for classes in first) and patient.batches.batch_size > 1:
        return fault(
            check,
            "batches of one class",
            f"each of the first {len(first)} batches holds one class: each update forgets the others. "
            "Shuffle: Loader(..., shuffle=True)",
        )
    missing = np.flatnonzero(counts == 0)
    if len(missing):
        return note(check, f"no image of {_names(patient, missing)}: the network cannot learn them")
    if counts.max() > 10 * counts.min():
        return note(
            check,
            f"the largest class has {counts.max():,} images, the smallest {counts.min():,}: saying the largest "
            f"always is right for {counts.max() / counts.sum():.0%}; compare accuracies with that",
        )
    least, most = int(counts.min()), int(counts.max())
    each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    return ok(check, f"{len(present)} classes, {each} images each")


def check_inputs(patient: Patient) -> Finding:
    """Numbers around 0 with a deviation around 1, as initialisers expect (LeCun et al. 1998, Efficient backprop)."""
    check = "inputs"
    x = to_numpy(patient.batch(256)[0]).astype(np.float64)
    if not np.isfinite(x).all():
        return fault(
            check, "NaN in the inputs", f"{np.count_nonzero(~np.isfinite(x)):,} numbers are NaN or infinite"
        )
    mean, std, low, high = x.mean(), x.std(), x.min(), x.max()
    seen = f"mean {mean:.3g}, deviation {std:.3g}, from {low:.3g} to {high:.3g}"
    if std > 4 or abs(mean) > 3 or std < 0.05:
        return fault(
            check,
            "inputs not normalised",
            f"{seen}; expected mean near 0, deviation near 1. Divide pixels by 255, subtract the mean and "
            "divide by the deviation of the training images: data.Preprocessing.from_training_images does",
        )
    if low >= 0 and high <= 1:
        return note(check, f"{seen}: scaled, but not centred; subtracting the mean helps a little")
    return ok(check, f"{seen}, shape {x.shape[1:]}")


def check_labels_belong(patient: Patient) -> Finding:
    """Near images share labels more often than chance would have it."""
    check = "labels"
    x, labels = (to_numpy(array) for array in patient.batch(1000))
    if len(x) < 50 or len(np.unique(labels)) < 2:
        return note(check, f"too few images or classes to say whether labels belong ({len(x)} images)")
    flat = x.reshape(len(x), -1).astype(np.float32)
    flat = flat / (np.abs(flat).max() or 1)
    squares = (flat * flat).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * flat @ flat.T
    np.fill_diagonal(distances, np.inf)
    nearest = np.argpartition(distances, 3, axis=1)[:, :3]

    def agreement(labels: np.ndarray) -> float:
        return float((labels[nearest] == labels[:, None]).mean())

    seen = agreement(labels)
    by_chance = [agreement(patient.rng.permutation(labels)) for _ in range(30)]
    mean, std = float(np.mean(by_chance)), float(np.std(by_chance))
    text = f"of the three nearest images {seen:.0%} have the same label, by chance {mean:.0%}"
    if seen < mean + 5 * std:
        return fault(
            check,
            "labels shuffled",
            f"{text}: the labels have nothing to do with the images. Were one of the two shuffled, sorted or read "
            "without the other?",
        )
    return ok(check, text)


def check_leak(patient: Patient) -> Finding:
    """No image of the training set is held out too."""
    check = "splits"
    if patient.validation is None:
        return note(check, "there is no validation set to compare with")
    training = _digests(patient.batches.dataset)
    held_out = _digests(patient.validation)
    known = set(training)
    common = sum(digest in known for digest in held_out)
    share = common / max(len(held_out), 1)
    if share > 0.01:
        return fault(
            check,
            "data leak between splits",
            f"{common:,} of {len(held_out):,} held-out images ({share:.0%}) are in the training set too: accuracy "
            "on them measures memory. Remove duplicates before splitting",
        )
    if common:
        return note(check, f"{common} of {len(held_out):,} held-out images are in the training set too")
    return ok(check, f"none of {len(held_out):,} held-out images is among {len(training):,} training images")


def _labels_of(dataset: Any) -> np.ndarray:
    return dataset.labels if hasattr(dataset, "labels") else dataset[np.arange(len(dataset))][1]


def _digests(dataset: Any) -> list[bytes]:
    """One short digest an image, of its raw pixels where the data set has them."""
    images = getattr(dataset, "images", None)
    if images is None:
        images = dataset[np.arange(len(dataset))][0]
    return [
        hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=12).digest() for image in images
    ]


def _names(patient: Patient, classes: np.ndarray) -> str:
    names = [str(c) if patient.class_names is None else patient.class_names[c] for c in classes[:8]]
    return "class " + ", ".join(names) + (", ..." if len(classes) > 8 else "")

"""The start: weights as they were drawn, outputs that fit the loss, and the first loss against ln K."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.backend import to_numpy
from minicnn.errors import MinicnnError
from minicnn.layers.activation import ReLU
from minicnn.losses import CrossEntropyLoss
from minicnn.train.doctor.finding import Finding, fault, note, ok
from minicnn.train.doctor.patient import Patient
from minicnn.train.undo import undoing


def check_weights(patient: Patient) -> Finding:
    """Weights that are all alike get gradients that are all alike: the units stay copies of one another."""
    check = "weights"
    constant = []
    count = 0
    for name, parameter in patient.model.named_parameters():
        if len(parameter.shape) < 2:
            continue  # biases and batch norm begin with one value, rightly
        count += 1
        value = to_numpy(parameter.value)
        if not np.isfinite(value).all():
            return fault(check, "NaN in the weights", f"{name} holds NaN or infinity before any training")
        if value.size > 1 and value.min() == value.max():
            constant.append(f"{name} (all {value.flat[0]:g})")
    if constant:
        return fault(
            check,
            "weights initialised at zero" if "(all 0)" in constant[0] else "weights all alike",
            f"{', '.join(constant[:4])}{', ...' if len(constant) > 4 else ''}: units that begin alike stay alike, and "
            "behind zeros no gradient passes. Draw them at random: init.kaiming_normal, say",
        )
    return ok(check, f"{count} weight arrays, each with many values")


def check_outputs(patient: Patient) -> Finding:
    """What the last layer gives is what the loss expects: for cross entropy, any real numbers."""
    check = "last layer"
    x, labels = patient.batch()
    with undoing(patient.model):
        outputs = patient.model.forward(x)
        main: Any = outputs[0] if isinstance(outputs, tuple) else outputs
        logits = to_numpy(main).astype(np.float64)
        last = [layer for _, layer in patient.model.leaves()][-1]
        if logits.ndim != 2 or logits.shape[1] < patient.num_classes:
            return fault(
                check,
                "too few outputs",
                f"outputs of shape {logits.shape} for {patient.num_classes} classes: expected (N, {patient.num_classes})",
            )
        try:
            patient.loss.forward(outputs, labels)
        except MinicnnError as error:
            return fault(
                check,
                "loss not matching the last layer",
                f"{patient.loss!r} refuses the network's outputs with these labels: {error}",
            )
    positive = bool((logits >= 0).all())
    if positive and np.allclose(logits.sum(axis=1), 1, atol=1e-3):
        return fault(
            check,
            "loss not matching the last layer",
            "the outputs are probabilities (each row sums to 1) and cross entropy applies softmax itself: twice "
            "is too much, gradients become tiny. Remove the softmax layer",
        )
    if positive and (isinstance(last, ReLU) or 0.05 < (logits == 0).mean() < 1):
        return fault(
            check,
            "ReLU after the logits",
            f"no output is below 0 and {(logits == 0).mean():.0%} are exactly 0: a class can be voted for but "
            "never against, and where the right one is 0 no gradient passes. Remove the last ReLU",
        )
    if isinstance(patient.loss, CrossEntropyLoss) and abs(logits).max() <= 1 and _saturates(last):
        return fault(
            check,
            "loss not matching the last layer",
            f"{last!r} keeps the outputs within {'0 and 1' if positive else '-1 and 1'}: cross entropy wants any real numbers, and can then never be near 0. "
            "Remove it",
        )
    if logits.shape[1] > patient.num_classes:
        return note(
            check, f"{logits.shape[1]} outputs for {patient.num_classes} classes: some are never right"
        )
    return ok(
        check,
        f"{logits.shape[1]} outputs from {logits.min():.2g} to {logits.max():.2g}, as {patient.loss!r} expects"[
            :150
        ],
    )


def _saturates(layer: object) -> bool:
    return type(layer).__name__ in ("Sigmoid", "Tanh")


def check_first_loss(patient: Patient) -> Finding:
    """A network that knows nothing gives each of K classes 1/K: its cross entropy is ln K."""
    check = "first loss"
    if not isinstance(patient.loss, CrossEntropyLoss):
        return note(check, f"only cross entropy has an expected first loss, not {patient.loss!r}")
    x, labels = patient.batch()
    with undoing(patient.model), np.errstate(all="ignore"):
        value = float(patient.loss.forward(patient.model.forward(x), labels))
    expected = math.log(patient.num_classes) if patient.num_classes > 1 else 0.0
    text = f"{value:.3f}, and ln {patient.num_classes} = {expected:.3f} is what knowing nothing costs"
    if not math.isfinite(value) or value > 3 * expected + 1:
        return fault(
            check,
            "first loss far too high",
            f"{text}: the network begins sure of wrong answers. Are the inputs normalised, the weights too large?",
        )
    if value < 0.5 * expected:
        return note(
            check, f"{text}: it knows something already (a trained network? the label among the inputs?)"
        )
    return ok(check, text)

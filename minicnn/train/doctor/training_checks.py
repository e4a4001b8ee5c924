"""Short trainings: can it learn one batch by heart, and is the learning rate of the right size?"""

from __future__ import annotations

import math

import numpy as np

from minicnn.layers.dropout import Dropout
from minicnn.optim import Adam
from minicnn.train.doctor.finding import Finding, fault, note, ok
from minicnn.train.doctor.patient import Patient, plain_step
from minicnn.train.undo import undoing

FACTORS = (0.01, 0.1, 1.0, 10.0, 100.0)


def check_overfit(patient: Patient, steps: int = 200) -> Finding:
    """A network with thousands of weights learns one batch by heart, whatever their labels are.

    With Adam and a learning rate known to work, and without dropout: where this fails, the model is at fault,
    and not the settings of the training.
    """
    check = "one batch"
    model, (x, labels) = patient.model, patient.batch()
    dropouts = [layer for _, layer in model.named_layers() if isinstance(layer, Dropout)]
    rates = [layer.p for layer in dropouts]
    with undoing(model), np.errstate(all="ignore"):
        model.train()
        for layer in dropouts:
            layer.p = 0.0
        try:
            step = plain_step(model, patient.loss, Adam(model, lr=2e-3))
            losses = [step(x, labels)]
            while len(losses) < steps and math.isfinite(losses[-1]) and losses[-1] > 0.01:
                losses.append(step(x, labels))
        finally:
            for layer, rate in zip(dropouts, rates):
                layer.p = rate
    text = f"loss {losses[0]:.3g} to {losses[-1]:.2g} in {len(losses)} steps on {len(x)} images"
    if losses[-1] < 0.1 * max(losses[0], 0.1):
        return ok(check, text)
    return fault(
        check,
        "cannot learn one batch by heart",
        f"{text}: gradients do not reach the weights, or are wrong. Check every layer with minicnn gradcheck",
    )


def check_learning_rate(patient: Patient, steps: int = 40) -> Finding:
    """Five short trainings from the same start, with a hundredth to a hundred times the learning rate."""
    check = "learning rate"
    lr = patient.optimizer.lr
    reached = []
    for factor in FACTORS:
        with undoing(patient.model, patient.optimizer):
            for group in patient.optimizer.groups:
                group["lr"] = group["lr"] * factor
            losses = patient.train(steps)
            end = float(np.mean(losses[-8:])) if np.isfinite(losses).all() else math.inf
            reached.append(end)
            if factor == FACTORS[0]:
                first = losses[0]
    table = ", ".join(f"{loss:.3g} at {lr * factor:.2g}" for factor, loss in zip(FACTORS, reached))
    text = f"after {steps} steps the loss is {table}"
    best = int(np.argmin(reached))
    possible, own = first - reached[best], first - reached[FACTORS.index(1.0)]
    if not possible > 0.05 * abs(first):
        return note(check, f"{text}: it falls with none, so there is another fault to mend first")
    better = lr * FACTORS[best]
    # A rate that is too low only loses time; one that is too high loses the rest of the training too.
    if own >= (0.3 if better > lr else 0.6) * possible:
        return ok(check, text)
    if better < lr:
        return fault(check, "learning rate too high", f"{text}. Try {better:.2g} instead of {lr:.2g}")
    return fault(check, "learning rate too low", f"{text}. Try {better:.2g} instead of {lr:.2g}")

"""All checks, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.backend import to_numpy
from minicnn.data import ArrayDataset, Loader
from minicnn.errors import ConfigError, MinicnnError
from minicnn.layers.base import Layer
from minicnn.losses import CrossEntropyLoss, Loss
from minicnn.optim import Adam, Optimizer
from minicnn.train.doctor.data_checks import check_classes, check_inputs, check_labels_belong, check_leak
from minicnn.train.doctor.finding import Diagnosis, Finding, note
from minicnn.train.doctor.gradient_checks import (
    check_dead,
    check_depth,
    check_frozen,
    check_update_ratio,
    check_zeroing,
    measure_depth,
)
from minicnn.train.doctor.patient import Patient, Step, plain_step
from minicnn.train.doctor.start_checks import check_first_loss, check_outputs, check_weights
from minicnn.train.doctor.training_checks import check_learning_rate, check_overfit
from minicnn.train.lr_finder import find_lr


def examine(
    model: Layer,
    training: ArrayDataset | Loader,
    validation: Any = None,
    *,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    step: Step | None = None,
    seed: int = 0,
    figures: bool = True,
    quick: bool = False,
) -> Diagnosis:
    """Look for what is wrong with a training before it is begun. Takes some hundred steps of training.

    model: any classifier, x (N, C, H, W) -> logits (N, K). training: a data set, or the Loader that is
    used. validation: the held-out data set. loss: cross entropy by default. optimizer: made for the model, with
    the learning rate that is meant; Adam's own by default. step(x, labels): your own training step, which
    returns the loss, instead of the trainer's. figures: also draw the input, the depth and the sweep.
    quick: leave out the short trainings (one batch by heart, the learning rate).

    The model, the optimizer and what dropout draws are afterwards as they were; a Loader of yours moves on.
    """
    loss = CrossEntropyLoss() if loss is None else loss
    optimizer = Adam(model) if optimizer is None else optimizer
    rng = np.random.default_rng(seed)
    batches = training if isinstance(training, Loader) else Loader(training, 64, shuffle=True, rng=rng)
    dataset: Any = batches.dataset
    if len(dataset) == 0:
        raise ConfigError("doctor: the training set is empty")
    names = getattr(dataset, "class_names", None)
    classes = getattr(dataset, "num_classes", None) or int(dataset[np.arange(len(dataset))][1].max()) + 1
    patient = Patient(
        model,
        loss,
        optimizer,
        batches,
        validation,
        classes,
        names,
        step or plain_step(model, loss, optimizer),
        rng,
    )
    diagnosis = Diagnosis()
    for check in (check_classes, check_inputs, check_labels_belong, check_leak, check_weights, check_outputs):
        diagnosis.findings.append(_guarded(check, patient))
    if figures:
        from minicnn import plots

        x, labels = patient.batch()
        diagnosis.figures["input.png"] = plots.network_input(to_numpy(x), to_numpy(labels), names)
    if any(
        name in diagnosis.faults for name in ("too few outputs", "NaN in the inputs", "NaN in the weights")
    ) or ("refuses the network's outputs" in diagnosis.findings[-1].text):
        return diagnosis  # nothing can be trained
    depth = measure_depth(patient)
    diagnosis.findings += [_guarded(check_first_loss, patient), _guarded(check_zeroing, patient)]
    diagnosis.findings += [check_dead(depth), _guarded(check_frozen, patient)]
    diagnosis.findings += [check_depth(depth), check_update_ratio(depth)]
    for check in () if quick else (check_overfit, check_learning_rate):
        diagnosis.findings.append(_guarded(check, patient))
    if figures:
        diagnosis.figures["depth.png"] = plots.by_depth(
            depth.names, depth.activations, depth.gradients, depth.update_ratios
        )
        try:
            diagnosis.figures["lr_sweep.png"] = plots.lr_sweep(find_lr(model, loss, optimizer, batches))
        except MinicnnError as error:
            diagnosis.findings.append(note("lr sweep", str(error)))
    return diagnosis


def _guarded(check: Callable[[Patient], Finding], patient: Patient) -> Finding:
    """A check that cannot be made says so, and the others go on."""
    try:
        return check(patient)
    except MinicnnError as error:
        name = check.__name__.removeprefix("check_").replace("_", " ")
        return Finding(name, "fault", str(error), f"{name} could not be checked")

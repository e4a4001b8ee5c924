"""Which learning rates make sense: a sweep from far too low to far too high, in one short training."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minicnn.backend import to_device
from minicnn.errors import ConfigError, DataError, MinicnnError
from minicnn.layers.base import Layer, backward_into
from minicnn.losses import Loss
from minicnn.optim import Optimizer
from minicnn.train.batches import Batches, as_batches, check_source
from minicnn.train.device import as_array
from minicnn.train.undo import undoing


@dataclass(frozen=True)
class LearningRates:
    """What a sweep saw. The lists have one entry a step."""

    lrs: list[float]
    losses: list[float]  # of each batch, before its update
    smoothed: list[float]  # an exponential average of them
    suggestion: float  # a tenth of the rate where the smoothed loss was lowest
    diverged_at: float | None  # the rate at which the loss left; None when it never did


def find_lr(
    model: Layer,
    loss: Loss,
    optimizer: Optimizer,
    batches: Batches,
    *,
    start: float = 1e-6,
    end: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.9,
) -> LearningRates:
    """Train `steps` batches while lr grows from start to end by equal factors (Smith 2017, sec. 3.3).

    Ends early when the smoothed loss is four times its lowest value, or not finite. The suggestion is a
    tenth of the rate at which the smoothed loss was lowest: there it fell, and is not yet about to leave.
    For a one-cycle schedule three times as much is a good peak. Weights, buffers, the optimizer's state and what
    dropout draws are then put back as they were. batches are gone through again from the start when they end.

    plots.lr_sweep(result) draws it.
    """
    check_source("find_lr", batches)
    if not 0 < start < end or steps < 10 or not 0 <= smoothing < 1:
        raise ConfigError(
            "find_lr: expected 0 < start < end, at least 10 steps and a smoothing from 0 up to 1; got "
            f"start={start}, end={end}, steps={steps}, smoothing={smoothing}"
        )
    with undoing(model, optimizer):
        model.train()
        return _sweep(model, loss, optimizer, batches, start, end, steps, smoothing)


def _sweep(
    model: Layer,
    loss: Loss,
    optimizer: Optimizer,
    batches: Batches,
    start: float,
    end: float,
    steps: int,
    smoothing: float,
) -> LearningRates:
    lrs: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    average, diverged_at = 0.0, None
    source = iter(as_batches(batches))
    with np.errstate(all="ignore"):
        for step in range(steps):
            try:
                x, labels = next(source)
            except StopIteration:
                source = iter(as_batches(batches))
                x, labels = next(source, (None, None))
                if x is None:
                    raise DataError("find_lr: the data gave no batch") from None
            optimizer.lr = start * (end / start) ** (step / (steps - 1))
            optimizer.zero_grad()
            logits = model.forward(to_device(x, model.device))
            value = float(loss.forward(logits, to_device(as_array(labels), model.device)))
            average = smoothing * average + (1 - smoothing) * value
            corrected = average / (1 - smoothing ** (step + 1))
            if not math.isfinite(value) or (step > 5 and corrected > 4 * min(smoothed)):
                diverged_at = optimizer.lr
                break
            lrs.append(optimizer.lr)
            losses.append(value)
            smoothed.append(corrected)
            backward_into(model, loss.backward(), need_dx=False)
            optimizer.step()
    if len(smoothed) < 3:
        raise MinicnnError(
            f"find_lr: the loss left at once, at lr {diverged_at:g}: begin lower, or look at the inputs with minicnn doctor"
        )
    lowest = lrs[int(np.argmin(smoothed))]
    return LearningRates(lrs, losses, smoothed, lowest / 10, diverged_at)

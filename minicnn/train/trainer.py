"""The training loop, without autograd: forward, loss, backward, update, each a line you can see."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from minicnn.backend import Array, device_of, to_device, to_numpy
from minicnn.data import ArrayDataset, Loader
from minicnn.errors import ConfigError, DataError, TrainingError
from minicnn.functional.softmax import softmax_forward
from minicnn.layers.base import Layer, backward_into
from minicnn.layers.inference import evaluating
from minicnn.losses import Loss
from minicnn.optim import Optimizer
from minicnn.train.callbacks import Callback
from minicnn.train.device import Sums, as_array, on_device
from minicnn.train.graph import StepGraph, step_for
from minicnn.train.history import EpochRecord, History
from minicnn.train.metrics import Evaluation

Batch = tuple[Array, Array]
Batches = Iterable[Batch] | ArrayDataset  # a Loader, a list of batches, or a data set as it stands
EVALUATION_BATCH = 256


class Trainer:
    """Trains a model on batches (x, labels), and tells the callbacks.

    model: any Layer. loss: from minicnn.losses. optimizer: made for this model.
    schedule: from minicnn.schedules, stepped by batch or by epoch as it says.
    graph: on a GPU, replay the step as one CUDA graph: "auto" where it can be recorded, True or
    False (see graph.py); on a CPU it means nothing.

    While training, callbacks may read: epoch and last_epoch (from 1), step (batches so far,
    over all epochs), batch_size, batch_loss, batch_lr (the learning rate it was trained with),
    mean_loss and mean_accuracy (of this epoch so far), images_per_epoch (None if unknown),
    history, evaluation (the last one); and set stop.
    """

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        optimizer: Optimizer,
        schedule: Any = None,
        callbacks: Sequence[Callback] = (),
        graph: bool | str = "auto",
    ) -> None:
        if graph not in (True, False, "auto"):
            raise ConfigError(f'Trainer: graph must be True, False or "auto", got {graph!r}')
        if schedule is not None and getattr(schedule, "steps_by", None) not in ("batch", "epoch"):
            raise ConfigError(
                f"a schedule says whether it steps by batch or by epoch, which {schedule!r} does not: "
                "use one of minicnn.schedules"
            )
        if isinstance(loss, type):
            raise ConfigError(
                f"the loss is an object, {loss.__name__}() with parentheses, and this is its class"
            )
        if getattr(loss, "reduction", "mean") != "mean":
            raise ConfigError(
                f'the trainer averages losses over images, so it needs reduction="mean", got {loss!r}'
            )
        trained = {id(parameter) for group in optimizer.groups for parameter in group["params"]}
        if trained.isdisjoint(id(parameter) for parameter in model.parameters()):
            raise ConfigError(
                f"this {type(optimizer).__name__} trains none of the model's parameters: it was made for "
                "another model (or before this one was built); make it with the model that you train"
            )
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.callbacks = list(callbacks)
        self.history = History()
        self.evaluation: Evaluation | None = None
        self.epoch = self.last_epoch = self.step = self.batch_size = 0
        self._batch_loss: Array | float = float("nan")
        self.batch_lr = float("nan")
        self.images_per_epoch: int | None = None
        self.stop = False
        self.graph = graph
        self._step_graph: StepGraph | None = None
        self._sums = Sums()

    # ---- training

    def fit(self, training: Batches, validation: Batches | None = None, epochs: int = 10) -> History:
        """Train for a number of epochs; with a validation set, evaluate on it after each.

        training gives a fresh pass over the data each time it is iterated, as a Loader does
        (a data set is loaded in shuffled batches of 64). A second fit goes on where the first
        ended. Returns the history of all epochs. Raises TrainingError when the loss is no
        longer finite, DataError when the data hold NaN.
        """
        if epochs < 1:
            raise ConfigError(f"fit: epochs must be at least 1, got {epochs}")
        _check_source("fit", training)
        batches = (
            Loader(training, batch_size=64, shuffle=True) if isinstance(training, ArrayDataset) else training
        )
        self.stop = False
        self.last_epoch = self.epoch + epochs
        self.images_per_epoch = _count_images(batches)
        self._step_graph = step_for(self.model, self.loss, self.graph)
        self.model.train()
        self._tell("before_fit")
        try:
            while self.epoch < self.last_epoch and not self.stop:
                self.epoch += 1
                self._fit_epoch(batches, validation)
        finally:
            self._tell("after_fit")
        return self.history

    def _fit_epoch(self, batches: Iterable[Batch], validation: Batches | None) -> None:
        self._sums = Sums()
        self._tell("before_epoch")
        start = time.perf_counter()
        for x, labels in on_device(batches, self.model.device):
            self._tell("before_batch")
            self._fit_batch(x, labels)
            self._tell("after_batch")
        if self._sums.images and not math.isfinite(self.mean_loss):  # waits for the GPU
            raise self._explain_epoch()
        seconds = time.perf_counter() - start
        if self._sums.images == 0:
            raise DataError(
                "the training data gave no batch: check its length, batch_size and drop_last"
                if self.step == 0
                else f"the training data gave no batch in epoch {self.epoch}, though they did before: a generator "
                "can be read only once, so give a Loader, a data set or a list of batches"
            )
        evaluation = None if validation is None else self.evaluate(validation)
        self.history.append(
            EpochRecord(
                epoch=self.epoch,
                lr=self.batch_lr,
                train_loss=self.mean_loss,
                train_accuracy=self.mean_accuracy,
                validation_loss=None if evaluation is None else evaluation.loss,
                validation_accuracy=None
                if evaluation is None or not _is_classes(evaluation.labels)
                else evaluation.accuracy,
                seconds=seconds,
                images_per_second=self._sums.images / seconds,
            )
        )
        if self.schedule is not None and self.schedule.steps_by == "epoch":
            self._step_schedule_by_epoch()
        self._tell("after_epoch")

    def _fit_batch(self, x: Array, labels: Array) -> None:
        self.optimizer.zero_grad()
        with np.errstate(over="ignore", invalid="ignore"):  # _explain_loss says it better than NumPy
            if self._step_graph is not None:
                self._batch_loss, logits = self._step_graph(x, labels)
            else:
                logits = self.model.forward(x)
                self._batch_loss = self.loss.forward(logits, labels)
                # On a GPU it is looked at when someone asks, and at the end of the epoch.
                if device_of(logits) == "cpu" and not math.isfinite(self.batch_loss):
                    raise self._explain_loss(x, labels)
                backward_into(self.model, self.loss.backward(), need_dx=False)
            self.optimizer.step()
        self.batch_lr = self.optimizer.lr
        if self.schedule is not None and self.schedule.steps_by == "batch":
            self.schedule.step()

        self.step += 1
        self.batch_size = len(x)
        main_output = logits[0] if isinstance(logits, tuple) else logits
        self._sums.add(self._batch_loss, main_output, labels)

    def _step_schedule_by_epoch(self) -> None:
        if not getattr(self.schedule, "needs_metric", False):
            self.schedule.step()
            return
        metric = self.history[-1].validation_loss
        if metric is None:
            raise TrainingError(
                f"{type(self.schedule).__name__} watches the validation loss: give fit a validation set"
            )
        self.schedule.step(metric)

    def _explain_loss(self, x: Array, labels: Array) -> TrainingError | DataError:
        where = f"epoch {self.epoch}, batch {self.step + 1} counted from the start"
        if len(x) == 0:
            return DataError(f"a batch holds no image ({where}), so it has no mean loss: leave it out")
        bad = _describe_bad(x, labels)
        if bad:
            return DataError(f"{bad} ({where}); clean the data first")
        return TrainingError(
            f"the loss became {self.batch_loss} ({where}): training has diverged, the weights are of no use "
            f"any more. Lower the learning rate (now {self.optimizer.lr:g}), normalise the images, "
            "or clip the gradients"
        )

    def _explain_epoch(self) -> TrainingError:
        """On a GPU nobody has looked at the single losses."""
        return TrainingError(
            f"the loss became {self.mean_loss} during epoch {self.epoch}: either training has diverged (lower the "
            f"learning rate, now {self.optimizer.lr:g}, or normalise the images), or the data hold NaN or a label "
            "that is no class. The weights are of no use any more; an epoch on the CPU would say which"
        )

    # ---- evaluation

    def evaluate(self, batches: Batches) -> Evaluation:
        """Loss, logits and metrics over all batches, in eval mode and without caches."""
        _check_source("evaluate", batches)
        self._tell("before_evaluation")
        losses, outputs, labels = [0.0], [], []
        with evaluating(self.model), np.errstate(over="ignore", invalid="ignore"):
            for x, y in _as_batches(batches):
                if len(x) == 0:
                    continue
                y = to_device(as_array(y), self.model.device)
                logits = self.model.forward(to_device(x, self.model.device))
                loss = float(self.loss.forward(logits, y))
                if not math.isfinite(loss) and (bad := _describe_bad(x, y)):
                    raise DataError(f"{bad} (batch {len(losses)} of the evaluation); clean the data first")
                losses.append(loss * len(x))
                outputs.append(to_numpy(logits))
                labels.append(to_numpy(y))
        if not outputs:
            raise DataError("there is nothing to evaluate: the data gave no images")
        all_labels = np.concatenate(labels)
        self.evaluation = Evaluation(math.fsum(losses) / len(all_labels), np.concatenate(outputs), all_labels)
        self._tell("after_evaluation")
        return self.evaluation

    def predict(self, images: Array | Batches) -> np.ndarray:
        """Class probabilities (N, K): the softmax of the logits.

        images: prepared network input (N, C, H, W), a data set, or batches whose labels are ignored.
        """
        return predict(self.model, images)

    # ---- bookkeeping

    @property
    def batch_loss(self) -> float:
        """The last batch's mean loss. On a GPU, reading it waits until it is computed."""
        return float(self._batch_loss)

    @property
    def mean_loss(self) -> float:
        """The mean loss over this epoch's images so far; nan before the first batch."""
        return self._sums.mean_loss

    @property
    def mean_accuracy(self) -> float | None:
        """The share of this epoch's images classified rightly so far; None where labels are no classes."""
        return self._sums.mean_accuracy

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            method = getattr(callback, event, None)
            if method is not None:
                method(self)


def predict(model: Layer, images: Array | Batches) -> np.ndarray:
    """Class probabilities (N, K) of prepared images, a data set, or batches: softmax of the logits."""
    parts = []
    with evaluating(model):
        for x, _ in _as_batches(images):
            logits = model.forward(to_device(x, model.device))
            parts.append(to_numpy(softmax_forward(logits, dim=1)[0]))
    if not parts:
        raise DataError("there is nothing to predict: no image was given")
    return np.concatenate(parts)


def _as_batches(source: Any) -> Iterator[tuple[Array, Array]]:
    if isinstance(source, ArrayDataset):
        yield from Loader(source, batch_size=EVALUATION_BATCH)
    elif hasattr(source, "shape"):
        for start in range(0, len(source), EVALUATION_BATCH):
            yield source[start : start + EVALUATION_BATCH], None
    else:
        yield from source


def _check_source(who: str, source: Any) -> None:
    """Raise ConfigError for what a newcomer gives by mistake: bare arrays, or a data set with both its parts."""
    advice = None
    if isinstance(source, tuple) or hasattr(source, "shape"):
        advice = "images and labels become a data set by data.ArrayDataset(images, labels)"
    elif isinstance(getattr(source, "train", None), ArrayDataset):
        advice = "pick a part of it, .train or .test"
    elif not isinstance(source, (ArrayDataset, Iterable)):
        advice = "batches are pairs (x, labels)"
    if advice:
        raise ConfigError(
            f"{who} takes a Loader, a data set or a list of batches, got {type(source).__name__}: {advice}"
        )


def _describe_bad(x: Array, labels: Array) -> str:
    """Which numbers of a batch are not finite; nothing when all are."""
    for what, array, rows in (("input holds", x, "images"), ("labels hold", labels, "samples")):
        finite = np.isfinite(to_numpy(array))
        bad = ~finite.all(axis=tuple(range(1, finite.ndim)))
        if bad.any():
            return (
                f"the {what} NaN or infinity: {int(bad.sum())} of {len(bad)} {rows}, "
                f"first number {int(bad.argmax())} in the batch"
            )
    return ""


def _is_classes(labels: Array) -> bool:
    return labels.dtype.kind in "iu" and labels.ndim == 1


def _count_images(batches: Any) -> int | None:
    """Images in one pass of a Loader; None for anything else."""
    if not isinstance(batches, Loader):
        return None
    full = len(batches) * batches.batch_size
    return full if batches.drop_last else batches.num_samples

"""The training loop, without autograd: forward, loss, backward, update, each a line you can see."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

import numpy as np

from minicnn.backend import Array, device_of, to_device, to_numpy
from minicnn.data import ArrayDataset, Loader
from minicnn.errors import ConfigError, DataError, TrainingError
from minicnn.functional.softmax import softmax_forward
from minicnn.layers.base import Layer, backward_into
from minicnn.layers.inference import evaluating
from minicnn.losses import Loss, right_answers
from minicnn.optim import Optimizer
from minicnn.train.batches import (
    Batch,
    Batches,
    as_batches,
    check_source,
    count_images,
    describe_bad,
    go_on,
    is_classes,
    rest_of_epoch,
    state_after,
)
from minicnn.train.callbacks import BATCH_EVENTS, Callback, listeners
from minicnn.train.device import Sums, as_array, on_device
from minicnn.train.graph import StepGraph, step_for
from minicnn.train.history import EpochRecord, History
from minicnn.train.metrics import Evaluation


class Trainer:
    """Trains a model on batches (x, labels), and tells the callbacks.

    model: any Layer. loss: from minicnn.losses. optimizer: made for this model.
    schedule: from minicnn.schedules, stepped by batch or by epoch as it says.
    graph: on a GPU, replay the step as one CUDA graph: "auto" where it can be recorded, True or
    False (see graph.py); on a CPU it means nothing.

    While training, callbacks may read: epoch and last_epoch (from 1), step (batches so far,
    over all epochs), batch (x and labels), batch_size, batch_loss, batch_lr (the learning rate it
    was trained with), mean_loss and mean_accuracy (of this epoch so far), images_so_far and
    images_per_epoch (None if unknown), history, evaluation (the last one), error (what ended the
    training, if anything); and set `stop` (this epoch is finished first) or `interrupt` (this
    batch is; a later fit goes on in the middle of the epoch).
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
        self.batch: Batch | None = None
        self.loss_value: Array | float = float("nan")  # of the last batch, on its device
        self.batch_lr = float("nan")
        self.images_per_epoch: int | None = None
        self.stop = self.interrupt = False
        self.error: Exception | None = None
        self.graph = graph
        self._step_graph: StepGraph | None = None
        self._listeners: dict[str, list[Callable[[Trainer], None]]] = {}
        # Where training stands: train/state.py stores these in a checkpoint.
        self.batches: Any = None  # what fit was given
        self.validation: Batches | None = None
        self.begun_at = 0  # the epochs that were over when this fit began
        self.mid_epoch = False  # whether the present epoch is unfinished
        self.epoch_batches = 0  # batches of this epoch so far
        self.seconds = 0.0  # of training in this epoch so far
        self.sums = Sums()  # of this epoch so far
        self._pass_state: Any = None  # of the loader, when the present pass over it began

    # ---- training

    def fit(
        self,
        training: Batches,
        validation: Batches | None = None,
        epochs: int = 10,
        *,
        resume: str | PathLike[str] | None = None,
    ) -> History:
        """Train for a number of epochs; with a validation set, evaluate on it after each.

        training gives a fresh pass over the data each time it is iterated, as a Loader does
        (a data set is loaded in shuffled batches of 64). A second fit goes on where the first
        ended. Returns the history of all epochs.

        resume: a folder of checkpoints (see Checkpoint). Training goes on from the newest one as if it
        had never stopped, `epochs` counting those before it; without any it begins anew.

        Raises TrainingError when the loss is no longer finite, DataError when the data hold NaN,
        CheckpointError when there are checkpoints but none can be used.
        """
        if epochs < 1:
            raise ConfigError(f"fit: epochs must be at least 1, got {epochs}")
        check_source("fit", training)
        batches = (
            Loader(training, batch_size=64, shuffle=True) if isinstance(training, ArrayDataset) else training
        )
        if batches is not self.batches:
            self.batches, self._pass_state = batches, None
        self.validation = validation
        self.images_per_epoch = count_images(self.batches)
        self.stop = self.interrupt = False
        self.error = None
        if resume is not None:
            from minicnn.train.resuming import load_newest

            load_newest(self, resume)
        elif self.mid_epoch:
            go_on(self.batches, self.data_state())
        else:
            self.begun_at = self.epoch
        self.last_epoch = self.begun_at + epochs
        self._step_graph = step_for(self.model, self.loss, self.graph)
        self.model.train()
        # Asked once: four events a batch for every callback would be felt.
        self._listeners = {event: listeners(self.callbacks, event) for event in BATCH_EVENTS}
        try:
            self._tell("before_fit")
            # Of an overflow, explain_loss says more than NumPy. Around all batches: entered in each, it would be felt.
            with np.errstate(over="ignore", invalid="ignore"):
                while (self.mid_epoch or self.epoch < self.last_epoch) and not (self.stop or self.interrupt):
                    self._fit_epoch()
        except BaseException as error:
            self.mid_epoch = False  # the batch may be half done: no one can go on from here
            if isinstance(error, Exception):
                self.error = error
                self._tell("after_error")
            raise
        finally:
            self._tell("after_fit")
            self._listeners = {}
            self.batch = None
        return self.history

    def _fit_epoch(self) -> None:
        rest = rest_of_epoch(self.batches, self.epoch_batches) if self.mid_epoch else self.batches
        if not self.mid_epoch:
            self._begin_epoch()
        self._tell("before_epoch")
        start = time.perf_counter() - self.seconds
        passing = iter(rest)
        self._pass_state = state_after(self.batches, None, self.epoch_batches)
        for batch in on_device(passing, self.model.device):
            self.batch = batch
            self._tell("before_batch")
            self._fit_batch(*batch)
            self.seconds = time.perf_counter() - start
            self._tell("after_batch")
            self._tell("safe_point")
            if self.interrupt:
                return
        if self.images_so_far and not math.isfinite(self.mean_loss):  # waits for the GPU
            raise self._explain_epoch()
        if self.model.device != "cpu":
            self.seconds = time.perf_counter() - start
        if self.images_so_far == 0:
            raise DataError(
                "the training data gave no batch: check its length, batch_size and drop_last"
                if self.step == 0
                else f"the training data gave no batch in epoch {self.epoch}, though they did before: a generator "
                "can be read only once, so give a Loader, a data set or a list of batches"
            )
        self._end_epoch()
        self._tell("after_epoch")
        self._tell("safe_point")

    def _begin_epoch(self) -> None:
        self.epoch += 1
        self.mid_epoch = True
        self.epoch_batches, self.seconds, self.sums = 0, 0.0, Sums()

    def _end_epoch(self) -> None:
        evaluation = None if self.validation is None else self.evaluate(self.validation)
        self.history.append(
            EpochRecord(
                epoch=self.epoch,
                lr=self.batch_lr,
                train_loss=self.mean_loss,
                train_accuracy=self.mean_accuracy,
                validation_loss=None if evaluation is None else evaluation.loss,
                validation_accuracy=None
                if evaluation is None or not is_classes(evaluation.labels)
                else evaluation.accuracy,
                seconds=self.seconds,
                images_per_second=self.images_so_far / self.seconds,
            )
        )
        if self.schedule is not None and self.schedule.steps_by == "epoch":
            self._step_schedule_by_epoch()
        self.mid_epoch = False

    def _fit_batch(self, x: Array, labels: Array) -> None:
        self.optimizer.zero_grad()
        if self._step_graph is not None:
            self.loss_value, logits = self._step_graph(x, labels)  # backward included
            self._tell("after_loss")
        else:
            logits = self.model.forward(x)
            self.loss_value = self.loss.forward(logits, labels)
            # On a GPU it is looked at when someone asks, and at the end of the epoch.
            if device_of(self.loss_value) == "cpu" and not math.isfinite(self.batch_loss):
                raise self.explain_loss(x, labels)
            self._tell("after_loss")
            backward_into(self.model, self.loss.backward(), need_dx=False)
        self._tell("after_backward")
        self.optimizer.step()
        self.batch_lr = self.optimizer.lr
        if self.schedule is not None and self.schedule.steps_by == "batch":
            self.schedule.step()

        self.step += 1
        self.epoch_batches += 1
        self.batch_size = len(x)
        first = logits[0] if isinstance(logits, tuple) else logits
        self.sums.add(self.loss_value, first, labels, getattr(self.loss, "right_answers", right_answers))

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

    def explain_loss(self, x: Array, labels: Array) -> TrainingError | DataError:
        """The error for a batch whose loss is not finite."""
        where = f"epoch {self.epoch}, batch {self.step + 1} counted from the start"
        if len(x) == 0:
            return DataError(f"a batch holds no image ({where}), so it has no mean loss: leave it out")
        bad = describe_bad(x, labels)
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
        check_source("evaluate", batches)
        self._tell("before_evaluation")
        losses, outputs, labels = [0.0], [], []
        with evaluating(self.model), np.errstate(over="ignore", invalid="ignore"):
            for x, y in as_batches(batches):
                if len(x) == 0:
                    continue
                y = to_device(as_array(y), self.model.device)
                logits = self.model.forward(to_device(x, self.model.device))
                loss = float(self.loss.forward(logits, y))
                if not math.isfinite(loss) and (bad := describe_bad(x, y)):
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
        return float(self.loss_value)

    @property
    def images_so_far(self) -> int:
        """Images of this epoch that were trained on."""
        return self.sums.images

    @property
    def mean_loss(self) -> float:
        """The mean loss over this epoch's images so far; nan before the first batch."""
        return self.sums.mean_loss

    @property
    def mean_accuracy(self) -> float | None:
        """The share of this epoch's images classified rightly so far; None where labels are no classes."""
        return self.sums.mean_accuracy

    def data_state(self) -> Any:
        """Where the training data stand, as their state_dict says it; None where they have none."""
        return state_after(self.batches, self._pass_state, self.epoch_batches if self.mid_epoch else 0)

    def weights_to_keep(self) -> dict[str, Array]:
        """The state dict that evaluations judge: a callback's averaged weights where one averages."""
        for callback in self.callbacks:
            averaged = getattr(callback, "averaged_state", None)
            if averaged is not None and (state := averaged(self)) is not None:
                return state
        return self.model.state_dict()

    def _tell(self, event: str) -> None:
        known = self._listeners.get(event)
        for method in listeners(self.callbacks, event) if known is None else known:
            method(self)


def predict(model: Layer, images: Array | Batches) -> np.ndarray:
    """Class probabilities (N, K) of prepared images, a data set, or batches: softmax of the logits."""
    parts = []
    with evaluating(model):
        for x, _ in as_batches(images):
            logits = model.forward(to_device(x, model.device))
            parts.append(to_numpy(softmax_forward(logits, dim=1)[0]))
    if not parts:
        raise DataError("there is nothing to predict: no image was given")
    return np.concatenate(parts)

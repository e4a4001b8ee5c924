"""Callbacks: what happens around training, kept out of the training loop.

A callback is an object with any of these methods; each gets the trainer, whose attributes
tell where training stands (epoch, step, batch_loss, history, evaluation ...).

    before_fit, after_fit                 once; after_fit also when training ends in an error
    before_epoch, after_epoch             after_epoch comes after the epoch's evaluation
    before_batch, after_batch             after_batch comes after the optimizer's step
    after_loss                            the batch's loss is known, on a CPU to be finite; its weights are unchanged
    after_backward                        between backward and the optimizer's step: gradients are whole
    before_evaluation, after_evaluation   around every Trainer.evaluate
    safe_point                            after every batch and every epoch, once all callbacks have been
                                          told of it: the state is whole, a checkpoint may be written
    after_error                           trainer.error ended the training; after_fit follows

A callback ends training by setting trainer.stop = True: the epoch is finished first; or
trainer.interrupt = True: the batch is, and the next fit goes on in the middle of the epoch.

What a callback must remember to go on after a stop, it gives by state_dict() and takes back by
load_state_dict(state): plain JSON, with arrays, if any, in a dict under the key "arrays".
"""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.backend import Array
from minicnn.errors import TrainingError
from minicnn.train.history import EpochRecord
from minicnn.weights.files import write_whole

if TYPE_CHECKING:
    from minicnn.train.trainer import Trainer


class Callback:
    """The base class: does nothing. Override what you need."""

    def before_fit(self, trainer: Trainer) -> None: ...
    def after_fit(self, trainer: Trainer) -> None: ...
    def before_epoch(self, trainer: Trainer) -> None: ...
    def after_epoch(self, trainer: Trainer) -> None: ...
    def before_batch(self, trainer: Trainer) -> None: ...
    def after_batch(self, trainer: Trainer) -> None: ...
    def after_loss(self, trainer: Trainer) -> None: ...
    def after_backward(self, trainer: Trainer) -> None: ...
    def safe_point(self, trainer: Trainer) -> None: ...
    def after_error(self, trainer: Trainer) -> None: ...
    def before_evaluation(self, trainer: Trainer) -> None: ...
    def after_evaluation(self, trainer: Trainer) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold of this callback; nothing by default."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as when the state was taken."""


BATCH_EVENTS = ("before_batch", "after_loss", "after_backward", "after_batch", "safe_point")


def listeners(callbacks: Iterable[Any], event: str) -> list[Callable[[Trainer], None]]:
    """The methods for an event, in order, without those that the base class gives and do nothing."""
    idle = getattr(Callback, event)
    methods = (getattr(callback, event, None) for callback in callbacks)
    return [
        method for method in methods if method is not None and getattr(method, "__func__", None) is not idle
    ]


class Progress(Callback):
    """A progress bar per epoch: images per second, loss, accuracy, time left; then a line that stays.

    Bars are for people: in a terminal, and in a notebook where ipywidgets is installed.
    Elsewhere (a file, CI) only the lines are printed.
    """

    def __init__(self) -> None:
        self.bar: Any = None

    def before_epoch(self, trainer: Trainer) -> None:
        # A notebook says that it is a terminal, but without ipywidgets every update would be a new line.
        shows_bars = bool(find_spec("ipywidgets")) if _in_notebook() else sys.stderr.isatty()
        if _in_notebook() and shows_bars:
            from tqdm.notebook import tqdm
        else:
            from tqdm import tqdm
        self.bar = tqdm(
            total=trainer.images_per_epoch,
            initial=trainer.images_so_far,
            desc=f"epoch {trainer.epoch}/{trainer.last_epoch}",
            unit=" images",
            leave=False,
            disable=not shows_bars,
            dynamic_ncols=True,
        )

    def after_batch(self, trainer: Trainer) -> None:
        self.bar.update(trainer.batch_size)
        shown = f"loss {_short(trainer.mean_loss)}"
        if trainer.mean_accuracy is not None:
            shown += f", accuracy {trainer.mean_accuracy:.1%}"
        self.bar.set_postfix_str(shown, refresh=False)

    def after_epoch(self, trainer: Trainer) -> None:
        self.bar.close()
        print(describe_epoch(trainer), file=sys.stdout if _in_notebook() else sys.stderr)

    def after_fit(self, trainer: Trainer) -> None:
        if self.bar is not None:
            self.bar.close()


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules


def describe_epoch(trainer: Trainer) -> str:
    """The last epoch as one line."""
    record = trainer.history[-1]
    parts = [f"epoch {record.epoch:>3}/{trainer.last_epoch}", f"loss {_short(record.train_loss)}"]
    if record.train_accuracy is not None:
        parts.append(f"accuracy {record.train_accuracy:.1%}")
    if record.validation_loss is not None:
        parts.append(f"validation loss {_short(record.validation_loss)}")
    if record.validation_accuracy is not None:
        parts.append(f"accuracy {record.validation_accuracy:.1%}")
    return "  ".join([*parts, f"{record.images_per_second:,.0f} images/s"])


def _short(loss: float) -> str:
    """Three decimals; a loss that runs away would be thirty digits long."""
    return f"{loss:.3f}" if loss < 1e4 else f"{loss:.3g}"


class CsvLog(Callback):
    """The history as a CSV file, written anew after every epoch, whole or not at all."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def after_epoch(self, trainer: Trainer) -> None:
        rows = [record.to_dict() for record in trainer.history]
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(self.path, text.getvalue().encode())


def standing(record: EpochRecord) -> tuple[float, float] | None:
    """What decides which epoch was the best, more is better; None without a validation set."""
    if record.validation_loss is None:
        return None
    # A loss that is not a number compares as neither better nor worse: here it is the worst.
    loss = record.validation_loss if math.isfinite(record.validation_loss) else math.inf
    return record.validation_accuracy or 0.0, -loss


class BestWeights(Callback):
    """Keeps the weights of the epoch with the best validation accuracy, the lower loss deciding ties.

    path: a .safetensors file to keep them in as well. restore(model) puts them back.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.epoch: int | None = None
        self._best: tuple[float, float] | None = None
        self._state: dict[str, Array] | None = None

    def after_epoch(self, trainer: Trainer) -> None:
        record = trainer.history[-1]
        now = standing(record)
        if now is None:
            raise TrainingError("BestWeights needs a validation set: fit(training, validation, ...)")
        now = self.merit(trainer), now[1]
        if self._best is not None and now <= self._best:
            return
        self._best, self.epoch = now, record.epoch
        self._state = trainer.weights_to_keep()
        self._write()

    def _write(self) -> None:
        if self.path is not None and self._state is not None:
            from minicnn import weights

            weights.write(self._state, self.path, {"epoch": str(self.epoch)})

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "best": self._best, "arrays": self._state or {}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Also writes the file again: after a crash it may hold an epoch that training has yet to reach."""
        self.epoch = state["epoch"]
        self._best = None if state["best"] is None else (state["best"][0], state["best"][1])
        self._state = dict(state["arrays"]) or None
        self._write()

    def merit(self, trainer: Trainer) -> float:
        """What is compared: the validation accuracy."""
        return trainer.history[-1].validation_accuracy or 0.0

    def restore(self, model: Any) -> None:
        """Load the best weights into the model."""
        if self._state is None:
            raise TrainingError("BestWeights has kept nothing yet: call fit first")
        model.load_state_dict(self._state)

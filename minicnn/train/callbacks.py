"""Callbacks: what happens around training, kept out of the training loop.

A callback is an object with any of these methods; each gets the trainer, whose attributes
tell where training stands (epoch, step, batch_loss, history, evaluation ...).

    before_fit, after_fit                 once; after_fit also when training ends in an error
    before_epoch, after_epoch             after_epoch comes after the epoch's evaluation
    before_batch, after_batch             after_batch comes after the optimizer's step
    before_evaluation, after_evaluation   around every Trainer.evaluate

A callback ends training by setting trainer.stop = True: the epoch is finished first.
"""

from __future__ import annotations

import csv
import io
import math
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.backend import Array
from minicnn.errors import TrainingError
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
    def before_evaluation(self, trainer: Trainer) -> None: ...
    def after_evaluation(self, trainer: Trainer) -> None: ...


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
        if record.validation_loss is None:
            raise TrainingError("BestWeights needs a validation set: fit(training, validation, ...)")
        # A loss that is not a number compares as neither better nor worse: here it is the worst.
        loss = record.validation_loss if math.isfinite(record.validation_loss) else math.inf
        standing = (self.merit(trainer), -loss)
        if self._best is not None and standing <= self._best:
            return
        self._best, self.epoch = standing, record.epoch
        self._state = trainer.model.state_dict()
        if self.path is not None:
            from minicnn import weights

            weights.save(trainer.model, self.path, {"epoch": str(record.epoch)})

    def merit(self, trainer: Trainer) -> float:
        """What is compared: the validation accuracy."""
        return trainer.history[-1].validation_accuracy or 0.0

    def restore(self, model: Any) -> None:
        """Load the best weights into the model."""
        if self._state is None:
            raise TrainingError("BestWeights has kept nothing yet: call fit first")
        model.load_state_dict(self._state)

"""Stop when nothing improves any more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minicnn.errors import ConfigError, TrainingError
from minicnn.train.callbacks import Callback

if TYPE_CHECKING:
    from minicnn.train.trainer import Trainer

MONITORS = {"validation_loss": -1, "validation_accuracy": 1, "train_loss": -1, "train_accuracy": 1}


class EarlyStopping(Callback):
    """Ends training when a figure has not improved by more than min_delta for `patience` epochs (Prechelt 1998).

    monitor: a column of the history: validation_loss, validation_accuracy, train_loss or train_accuracy.
    `stopped_epoch` is the epoch at which it did, or None. Use BestWeights to keep the best epoch's weights.
    """

    def __init__(self, patience: int = 5, monitor: str = "validation_loss", min_delta: float = 0.0) -> None:
        if monitor not in MONITORS:
            raise ConfigError(f"EarlyStopping: monitor is one of {', '.join(MONITORS)}, got {monitor!r}")
        if patience < 1 or not min_delta >= 0:
            raise ConfigError(
                f"EarlyStopping: patience must be 1 epoch or more and min_delta 0 or more, got {patience}, {min_delta}"
            )
        self.patience, self.monitor, self.min_delta = patience, monitor, min_delta
        self.best: float | None = None
        self.bad_epochs = 0
        self.stopped_epoch: int | None = None

    def after_epoch(self, trainer: Trainer) -> None:
        value = getattr(trainer.history[-1], self.monitor)
        if value is None:
            raise TrainingError(
                f"EarlyStopping watches {self.monitor}, and this training has none: give fit a validation set with "
                "class labels, or watch another figure"
            )
        sign = MONITORS[self.monitor]
        if math.isfinite(value) and (self.best is None or sign * (value - self.best) > self.min_delta):
            self.best, self.bad_epochs = value, 0
            return
        self.bad_epochs += 1
        if self.bad_epochs >= self.patience:
            self.stopped_epoch = trainer.epoch
            trainer.stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "bad_epochs": self.bad_epochs, "stopped_epoch": self.stopped_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best, self.bad_epochs = state["best"], state["bad_epochs"]
        self.stopped_epoch = state["stopped_epoch"]

"""Event files for TensorBoard, written by the tensorboard package where it is installed."""

from __future__ import annotations

import time
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.errors import ConfigError
from minicnn.train.callbacks import Callback

if TYPE_CHECKING:
    from minicnn.train.trainer import Trainer


class TensorBoard(Callback):
    """Loss and learning rate every `every` batches, and the history's figures after each epoch, as scalars.

    folder: what `tensorboard --logdir` is given. Raises ConfigError when tensorboard is not installed. Each
    fit writes a file of its own; after a resume TensorBoard forgets the steps that come again.
    """

    def __init__(self, folder: str | PathLike[str], every: int = 10) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise ConfigError(
                "the TensorBoard callback needs the tensorboard package: pip install tensorboard; without it, "
                "JsonLines and CsvLog write the same figures"
            ) from error
        self.folder, self.every = Path(folder), every
        self._events, self._summaries, self._open = event_pb2, summary_pb2, EventFileWriter
        self._writer: Any = None

    def before_fit(self, trainer: Trainer) -> None:
        self._writer = self._open(str(self.folder))
        # "This session starts here": what an earlier one wrote behind this step is purged.
        start = self._events.SessionLog(status=self._events.SessionLog.START)
        self._writer.add_event(
            self._events.Event(wall_time=time.time(), step=trainer.step + 1, session_log=start)
        )

    def after_batch(self, trainer: Trainer) -> None:
        if trainer.step % self.every == 0:
            self._write(trainer.step, {"batch/loss": trainer.batch_loss, "batch/lr": trainer.batch_lr})

    def after_epoch(self, trainer: Trainer) -> None:
        record = trainer.history[-1].to_dict()
        del record["epoch"]
        self._write(
            trainer.step, {f"epoch/{name}": value for name, value in record.items() if value is not None}
        )

    def after_fit(self, trainer: Trainer) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, step: int, scalars: dict[str, Any]) -> None:
        values = [
            self._summaries.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()
        ]
        self._writer.add_event(
            self._events.Event(
                wall_time=time.time(), step=step, summary=self._summaries.Summary(value=values)
            )
        )

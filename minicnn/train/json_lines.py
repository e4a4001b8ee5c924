"""Metrics as JSON lines, one object a line, to follow with tail -f and to read with any program."""

from __future__ import annotations

import json
import math
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.errors import ConfigError
from minicnn.train.callbacks import Callback
from minicnn.weights.files import write_whole

if TYPE_CHECKING:
    from minicnn.train.trainer import Trainer


class JsonLines(Callback):
    """Appends to a file: a line every `every` batches, and one after each epoch.

        {"kind": "batch", "step": 50, "epoch": 1, "loss": 0.71, "lr": 0.004}
        {"kind": "epoch", "step": 71, "epoch": 1, "train_loss": 0.9, ...}

    The fields of an epoch are those of EpochRecord; NaN and infinities are null. When training is resumed,
    lines behind the checkpoint, or cut short by a crash, are dropped: they will come again. A training from the
    start begins the file anew.
    """

    def __init__(self, path: str | PathLike[str], every: int = 10) -> None:
        if every < 1:
            raise ConfigError(f"JsonLines: every must be 1 batch or more, got {every}")
        self.path = Path(path)
        self.every = every
        self._lines: list[str] = []

    def before_fit(self, trainer: Trainer) -> None:
        kept = [
            line
            for line in (self._read() if trainer.step else ())
            if line["step"] <= trainer.step
            and (line.get("kind") != "epoch" or line.get("epoch", 0) <= len(trainer.history))
        ]
        write_whole(self.path, "".join(_line(line) for line in kept).encode())

    def after_batch(self, trainer: Trainer) -> None:
        if trainer.step % self.every == 0:
            self._lines.append(
                _line(
                    {
                        "kind": "batch",
                        "step": trainer.step,
                        "epoch": trainer.epoch,
                        "loss": trainer.batch_loss,
                        "lr": trainer.batch_lr,
                    }
                )
            )

    def after_epoch(self, trainer: Trainer) -> None:
        record = trainer.history[-1].to_dict()
        self._lines.append(_line({"kind": "epoch", "step": trainer.step, **record}))
        self._flush()

    def safe_point(self, trainer: Trainer) -> None:
        if len(self._lines) >= 20 or trainer.interrupt:
            self._flush()

    def after_fit(self, trainer: Trainer) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._lines:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(self._lines))
            self._lines = []

    def _read(self) -> list[dict[str, Any]]:
        """The lines that are whole."""
        lines = []
        for text in self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else ():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and isinstance(line.get("step"), int):
                lines.append(line)
        return lines


def _line(content: dict[str, Any]) -> str:
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in content.items()
    }
    return json.dumps(finite) + "\n"

"""The callback that writes checkpoints, and keeps the last few and the best."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import minicnn
from minicnn.backend import get_xp
from minicnn.errors import CheckpointError, ConfigError
from minicnn.train.callbacks import Callback, standing
from minicnn.train.checkpoint_files import checkpoints_in, name_of, remove_checkpoint, write_checkpoint
from minicnn.train.state import take_state, to_json

if TYPE_CHECKING:
    from minicnn.train.trainer import Trainer


class Checkpoint(Callback):
    """Writes the whole state of the training into a folder, from which fit(..., resume=folder) goes on.

    A checkpoint is written after every `every_epochs` epochs, within an epoch every `every_seconds` seconds
    and every `every_steps` batches (None: never), and where training is interrupted. The newest `keep` stay,
    and the one of the best epoch (by validation accuracy, then loss).

    identity: settings, plain JSON, that must be the same when training is resumed; learning rate and
    such, which neither model nor optimizer would betray.

    Raises CheckpointError when the folder holds the checkpoints of another training, and when the disk
    is full or refuses: training then ends, and the older checkpoints are untouched.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        *,
        every_epochs: int | None = 1,
        every_seconds: float | None = 60.0,
        every_steps: int | None = None,
        keep: int = 3,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        for name, value in (("every_epochs", every_epochs), ("every_steps", every_steps), ("keep", keep)):
            if value is not None and value < 1:
                raise ConfigError(f"Checkpoint: {name} must be 1 or more, got {value}")
        self.folder = Path(folder)
        self.every_epochs, self.every_seconds, self.every_steps = every_epochs, every_seconds, every_steps
        self.keep = keep
        self.identity = None if identity is None else dict(identity)
        self.best: str | None = None  # the name of the best epoch's checkpoint
        self._best_standing: tuple[float, float] | None = None
        self._last: str | None = None
        self._written_at = 0.0

    def before_fit(self, trainer: Trainer) -> None:
        self._written_at = time.monotonic()
        newest = next(iter(checkpoints_in(self.folder)), None)
        if newest is not None and trainer.step == 0:
            raise CheckpointError(
                f"{self.folder} holds checkpoints of another training: go on with it by fit(..., resume=folder), "
                "or give this one another folder"
            )

    def safe_point(self, trainer: Trainer) -> None:
        if not (trainer.interrupt or self._is_due(trainer)):
            return
        name = name_of(trainer.step, epoch_end=not trainer.mid_epoch)
        if name == self._last:
            return
        if not all(bool(get_xp(p.value).isfinite(p.value).all()) for p in trainer.model.parameters()):
            return  # diverged, which the next loss will tell: the checkpoint before is worth more
        if not trainer.mid_epoch:
            self._judge(trainer, name)
        files = take_state(trainer) | {"run.json": to_json({"identity": self.identity, "made_by": made_by()})}
        write_checkpoint(self.folder / name, files)
        self._last, self._written_at = name, time.monotonic()
        for old in checkpoints_in(self.folder)[self.keep :]:
            if old.name not in (name, self.best):
                remove_checkpoint(old)

    def _is_due(self, trainer: Trainer) -> bool:
        if not trainer.mid_epoch:
            last = trainer.stop or trainer.epoch >= trainer.last_epoch
            return self.every_epochs is not None and (last or trainer.epoch % self.every_epochs == 0)
        return (self.every_steps is not None and trainer.step % self.every_steps == 0) or (
            self.every_seconds is not None and time.monotonic() - self._written_at >= self.every_seconds
        )

    def _judge(self, trainer: Trainer, name: str) -> None:
        now = standing(trainer.history[-1])
        if now is not None and (self._best_standing is None or now > self._best_standing):
            self._best_standing, self.best = now, name

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "standing": self._best_standing}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best = state["best"]
        self._best_standing = None if state["standing"] is None else tuple(state["standing"])


def made_by() -> dict[str, Any]:
    """What the bits of a training may depend on beside its settings."""
    from minicnn.kernels.threads import get_num_threads

    return {
        "minicnn": minicnn.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": get_num_threads(),
    }

"""A small training with everything that draws, to stop, to go on with, and to compare to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.data import Loader
from minicnn.losses import CrossEntropyLoss
from minicnn.optim import SGD, Adagrad, Adam, Optimizer, RMSprop
from minicnn.schedules import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau
from minicnn.train import BestWeights, Callback, Checkpoint, Trainer
from tests.support.training import tiny_data, tiny_network, weights_digest

EPOCHS, BATCHES = 3, 4
OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "sgd": lambda model: SGD(model, lr=0.1),
    "momentum": lambda model: SGD(model, lr=0.05, momentum=0.9, weight_decay=1e-3),
    "adam": Adam,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
}
SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "none": lambda optimizer: None,
    "one-cycle": lambda optimizer: OneCycleLR(
        optimizer, max_lr=0.1, total_steps=EPOCHS * BATCHES, cycle_momentum=False
    ),
    "plateau": lambda optimizer: ReduceLROnPlateau(optimizer, patience=0),
    "cosine": lambda optimizer: CosineAnnealingLR(optimizer, T_max=EPOCHS),
}


class InterruptAt(Callback):
    """Interrupts after so many batches."""

    def __init__(self, step: int) -> None:
        self.step = step

    def after_batch(self, trainer: Trainer) -> None:
        trainer.interrupt = trainer.step == self.step


def make(
    folder: Path | None,
    *more: Callback,
    optimizer: str = "adam",
    schedule: str = "none",
    seed: int = 0,
    **every: Any,
) -> tuple[Trainer, Loader]:
    """A training with everything that draws, and its loader; the seed decides how it begins."""
    model = tiny_network(seed)
    opt = OPTIMIZERS[optimizer](model)
    callbacks: list[Callback] = [BestWeights(), *more]
    if folder is not None:
        callbacks.append(Checkpoint(folder, **every))
    trainer = Trainer(model, CrossEntropyLoss(), opt, SCHEDULES[schedule](opt), callbacks)
    return trainer, Loader(tiny_data(31), 8, shuffle=True, rng=np.random.default_rng(seed))


def fit(made: tuple[Trainer, Loader], **options: Any) -> Trainer:
    trainer, loader = made
    trainer.fit(loader, tiny_data(9, seed=5), epochs=EPOCHS, **options)
    return trainer


def everything(trainer: Trainer) -> dict[str, Any]:
    """All that must be the same, clocks left out."""
    history = [record.to_dict() for record in trainer.history]
    for record in history:
        del record["seconds"], record["images_per_second"]
    best = trainer.callbacks[0]
    assert isinstance(best, BestWeights)
    arrays = trainer.optimizer.state_dict()["arrays"]
    return {
        "weights": weights_digest(trainer.model),
        "optimizer": {name: array.tobytes() for name, array in arrays.items()},
        "history": repr(history),
        "best": (best.epoch, {name: array.tobytes() for name, array in best.state_dict()["arrays"].items()}),
        "step": trainer.step,
    }


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

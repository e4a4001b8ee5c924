"""Small things to train: a network that takes milliseconds, data that it can learn, and one real run."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minicnn import data
from minicnn.data import ArrayDataset, Loader
from minicnn.data.transforms import Compose, RandomCrop, RandomHorizontalFlip, RandomRotation
from minicnn.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU, Sequential
from minicnn.losses import CrossEntropyLoss
from minicnn.optim import SGD, Adam
from minicnn.train import Callback, Trainer

ROOT = Path(__file__).parents[2]
CLASSES = 3


def tiny_network(seed: int = 0, in_channels: int = 1) -> Sequential:
    """8x8 images, 3 classes; with running statistics and dropout, so that modes matter."""
    rng = np.random.default_rng(seed)
    return Sequential(
        conv=Conv2d(in_channels, 4, 3, padding=1, rng=rng),
        bn=BatchNorm2d(4),
        act=ReLU(),
        pool=MaxPool2d(2),
        flatten=Flatten(),
        drop=Dropout(0.2, rng=rng),
        fc=Linear(4 * 4 * 4, CLASSES, rng=rng),
    )


def linear_network(seed: int = 0) -> Sequential:
    """The same input, without any mode: what it computes in training and evaluation is the same."""
    return Sequential(flatten=Flatten(), fc=Linear(64, CLASSES, rng=np.random.default_rng(seed)))


def tiny_data(count: int = 24, seed: int = 0) -> ArrayDataset:
    """Class k is bright in the k-th band of rows."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = rng.normal(0, 0.3, (count, 1, 8, 8)).astype(np.float32)
    for image, label in zip(images, labels):
        image[0, 2 * label : 2 * label + 3] += 1
    return ArrayDataset(images, labels)


def weights_digest(model: Layer) -> str:
    """The exact bits of all parameters and buffers, as a short text."""
    digest = hashlib.sha256()
    for name, array in model.state_dict().items():
        digest.update(name.encode() + array.tobytes())
    return digest.hexdigest()


def digest_after_training(seed: int, workers: int = 0) -> str:
    """Three epochs with everything that draws: weights, order, augmentation, dropout."""
    model = tiny_network(seed)
    augment = Compose([RandomHorizontalFlip(), RandomCrop(8, padding=1), RandomRotation(5)])
    loader = Loader(
        tiny_data(40),
        16,
        shuffle=True,
        rng=np.random.default_rng(seed),
        transform=augment,
        workers=workers,
        prefetch=3,
    )
    Trainer(model, CrossEntropyLoss(), Adam(model)).fit(loader, tiny_data(9), epochs=3)
    return weights_digest(model)


EVENTS = (
    "before_fit",
    "after_fit",
    "before_epoch",
    "after_epoch",
    "before_batch",
    "after_batch",
    "before_evaluation",
    "after_evaluation",
)


class Recorder(Callback):
    """Writes down every event, and what the trainer said of itself."""

    def __init__(self, log: list[Any] | None = None, name: str = "") -> None:
        self.log = [] if log is None else log
        self.name = name
        for event in EVENTS:
            setattr(self, event, self.recorder(event))

    def recorder(self, event: str) -> Any:
        def record(trainer: Trainer) -> None:
            self.log.append(
                SimpleNamespace(
                    who=self.name,
                    event=event,
                    epoch=trainer.epoch,
                    step=trainer.step,
                    batch_size=trainer.batch_size,
                    batch_loss=trainer.batch_loss,
                    mean_loss=trainer.mean_loss,
                    records=len(trainer.history),
                )
            )

        return record

    @property
    def events(self) -> list[str]:
        return [entry.event for entry in self.log]


def make_trainer(model: Layer | None = None, lr: float = 0.1, **options: Any) -> Trainer:
    model = linear_network() if model is None else model
    return Trainer(model, CrossEntropyLoss(), SGD(model, lr=lr), **options)


def batches_of(data: ArrayDataset, size: int = 8) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(Loader(data, size))


def python(code: str, cwd: Path = ROOT, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh Python process."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120, **options
    )


def use_small_data(monkeypatch: pytest.MonkeyPatch, train: int, test: int) -> None:
    """Let minicnn.data.load give only so many images of each part."""
    load = data.load

    def load_small(*args: Any, **options: Any) -> data.DataBundle:
        bundle = load(*args, **options)
        parts = {"train": _first(bundle.train, train), "test": _first(bundle.test, test)}
        return data.DataBundle(**(vars(bundle) | parts))

    monkeypatch.setattr(data, "load", load_small)


def _first(dataset: data.ArrayDataset, count: int) -> data.ArrayDataset:
    """`count` samples, from all over the data set."""
    return dataset.subset(slice(None, None, len(dataset) // count))


def use_blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let minicnn.plots draw nothing: it takes longer than a short training."""
    from minicnn import plots
    from minicnn.plots.style import new_picture

    for name in ("learning_curves", "confusion_matrix", "predictions", "filters", "layer_timings"):
        monkeypatch.setattr(plots, name, lambda *args, **options: new_picture(1, 1))


_trained: list[Path] = []


def trained_run(factory: pytest.TempPathFactory) -> Path:
    """The folder of one short real run, made once per test process. Tests only read it.

    It has seen few training images, and the whole test set.
    """
    if not _trained:
        from minicnn.train.recipe import Recipe, run

        folder = factory.mktemp("trained") / "run"
        with pytest.MonkeyPatch.context() as monkeypatch:
            use_small_data(monkeypatch, train=400, test=1000)
            use_blank_figures(monkeypatch)
            run(Recipe(epochs=1), out=folder, quiet=True)
        _trained.append(folder)
    return _trained[0]

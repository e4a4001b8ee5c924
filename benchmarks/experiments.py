"""What the experiments on data share: one training by its settings, and what five seeds say."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import data, models, optim, schedules
from minicnn.data.transforms.presets import augmentation, mixes_labels
from minicnn.train import Evaluation, Trainer
from minicnn.train.balance import make_loss, make_sampler

SEEDS = range(5)
# Student's t, two-sided 95%, by degrees of freedom.
_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


@dataclass(frozen=True)
class Settings:
    """One way to train LeNet-5; `updates` steps whatever the sampler's epoch is."""

    lr: float = 4e-3
    weight_decay: float = 1e-3
    updates: int = 600
    batch_size: int = 64
    balance: str = "none"
    augment: str = "none"


def train_and_test(
    settings: Settings, seed: int, training: data.ArrayDataset, test: data.ArrayDataset
) -> Evaluation:
    """LeNet-5 with Adam and a one-cycle schedule, as `minicnn train` has it; the last weights are tested."""
    model_rng, order_rng = np.random.default_rng(seed).spawn(2)
    soft_labels = mixes_labels(settings.augment)
    sampler = make_sampler(settings.balance, training.labels)
    batches = data.Loader(
        training,
        settings.batch_size,
        shuffle=sampler is None,
        sampler=sampler,
        drop_last=True,
        rng=order_rng,
        transform=augmentation(settings.augment, training.images.shape[1:], training.num_classes),
    )
    model = models.lenet5(num_classes=training.num_classes, rng=model_rng)
    epochs = max(1, round(settings.updates / len(batches)))
    optimizer = optim.Adam(model, lr=settings.lr, weight_decay=settings.weight_decay)
    schedule = schedules.OneCycleLR(optimizer, max_lr=settings.lr, total_steps=epochs * len(batches))
    loss = make_loss(settings.balance, training.labels, training.num_classes, soft_labels)
    trainer = Trainer(model, loss, optimizer, schedule)
    trainer.fit(batches, epochs=epochs)
    return trainer.evaluate(test)


def paired_difference(treated: list[float], baseline: list[float]) -> dict[str, Any]:
    """The mean difference over the seeds, and its 95% interval by Student's t."""
    differences = [a - b for a, b in zip(treated, baseline)]
    mean = statistics.mean(differences)
    half = _T[len(differences) - 1] * statistics.stdev(differences) / len(differences) ** 0.5
    return {"mean": mean, "interval_95": [mean - half, mean + half], "each": differences}


def machine() -> dict[str, Any]:
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "numpy": np.__version__,
    }

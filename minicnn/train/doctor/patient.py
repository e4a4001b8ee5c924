"""What is examined: a model with its loss, its optimizer, its data, and the step that trains it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from minicnn.backend import to_device
from minicnn.data import Loader
from minicnn.layers.base import Layer, backward_into
from minicnn.losses import Loss
from minicnn.optim import Optimizer

Step = Callable[[Any, Any], float]


@dataclass
class Patient:
    """batches: a Loader over the training set. step(x, labels) trains on one batch and returns its loss."""

    model: Layer
    loss: Loss
    optimizer: Optimizer
    batches: Loader
    validation: Any
    num_classes: int
    class_names: tuple[str, ...] | None
    step: Step
    rng: np.random.Generator

    def batch(self, count: int | None = None) -> tuple[Any, Any]:
        """A batch of training images, drawn anew: x (N, C, H, W) and labels (N,).

        As many as the loader's, unless said otherwise: kernels are compiled for a batch size.
        """
        dataset = self.batches.dataset
        rows = self.rng.permutation(len(dataset))[: self.batches.batch_size if count is None else count]
        x, labels = dataset[rows]
        return to_device(x, self.model.device), to_device(labels, self.model.device)

    def stream(self) -> Iterator[tuple[Any, Any]]:
        """Training batches without end."""
        while True:
            yield from self.batches

    def train(self, steps: int) -> list[float]:
        """Train so many steps; the losses of the batches."""
        self.model.train()
        losses = []
        with np.errstate(all="ignore"):
            for x, labels in islice(self.stream(), steps):
                x, labels = to_device(x, self.model.device), to_device(labels, self.model.device)
                losses.append(float(self.step(x, labels)))
                if not np.isfinite(losses[-1]):
                    break
        return losses


def plain_step(model: Layer, loss: Loss, optimizer: Optimizer) -> Step:
    """The step that the trainer makes."""

    def step(x: Any, labels: Any) -> float:
        optimizer.zero_grad()
        value = float(loss.forward(model.forward(x), labels))
        backward_into(model, loss.backward(), need_dx=False)
        optimizer.step()
        return value

    return step

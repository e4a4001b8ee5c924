"""A network learns as much with the kernels as with the definitions."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.data import ArrayDataset, Loader
from minicnn.kernels import using
from minicnn.losses import CrossEntropyLoss
from minicnn.models import lenet5
from minicnn.optim import SGD
from minicnn.train import Trainer


def blobs(count: int, seed: int) -> ArrayDataset:
    """Ten classes of 28x28 images: one bright square each, somewhere near its place, under noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    x = rng.standard_normal((count, 1, 28, 28)).astype(np.float32)
    for image, label in zip(x[:, 0], labels):
        row, col = 2 + 11 * (label // 5) + rng.integers(-2, 3), 1 + 5 * (label % 5) + rng.integers(-1, 2)
        image[row : row + 6, col : col + 5] += 1.0
    return ArrayDataset(x, labels)


def accuracy(seed: int, algorithm: str) -> float:
    with using(algorithm):
        model = lenet5(rng=np.random.default_rng(seed))
        trainer = Trainer(model, CrossEntropyLoss(), SGD(model, lr=0.05, momentum=0.9))
        training = Loader(blobs(2000, seed), batch_size=64, shuffle=True, rng=np.random.default_rng(seed))
        trainer.fit(training, epochs=3)
        return trainer.evaluate(blobs(1000, 100)).accuracy


@pytest.mark.slow
def test_lenet_learns_as_well_by_kernels_as_by_definition() -> None:
    by_kernels, by_definition = (
        np.array([accuracy(seed, algorithm) for seed in range(3)]) for algorithm in ("auto", "reference")
    )
    assert by_definition.min() > 0.5, "the task can be learned"
    # With 1000 test images one standard deviation is about 1%.
    np.testing.assert_allclose(by_kernels.mean(), by_definition.mean(), atol=0.03)

"""The doctor finds nothing where nothing is wrong, and names what was planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minicnn.data import ArrayDataset, Loader
from minicnn.functional import softmax_backward, softmax_forward
from minicnn.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    Sigmoid,
)
from minicnn.losses import CrossEntropyLoss, MSELoss
from minicnn.optim import SGD, Adam
from minicnn.train.doctor import Diagnosis, examine
from tests.support.training import weights_digest

CLASSES = 4


def images(count: int, seed: int = 0) -> ArrayDataset:
    """Class k is a bright band of rows in noise, normalised, in random order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % CLASSES)
    x = rng.normal(0, 1.0, (count, 1, 8, 8))
    for image, label in zip(x, labels):
        image[0, 2 * label : 2 * label + 2] += 2
    x = (x - x.mean()) / x.std()
    return ArrayDataset(x.astype(np.float32), labels)


TRAINING, VALIDATION = images(400), images(80, seed=1)


class Softmax(Layer):
    """A layer that should not be there."""

    def forward(self, x: Any) -> Any:
        y, self.cache = softmax_forward(x, dim=1)
        return y

    def backward(self, dy: Any) -> Any:
        return softmax_backward(dy, self.take_cache())


def network(*last: Layer, seed: int = 0, drop: float = 0.2, norm: bool = False) -> Sequential:
    rng = np.random.default_rng(seed)
    model = Sequential(
        conv=Conv2d(1, 8, 3, padding=1, rng=rng),
        **({"bn": BatchNorm2d(8)} if norm else {}),
        act=ReLU(),
        pool=MaxPool2d(2),
        flatten=Flatten(),
        drop=Dropout(drop, rng=rng),
        fc1=Linear(128, 32, rng=rng),
        act2=ReLU(),
        fc2=Linear(32, CLASSES, rng=rng),
    )
    for number, layer in enumerate(last):
        setattr(model, f"last{number}", layer)
    return model


def look(
    model: Layer | None = None,
    training: Any = TRAINING,
    validation: Any = VALIDATION,
    quick: bool = True,
    **options: Any,
) -> Diagnosis:
    model = network() if model is None else model
    options.setdefault("optimizer", Adam(model, lr=options.pop("lr", 3e-3)))
    return examine(model, training, validation, figures=False, quick=quick, **options)


class TestHealthy:
    def test_nothing_is_wrong(self) -> None:
        diagnosis = look(quick=False)
        assert diagnosis.faults == []
        assert str(diagnosis).endswith("nothing is wrong: train.")
        assert len(diagnosis.findings) >= 13

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_nothing_is_wrong_with_other_seeds_and_sgd(self, seed: int) -> None:
        model = network(seed=seed, drop=0.0, norm=True)
        assert look(model, optimizer=SGD(model, lr=0.05, momentum=0.9), seed=seed, quick=False).faults == []

    @pytest.mark.slow
    def test_everything_is_as_before(self) -> None:
        model = network()
        optimizer = Adam(model, lr=3e-3)
        digest, random = weights_digest(model), model.drop.random_state()
        diagnosis = examine(model, TRAINING, VALIDATION, optimizer=optimizer)
        assert set(diagnosis.figures) == {"input.png", "depth.png", "lr_sweep.png"}
        assert weights_digest(model) == digest
        assert model.drop.random_state() == random
        assert (optimizer.lr, optimizer.state, model.training, model.drop.p) == (3e-3, {}, True, 0.2)


def shuffled_labels() -> Diagnosis:
    labels = np.random.default_rng(0).permutation(TRAINING.labels)
    return look(training=ArrayDataset(TRAINING.images, labels))


def rate_too_high() -> Diagnosis:
    return look(lr=0.3, quick=False)


def rate_too_low() -> Diagnosis:
    return look(lr=3e-5, quick=False)


def raw_pixels() -> Diagnosis:
    rng = np.random.default_rng(0)
    x = np.clip(TRAINING.images * 60 + 100 + rng.normal(0, 1, TRAINING.images.shape), 0, 255)
    return look(training=ArrayDataset(x.astype(np.float32), TRAINING.labels))


def zero_weights() -> Diagnosis:
    model = network()
    for parameter in model.parameters():
        if parameter.value.ndim > 1:
            parameter.value[...] = 0
    return look(model)


def double_softmax() -> Diagnosis:
    return look(network(Softmax()))


def sigmoid_outputs() -> Diagnosis:
    return look(network(Sigmoid()))


def squared_error_with_labels() -> Diagnosis:
    return look(loss=MSELoss())


def relu_at_the_end() -> Diagnosis:
    return look(network(ReLU()))


def gradients_kept() -> Diagnosis:
    model = network()
    optimizer, loss = Adam(model, lr=3e-3), CrossEntropyLoss()

    def step(x: Any, labels: Any) -> float:  # a student's loop, without zero_grad
        value = float(loss(model(x), labels))
        model.backward(loss.backward())
        optimizer.step()
        return value

    return look(model, optimizer=optimizer, step=step)


def frozen_layers() -> Diagnosis:
    model = network()
    model.conv.freeze()
    return look(model)


def forgotten_by_the_optimizer() -> Diagnosis:
    model = network()
    return look(model, optimizer=Adam(model.fc2, lr=3e-3))


def leak() -> Diagnosis:
    rows = np.arange(0, 200)
    mixed = np.concatenate([VALIDATION.images, TRAINING.images[rows]])
    labels = np.concatenate([VALIDATION.labels, TRAINING.labels[rows]])
    return look(validation=ArrayDataset(mixed, labels))


def one_class() -> Diagnosis:
    return look(training=TRAINING.subset(TRAINING.labels == 2))


def sorted_without_shuffling() -> Diagnosis:
    order = np.argsort(TRAINING.labels, kind="stable")
    return look(training=Loader(TRAINING.subset(order), 16))


def dead_units() -> Diagnosis:
    model = network()
    model.fc1.bias.value[...] = -50
    return look(model)


def too_few_outputs() -> Diagnosis:
    model = network()
    model.fc2 = Linear(32, CLASSES - 1)
    return look(model)


class Forgets(Linear):
    """A backward that forgets the weights, and passes nothing on."""

    def backward(self, dy: Any, need_dx: bool = True) -> Any:
        x = self.take_cache().x
        return np.zeros_like(x)


def wrong_backward() -> Diagnosis:
    model = network()
    model.fc2 = Forgets(32, CLASSES, rng=np.random.default_rng(0))
    return look(model, quick=False)


FAULTS = {
    shuffled_labels: "labels shuffled",
    rate_too_high: "learning rate too high",
    rate_too_low: "learning rate too low",
    raw_pixels: "inputs not normalised",
    zero_weights: "weights initialised at zero",
    double_softmax: "loss not matching the last layer",
    sigmoid_outputs: "loss not matching the last layer",
    squared_error_with_labels: "loss not matching the last layer",
    relu_at_the_end: "ReLU after the logits",
    gradients_kept: "gradients not zeroed",
    frozen_layers: "frozen by mistake",
    forgotten_by_the_optimizer: "frozen by mistake",
    leak: "data leak between splits",
    one_class: "one class only",
    sorted_without_shuffling: "batches of one class",
    dead_units: "dead ReLUs",
    too_few_outputs: "too few outputs",
    wrong_backward: "cannot learn one batch by heart",
}


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_what_was_planted_is_named(plant: Any) -> None:
    diagnosis = plant()
    assert FAULTS[plant] in diagnosis.faults, str(diagnosis)
    # At the head of the list, or behind nothing but its own consequences.
    assert diagnosis.faults.index(FAULTS[plant]) <= 1, str(diagnosis)
    assert FAULTS[plant] in str(diagnosis)


def test_as_json() -> None:
    content = one_class().to_dict()
    assert content["faults"][0] == "one class only"
    assert {"check", "verdict", "text", "fault"} == set(content["findings"][0])

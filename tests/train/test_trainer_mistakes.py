"""What the trainer says when data, labels, loss or optimizer are not what is meant."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minicnn.data import Loader
from minicnn.errors import ConfigError, DataError, DTypeError, LabelError, ShapeError, TrainingError
from minicnn.layers import Layer
from minicnn.losses import CrossEntropyLoss, MSELoss
from minicnn.optim import SGD
from minicnn.train import Trainer
from tests.support.training import (
    batches_of,
    linear_network,
    make_trainer,
    tiny_data,
    tiny_network,
)


class TestMistakes:
    """What a newcomer gives, and the answer."""

    def fit(self, x: Any, labels: Any, model: Layer | None = None) -> None:
        make_trainer(model).fit([(x, labels)], epochs=1)

    @pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
    def test_nan_in_the_input_names_the_image(self, poison: float) -> None:
        x, labels = tiny_data(6)[:]
        x[4, 0, 3, 3] = poison
        with pytest.raises(DataError, match=r"input holds NaN or infinity: 1 of 6 images, first number 4"):
            self.fit(x, labels, tiny_network())

    def test_nan_in_the_second_batch_names_epoch_and_batch(self) -> None:
        first, second = tiny_data(6)[:], tiny_data(6)[:]
        second[0][2] = np.nan
        with pytest.raises(DataError, match=r"epoch 1, batch 2 counted from the start"):
            make_trainer().fit([first, second], epochs=1)

    def test_nan_in_the_targets_is_not_taken_for_divergence(self) -> None:
        model = linear_network()
        x, _ = tiny_data(6)[:]
        target = np.zeros((6, 3), np.float32)
        target[5, 1] = np.nan
        with pytest.raises(DataError, match="labels hold NaN or infinity: 1 of 6 samples, first number 5"):
            Trainer(model, MSELoss(), SGD(model)).fit([(x, target)], epochs=1)

    def test_nan_in_the_data_to_evaluate_names_the_image(self) -> None:
        x, labels = tiny_data(6)[:]
        x[1] = np.nan
        with pytest.raises(
            DataError, match=r"1 of 6 images, first number 1 in the batch \(batch 2 of the eval"
        ):
            make_trainer().evaluate([tiny_data(6)[:], (x, labels)])

    def test_a_loss_that_runs_away_names_the_learning_rate(self) -> None:
        with pytest.raises(
            TrainingError, match=r"diverged.*Lower the learning rate \(now 1e\+30\)"
        ) as raised:
            make_trainer(tiny_network(), lr=1e30).fit(Loader(tiny_data(24), 8), epochs=5)
        assert "epoch 1, batch" in str(raised.value)

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (
                [0, 1, 2, 3],
                r"labels\[3\] is 3, but logits for 3 classes expect labels from 0 to 2: labels start",
            ),
            ([0, 1, -1, 2], r"labels\[2\] is -1"),
            (np.array([0.0, 1.0, 2.0, 0.0]), "integer labels.*float64: use labels.astype"),
            (np.eye(4, 3, dtype=np.int64), r"one-hot labels; use labels.argmax\(axis=1\)"),
            ([0, 1, 2], "check that images and labels come from the same batch"),
        ],
        ids=["too large", "negative", "float", "one-hot", "too few"],
    )
    def test_wrong_labels(self, labels: Any, message: str) -> None:
        x, _ = tiny_data(4)[:]
        with pytest.raises(LabelError, match=message):
            self.fit(x, np.asarray(labels))

    def test_raw_bytes(self) -> None:
        with pytest.raises(DTypeError, match="raw image bytes: scale them first"):
            self.fit(np.zeros((4, 1, 8, 8), np.uint8), np.zeros(4, np.int64), tiny_network())

    def test_channels_last(self) -> None:
        x = np.zeros((4, 8, 8, 1), np.float32)
        with pytest.raises(ShapeError, match=r"looks like NHWC; use x.transpose\(0, 3, 1, 2\)"):
            self.fit(x, np.zeros(4, np.int64), tiny_network())

    def test_no_batch_at_all(self) -> None:
        for empty in ([], tiny_data(6).subset([])):
            with pytest.raises(DataError, match="the training data gave no batch"):
                make_trainer().fit(empty, epochs=1)

    def test_a_generator_can_be_read_only_once(self) -> None:
        generator = (batch for batch in batches_of(tiny_data()))
        with pytest.raises(DataError, match=r"no batch in epoch 2.*a generator can be read only once"):
            make_trainer().fit(generator, epochs=2)

    def test_a_batch_without_images(self) -> None:
        with pytest.raises(DataError, match="a batch holds no image"):
            self.fit(np.zeros((0, 1, 8, 8), np.float32), np.zeros(0, np.int64))

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ((np.zeros((4, 1, 8, 8)), np.zeros(4)), r"got tuple: .*data.ArrayDataset\(images, labels\)"),
            (np.zeros((4, 1, 8, 8)), r"got ndarray: .*data.ArrayDataset\(images, labels\)"),
            (SimpleNamespace(train=tiny_data(3), test=tiny_data(3)), r"pick a part of it, .train or .test"),
            (7, r"got int: batches are pairs \(x, labels\)"),
        ],
        ids=["arrays", "images", "both parts", "number"],
    )
    def test_what_is_no_source_of_batches(self, source: Any, message: str) -> None:
        with pytest.raises(
            ConfigError, match=f"fit takes a Loader, a data set or a list of batches.*{message}"
        ):
            make_trainer().fit(source, epochs=1)
        with pytest.raises(ConfigError, match=f"evaluate takes .*{message}"):
            make_trainer().evaluate(source)

    def test_no_epochs(self) -> None:
        with pytest.raises(ConfigError, match="epochs must be at least 1, got 0"):
            make_trainer().fit(tiny_data(), epochs=0)

    def test_the_optimizer_of_another_model(self) -> None:
        optimizer = SGD(linear_network())
        with pytest.raises(ConfigError, match="this SGD trains none of the model's parameters"):
            Trainer(linear_network(), CrossEntropyLoss(), optimizer)

    def test_a_loss_without_parentheses(self) -> None:
        model = linear_network()
        with pytest.raises(ConfigError, match=r"CrossEntropyLoss\(\) with parentheses"):
            Trainer(model, CrossEntropyLoss, SGD(model))  # type: ignore[arg-type]

    def test_a_loss_that_is_no_mean(self) -> None:
        model = linear_network()
        with pytest.raises(ConfigError, match='needs reduction="mean"'):
            Trainer(model, CrossEntropyLoss(reduction="sum"), SGD(model))

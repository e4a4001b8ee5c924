"""The training loop: what it tells, what it counts, what it refuses, and that it can be repeated."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minicnn.data import ArrayDataset, Loader
from minicnn.errors import ConfigError, DataError, DTypeError, LabelError, ShapeError, TrainingError
from minicnn.functional import softmax_forward
from minicnn.layers import Layer
from minicnn.losses import CrossEntropyLoss, MSELoss
from minicnn.optim import SGD, Adam
from minicnn.schedules import ExponentialLR, LinearWarmup, OneCycleLR, ReduceLROnPlateau, StepLR
from minicnn.train import Callback, Trainer, predict
from tests.support.training import (
    digest_after_training,
    linear_network,
    python,
    tiny_data,
    tiny_network,
    weights_digest,
)

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


class TestCallbacks:
    def test_two_epochs_with_validation_are_told_in_this_order(self) -> None:
        recorder = Recorder()
        make_trainer(callbacks=[recorder]).fit(
            Loader(tiny_data(24), 8), validation=tiny_data(6, seed=1), epochs=2
        )
        epoch = [
            "before_epoch",
            *["before_batch", "after_batch"] * 3,
            "before_evaluation",
            "after_evaluation",
            "after_epoch",
        ]
        assert recorder.events == ["before_fit", *epoch, *epoch, "after_fit"]

    def test_without_validation_nothing_is_evaluated(self) -> None:
        recorder = Recorder()
        make_trainer(callbacks=[recorder]).fit(Loader(tiny_data(16), 8), epochs=1)
        assert recorder.events == [
            "before_fit",
            "before_epoch",
            *["before_batch", "after_batch"] * 2,
            "after_epoch",
            "after_fit",
        ]

    def test_the_trainer_says_where_training_stands(self) -> None:
        recorder = Recorder()
        make_trainer(callbacks=[recorder]).fit(Loader(tiny_data(20), 8), epochs=2)
        after = [entry for entry in recorder.log if entry.event == "after_batch"]
        assert [entry.step for entry in after] == [1, 2, 3, 4, 5, 6]
        assert [entry.epoch for entry in after] == [1, 1, 1, 2, 2, 2]
        assert [entry.batch_size for entry in after] == [8, 8, 4, 8, 8, 4]
        losses = [entry.batch_loss for entry in after]
        assert after[1].mean_loss == pytest.approx((losses[0] + losses[1]) / 2)
        assert after[2].mean_loss == pytest.approx((8 * losses[0] + 8 * losses[1] + 4 * losses[2]) / 20)
        assert after[3].mean_loss == pytest.approx(losses[3])  # each epoch starts anew
        assert [e.records for e in recorder.log if e.event == "after_epoch"] == [1, 2]

    def test_callbacks_are_told_in_the_order_they_were_given(self) -> None:
        log: list[Any] = []
        make_trainer(callbacks=[Recorder(log, "a"), Recorder(log, "b")]).fit(
            Loader(tiny_data(8), 8), epochs=1
        )
        assert [entry.who for entry in log] == ["a", "b"] * (len(log) // 2)
        assert [entry.event for entry in log[::2]] == [entry.event for entry in log[1::2]]

    def test_an_object_with_a_single_method_is_a_callback(self) -> None:
        class CountsEpochs:
            count = 0

            def after_epoch(self, trainer: Trainer) -> None:
                self.count += 1

        callback = CountsEpochs()
        make_trainer(callbacks=[callback]).fit(tiny_data(), epochs=3)
        assert callback.count == 3

    @pytest.mark.parametrize("event", ["before_epoch", "before_batch", "after_batch", "after_epoch"])
    def test_after_fit_comes_also_when_a_callback_fails(self, event: str) -> None:
        class Fails(Callback):
            pass

        def fail(trainer: Trainer) -> None:
            raise ZeroDivisionError("on purpose")

        failing, recorder = Fails(), Recorder()
        setattr(failing, event, fail)
        with pytest.raises(ZeroDivisionError, match="on purpose"):
            make_trainer(callbacks=[recorder, failing]).fit(tiny_data(), epochs=1)
        assert recorder.events[-1] == "after_fit"
        assert recorder.events.count("after_fit") == 1

    def test_after_fit_comes_also_when_the_data_end_in_an_error(self) -> None:
        recorder = Recorder()
        with pytest.raises(DataError):
            make_trainer(callbacks=[recorder]).fit([], epochs=1)
        assert recorder.events == ["before_fit", "before_epoch", "after_fit"]

    def test_stop_finishes_the_epoch_and_no_more(self) -> None:
        class StopsInEpochTwo(Callback):
            def after_batch(self, trainer: Trainer) -> None:
                trainer.stop = trainer.epoch == 2

        recorder = Recorder()
        trainer = make_trainer(callbacks=[StopsInEpochTwo(), recorder])
        history = trainer.fit(Loader(tiny_data(24), 8), tiny_data(6), epochs=10)
        assert [record.epoch for record in history] == [1, 2]
        assert trainer.step == 6
        assert recorder.events[-2:] == ["after_epoch", "after_fit"]

    def test_a_second_fit_goes_on_where_the_first_ended(self) -> None:
        class StopsAtOnce(Callback):
            def after_epoch(self, trainer: Trainer) -> None:
                trainer.stop = True

        trainer = make_trainer(callbacks=[StopsAtOnce()])
        trainer.fit(tiny_data(), epochs=5)
        trainer.callbacks.clear()
        trainer.fit(tiny_data(), epochs=2)
        assert [record.epoch for record in trainer.history] == [1, 2, 3]
        assert trainer.last_epoch == 3

    @pytest.mark.parametrize(
        ("training", "images"),
        [
            (Loader(tiny_data(20), 8), 20),
            (Loader(tiny_data(20), 8, drop_last=True), 16),
            (tiny_data(20), 20),
            (batches_of(tiny_data(20)), None),
        ],
        ids=["loader", "drop_last", "data set", "list"],
    )
    def test_images_per_epoch_is_known_where_it_can_be(self, training: Any, images: int | None) -> None:
        trainer = make_trainer()
        trainer.fit(training, epochs=1)
        assert trainer.images_per_epoch == images


class TestHistory:
    """With learning rate 0 the weights stay, so every figure can be computed from outside."""

    def test_figures_are_means_over_images_also_when_the_last_batch_is_smaller(self) -> None:
        model = linear_network()
        training, validation = tiny_data(10), tiny_data(7, seed=1)
        trainer = make_trainer(model, lr=0.0)
        record = trainer.fit(Loader(training, 4), Loader(validation, 3), epochs=1)[0]
        for data, loss, accuracy in (
            (training, record.train_loss, record.train_accuracy),
            (validation, record.validation_loss, record.validation_accuracy),
        ):
            logits = model(data.images)
            assert loss == pytest.approx(float(CrossEntropyLoss().forward(logits, data.labels)), rel=1e-6)
            assert accuracy == pytest.approx((logits.argmax(axis=1) == data.labels).mean())
        assert record.epoch == 1
        assert record.seconds > 0
        assert record.images_per_second == pytest.approx(10 / record.seconds)

    def test_without_validation_its_figures_are_missing(self) -> None:
        record = make_trainer().fit(tiny_data(), epochs=1)[0]
        assert record.validation_loss is None
        assert record.validation_accuracy is None

    def test_labels_that_are_no_classes_have_no_accuracy(self) -> None:
        model = linear_network()
        rng = np.random.default_rng(0)
        x = rng.standard_normal((6, 1, 8, 8), dtype=np.float32)
        target = rng.standard_normal((6, 3), dtype=np.float32)
        trainer = Trainer(model, MSELoss(), SGD(model, lr=0.0))
        record = trainer.fit([(x, target)], [(x, target)], epochs=1)[0]
        assert record.train_accuracy is None
        assert record.validation_accuracy is None
        assert record.train_loss == pytest.approx(float(((model(x) - target) ** 2).mean()), rel=1e-6)
        assert record.validation_loss == pytest.approx(record.train_loss)

    def test_fit_returns_the_history_of_all_epochs(self) -> None:
        trainer = make_trainer()
        first = trainer.fit(tiny_data(), epochs=2)
        assert first is trainer.history
        assert len(trainer.fit(tiny_data(), epochs=1)) == 3


class TestSchedules:
    def used(
        self, make_schedule: Any, epochs: int, validation: Any = None, lr: float = 1.0
    ) -> tuple[Any, Any]:
        """The learning rate of every batch, as its optimizer step met it; and the recorded ones."""
        model = linear_network()
        optimizer = SGD(model, lr=lr)
        used: list[float] = []
        step = optimizer.step

        def spying_step() -> None:
            used.append(optimizer.lr)
            step()

        optimizer.step = spying_step  # type: ignore[method-assign]
        trainer = Trainer(model, CrossEntropyLoss(), optimizer, make_schedule(optimizer))
        trainer.fit(Loader(tiny_data(24), 8), validation, epochs=epochs)
        return used, trainer.history.column("lr")

    def test_by_batch(self) -> None:
        used, recorded = self.used(lambda o: ExponentialLR(o, gamma=0.5, steps_by="batch"), epochs=2)
        assert used == [1, 0.5, 0.25, 0.125, 0.0625, 0.03125]
        assert recorded == [0.25, 0.03125], "the learning rate of the epoch's last batch"

    def test_by_epoch(self) -> None:
        used, recorded = self.used(lambda o: StepLR(o, step_size=2, gamma=0.5), epochs=3)
        assert used == [1.0] * 6 + [0.5] * 3
        assert recorded == [1.0, 1.0, 0.5]

    def test_a_whole_cycle_ends_at_its_lowest_rate(self) -> None:
        used, recorded = self.used(
            lambda o: OneCycleLR(o, max_lr=1.0, total_steps=6, cycle_momentum=False), epochs=2
        )
        assert max(used) == pytest.approx(1.0, rel=0.05)
        assert used[0] == pytest.approx(1 / 25)
        assert used[-1] == recorded[-1] == pytest.approx(1 / 25 / 1e4)

    def test_on_a_plateau(self) -> None:
        """With a threshold of 100% nothing counts as better, so every epoch after the first lowers the rate."""
        _, recorded = self.used(
            lambda o: ReduceLROnPlateau(o, factor=0.5, patience=0, threshold=1.0),
            epochs=4,
            validation=tiny_data(6, seed=1),
            lr=0.01,
        )
        assert recorded == [0.01, 0.01, 0.005, 0.0025]

    def test_a_warm_up_followed_by_a_plateau(self) -> None:
        def schedule(optimizer: SGD) -> LinearWarmup:
            after = ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=1.0)
            return LinearWarmup(optimizer, 2, after, steps_by="epoch")

        _, recorded = self.used(schedule, epochs=5, validation=tiny_data(6, seed=1), lr=0.01)
        assert recorded == pytest.approx([0.005, 0.01, 0.01, 0.01, 0.005])

    def test_a_plateau_needs_a_validation_set(self) -> None:
        model = linear_network()
        optimizer = SGD(model, lr=0.1)
        trainer = Trainer(model, CrossEntropyLoss(), optimizer, ReduceLROnPlateau(optimizer))
        with pytest.raises(TrainingError, match="ReduceLROnPlateau watches the validation loss"):
            trainer.fit(tiny_data(), epochs=1)

    def test_a_schedule_that_does_not_say_when_it_steps_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="whether it steps by batch or by epoch"):
            make_trainer(schedule=object())


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


class TestTraining:
    def test_it_learns(self) -> None:
        model = tiny_network()
        trainer = Trainer(model, CrossEntropyLoss(), Adam(model, lr=0.01))
        trainer.fit(Loader(tiny_data(96), 16, shuffle=True, rng=np.random.default_rng(0)), epochs=8)
        assert trainer.evaluate(tiny_data(60, seed=9)).accuracy > 0.9
        assert trainer.history[-1].train_loss < trainer.history[0].train_loss

    def test_gradient_descent_by_hand(self) -> None:
        """For each batch w ← w - lr (softmax(x wᵀ + b) - onehot)ᵀ x / N, and the gradients do not add up."""
        model, batches = linear_network(), batches_of(tiny_data(20))
        weight, bias = model.fc.weight.value.copy(), model.fc.bias.value.copy()
        for x, labels in batches * 2:
            rows = x.reshape(len(x), -1)
            scores = np.exp(rows @ weight.T + bias)
            error = (scores / scores.sum(axis=1, keepdims=True) - np.eye(3)[labels]) / len(x)
            weight, bias = weight - 0.5 * error.T @ rows, bias - 0.5 * error.sum(axis=0)
        make_trainer(model, lr=0.5).fit(batches, epochs=2)
        np.testing.assert_allclose(model.fc.weight.value, weight, atol=1e-5)
        np.testing.assert_allclose(model.fc.bias.value, bias, atol=1e-5)

    def test_a_data_set_is_trained_in_shuffled_batches_of_64(self) -> None:
        orders: list[np.ndarray] = []

        class Watched(ArrayDataset):
            def __getitem__(self, index: Any) -> Any:
                orders.append(np.asarray(index))
                return super().__getitem__(index)

        data = tiny_data(100)
        make_trainer().fit(Watched(data.images, data.labels), epochs=2)
        assert [len(order) for order in orders] == [64, 36, 64, 36]
        epochs = [np.concatenate(orders[:2]), np.concatenate(orders[2:])]
        for order in epochs:
            assert sorted(order) == list(range(100))
            assert order.tolist() != list(range(100))
        assert epochs[0].tolist() != epochs[1].tolist()

    def test_labels_may_be_a_list(self) -> None:
        x, labels = tiny_data(6)[:]
        trainer = make_trainer()
        trainer.fit([(x, labels.tolist())], [(x, labels.tolist())], epochs=1)
        assert trainer.history[0].train_accuracy is not None
        assert trainer.history[0].validation_accuracy is not None

    def test_frozen_layers_stay_as_they_are(self) -> None:
        model = tiny_network()
        model.conv.freeze()
        before = model.conv.weight.value.copy()
        head = model.fc.weight.value.copy()
        make_trainer(model).fit(tiny_data(), epochs=1)
        np.testing.assert_array_equal(model.conv.weight.value, before)
        assert (model.fc.weight.value != head).any()

    def test_the_model_is_in_training_mode_while_it_trains(self) -> None:
        model = tiny_network()
        model.eval()
        make_trainer(model).fit(tiny_data(), tiny_data(6), epochs=1)
        assert all(layer.training for _, layer in model.named_layers())
        assert int(model.bn.num_batches_tracked.value) == 1

    def test_batches_are_left_as_they_were(self) -> None:
        batches = batches_of(tiny_data(16))
        before = [(x.copy(), labels.copy()) for x, labels in batches]
        make_trainer(tiny_network()).fit(batches, batches, epochs=2)
        for (x, labels), (x_before, labels_before) in zip(batches, before):
            np.testing.assert_array_equal(x, x_before)
            np.testing.assert_array_equal(labels, labels_before)


class TestEvaluation:
    def test_loss_outputs_and_labels_are_those_of_the_eval_mode_network(self) -> None:
        model, data = tiny_network(), tiny_data(10)
        evaluation = make_trainer(model).evaluate(Loader(data, 4))
        logits = model.eval()(data.images)
        np.testing.assert_allclose(evaluation.outputs, logits, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(evaluation.labels, data.labels)
        expected = float(CrossEntropyLoss().forward(logits, data.labels))
        assert evaluation.loss == pytest.approx(expected, rel=1e-5)

    def test_loader_list_and_data_set_give_the_same(self) -> None:
        trainer, data = make_trainer(tiny_network()), tiny_data(10)
        results = [trainer.evaluate(source) for source in (data, Loader(data, 10), [data[:]])]
        assert len({(result.loss, result.outputs.tobytes()) for result in results}) == 1

    def test_it_is_kept_and_told(self) -> None:
        recorder = Recorder()
        trainer = make_trainer(callbacks=[recorder])
        assert trainer.evaluation is None
        result = trainer.evaluate(tiny_data())
        assert trainer.evaluation is result
        assert recorder.events == ["before_evaluation", "after_evaluation"]

    def test_every_layer_has_its_own_mode_back(self) -> None:
        model = tiny_network()
        model.bn.eval()  # as one does with a frozen, published batch norm
        make_trainer(model).evaluate(tiny_data())
        modes = {name: layer.training for name, layer in model.named_layers()}
        assert modes.pop("bn") is False
        assert all(modes.values())

    def test_statistics_and_dropout_positions_are_left_alone(self) -> None:
        model = tiny_network()
        before, offset = weights_digest(model), model.drop.offset
        trainer = make_trainer(model)
        trainer.evaluate(tiny_data())
        trainer.predict(tiny_data())
        assert weights_digest(model) == before
        assert model.drop.offset == offset

    def test_it_may_come_between_forward_and_backward(self) -> None:
        """What forward left for backward is still there, so the gradients are the same."""
        gradients = []
        for evaluates in (False, True):
            model, loss = tiny_network(), CrossEntropyLoss()
            x, labels = tiny_data(6)[:]
            loss.forward(model(x), labels)
            dlogits = loss.backward()
            if evaluates:
                make_trainer(model).evaluate(tiny_data(12, seed=5))
            model.backward(dlogits)
            gradients.append([p.grad.tobytes() for p in model.parameters()])
        assert gradients[0] == gradients[1]

    def test_modes_come_back_after_an_error(self) -> None:
        model = tiny_network()
        with pytest.raises(ShapeError):
            make_trainer(model).evaluate([(np.zeros((2, 5, 8, 8), np.float32), np.zeros(2, np.int64))])
        assert all(layer.training for _, layer in model.named_layers())

    def test_an_empty_batch_among_others_is_passed_over(self) -> None:
        trainer, data = make_trainer(), tiny_data(6)
        assert trainer.evaluate([data[:0], data[:]]).loss == trainer.evaluate(data).loss

    @pytest.mark.parametrize("empty", [[], tiny_data(3).subset([]), [tiny_data(3)[:0]]])
    def test_nothing_to_evaluate(self, empty: Any) -> None:
        with pytest.raises(DataError, match="nothing to evaluate"):
            make_trainer().evaluate(empty)


class TestPredict:
    def test_probabilities_are_the_softmax_of_the_eval_mode_logits(self) -> None:
        model, data = tiny_network(), tiny_data(10)
        probabilities = predict(model, data.images)
        assert probabilities.shape == (10, 3)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
        expected, _ = softmax_forward(model.eval()(data.images), dim=1)
        np.testing.assert_allclose(probabilities, expected, rtol=1e-5)

    def test_arrays_data_sets_loaders_and_lists_give_the_same(self) -> None:
        trainer, data = make_trainer(tiny_network()), tiny_data(10)
        sources = (data.images, data, Loader(data, 10), [data[:]], [(data.images, None)])
        results = [trainer.predict(source) for source in sources]
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])

    def test_more_images_than_a_batch_come_out_in_order(self) -> None:
        model = linear_network()
        images = tiny_data(600).images
        together = predict(model, images)
        assert together.shape == (600, 3)
        np.testing.assert_allclose(together[599], predict(model, images[599:])[0], rtol=1e-5)

    def test_modes_come_back(self) -> None:
        model = tiny_network()
        model.drop.eval()
        predict(model, tiny_data())
        assert model.training
        assert not model.drop.training

    @pytest.mark.parametrize("empty", [[], np.zeros((0, 1, 8, 8), np.float32), tiny_data(3).subset([])])
    def test_nothing_to_predict(self, empty: Any) -> None:
        with pytest.raises(DataError, match="nothing to predict: no image was given"):
            predict(tiny_network(), empty)

    def test_a_single_image_needs_a_batch_axis(self) -> None:
        with pytest.raises(ShapeError, match=r"use x\[None\]"):
            predict(tiny_network(), tiny_data(3).images[0])


class TestRepeating:
    def test_the_same_seed_gives_the_same_bits_and_another_seed_others(self) -> None:
        assert digest_after_training(0) == digest_after_training(0)
        assert digest_after_training(0) != digest_after_training(1)

    @pytest.mark.parametrize("workers", [0, 1, 2])
    def test_another_process_gives_the_same_bits_with_any_number_of_loader_workers(
        self, workers: int
    ) -> None:
        done = python(
            "from tests.support.training import digest_after_training\n"
            f"print(digest_after_training(0, {workers}))"
        )
        assert done.stdout.strip() == digest_after_training(0), done.stderr

    def test_loader_workers_change_nothing_in_a_process_either(self) -> None:
        assert len({digest_after_training(0, workers) for workers in (0, 1, 2)}) == 1

    def test_evaluating_more_often_changes_no_weight(self) -> None:
        digests = set()
        for validation in (None, tiny_data(9)):
            model = tiny_network()
            loader = Loader(tiny_data(40), 16, shuffle=True, rng=np.random.default_rng(0))
            make_trainer(model).fit(loader, validation, epochs=2)
            digests.add(weights_digest(model))
        assert len(digests) == 1

"""The training loop: what it tells, what it counts, what it refuses, and that it can be repeated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minicnn.data import ArrayDataset, Loader
from minicnn.errors import ConfigError, DataError, TrainingError
from minicnn.losses import CrossEntropyLoss, MSELoss
from minicnn.optim import SGD, Adam
from minicnn.schedules import ExponentialLR, LinearWarmup, OneCycleLR, ReduceLROnPlateau, StepLR
from minicnn.train import Callback, Trainer
from tests.support.training import (
    Recorder,
    batches_of,
    digest_after_training,
    linear_network,
    make_trainer,
    python,
    tiny_data,
    tiny_network,
    weights_digest,
)


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

    def test_within_a_batch_the_loss_is_told_before_backward_and_gradients_before_the_update(self) -> None:
        told: list[str] = []
        model = linear_network()

        class Looks(Callback):
            def note(self, event: str, trainer: Trainer) -> None:
                told.append(f"{event} {model.fc.weight.has_grad} {weights_digest(model)[:6]} {trainer.step}")

            def before_batch(self, trainer: Trainer) -> None:
                self.note("before_batch", trainer)

            def after_loss(self, trainer: Trainer) -> None:
                assert np.isfinite(trainer.batch_loss)
                self.note("after_loss", trainer)

            def after_backward(self, trainer: Trainer) -> None:
                self.note("after_backward", trainer)

            def after_batch(self, trainer: Trainer) -> None:
                self.note("after_batch", trainer)

        before = weights_digest(model)[:6]
        Trainer(model, CrossEntropyLoss(), SGD(model), callbacks=[Looks()]).fit(tiny_data(8), epochs=1)
        assert told == [
            f"before_batch False {before} 0",
            f"after_loss False {before} 0",
            f"after_backward True {before} 0",
            f"after_batch True {weights_digest(model)[:6]} 1",
        ]
        assert weights_digest(model)[:6] != before

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

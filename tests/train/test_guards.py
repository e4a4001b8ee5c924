"""Callbacks that watch and steer: stopping, clipping, averaging, unfreezing, logging, lr finding."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minicnn.data import Loader
from minicnn.errors import ConfigError, MinicnnError, TrainingError
from minicnn.layers import Layer
from minicnn.losses import CrossEntropyLoss
from minicnn.optim import SGD, Adam
from minicnn.train import (
    BestWeights,
    Callback,
    Checkpoint,
    EarlyStopping,
    GradientClipping,
    GradualUnfreezing,
    JsonLines,
    TensorBoard,
    Trainer,
    WeightAverage,
    find_lr,
)
from minicnn.train.clipping import gradient_norm
from tests.support.training import linear_network, tiny_data, tiny_network, weights_digest


def trainer_of(model: Layer, *callbacks: Callback, lr: float = 0.1) -> Trainer:
    return Trainer(model, CrossEntropyLoss(), SGD(model, lr=lr), callbacks=callbacks)


def loader() -> Loader:
    return Loader(tiny_data(24), 8, shuffle=True, rng=np.random.default_rng(0))


class TestEarlyStopping:
    def feed(self, stopping: EarlyStopping, losses: list[float]) -> int | None:
        """The epoch at which it stops."""
        for epoch, loss in enumerate(losses, start=1):
            trainer: Any = SimpleNamespace(
                epoch=epoch, stop=False, history=[SimpleNamespace(validation_loss=loss)]
            )
            stopping.after_epoch(trainer)
            if trainer.stop:
                return epoch
        return None

    @pytest.mark.parametrize(
        ("losses", "patience", "delta", "epoch"),
        [
            ([3, 2, 1, 1, 1], 2, 0.0, 5),
            ([3, 2, 2.5, 1, 1.5], 2, 0.0, None),
            ([3, 2.9, 2.8, 2.7], 2, 0.5, 3),
            ([math.nan, math.nan], 2, 0.0, 2),
            ([1, 2, math.nan, 0.5], 3, 0.0, None),
        ],
    )
    def test_when_it_stops(self, losses: list[float], patience: int, delta: float, epoch: int | None) -> None:
        stopping = EarlyStopping(patience, min_delta=delta)
        assert self.feed(stopping, losses) == epoch == stopping.stopped_epoch

    def test_an_accuracy_is_better_when_it_is_higher(self) -> None:
        stopping = EarlyStopping(1, "validation_accuracy")
        for value in (0.5, 0.6):
            trainer: Any = SimpleNamespace(
                epoch=1, stop=False, history=[SimpleNamespace(validation_accuracy=value)]
            )
            stopping.after_epoch(trainer)
            assert not trainer.stop

    def test_it_goes_on_counting_after_a_resume(self) -> None:
        first, second = EarlyStopping(3), EarlyStopping(3)
        self.feed(first, [1, 2, 2])
        second.load_state_dict(first.state_dict())
        assert self.feed(second, [2]) == 1

    def test_without_the_figure(self) -> None:
        with pytest.raises(TrainingError, match="watches validation_loss, and this training has none"):
            trainer_of(linear_network(), EarlyStopping()).fit(tiny_data(), epochs=1)

    def test_bad_arguments(self) -> None:
        with pytest.raises(ConfigError, match="monitor is one of validation_loss"):
            EarlyStopping(monitor="val_loss")
        with pytest.raises(ConfigError, match="patience must be 1 epoch or more"):
            EarlyStopping(0)


class TestClipping:
    def clipped(self, clipping: GradientClipping) -> tuple[list[np.ndarray], list[np.ndarray]]:
        model, rng = linear_network(), np.random.default_rng(0)
        for parameter in model.parameters():
            parameter.grad = rng.standard_normal(parameter.shape).astype(np.float32)
        before = [parameter.grad.copy() for parameter in model.parameters()]
        clipping.after_backward(SimpleNamespace(model=model))  # type: ignore[arg-type]
        assert all(parameter.grad.dtype == np.float32 for parameter in model.parameters())
        return before, [parameter.grad for parameter in model.parameters()]

    def test_a_long_gradient_gets_the_norm_and_keeps_its_direction(self) -> None:
        clipping = GradientClipping(0.5)
        before, after = self.clipped(clipping)
        length = np.sqrt(sum((g.astype(float) ** 2).sum() for g in before))
        assert clipping.norm == pytest.approx(length, rel=1e-5)
        assert np.sqrt(sum((g**2).sum() for g in after)) == pytest.approx(0.5, rel=1e-4)
        for old, new in zip(before, after):
            np.testing.assert_allclose(new, old * (0.5 / length), rtol=1e-4)

    def test_a_short_one_stays(self) -> None:
        clipping = GradientClipping(1e6)
        before, after = self.clipped(clipping)
        for old, new in zip(before, after):
            np.testing.assert_array_equal(old, new)
        assert clipping.clipped == 0

    def test_by_value(self) -> None:
        before, after = self.clipped(GradientClipping(max_value=0.25))
        for old, new in zip(before, after):
            np.testing.assert_array_equal(new, np.clip(old, -0.25, 0.25))

    @pytest.mark.parametrize("arguments", [(), (1.0, 1.0), (0.0,), (-1.0,)])
    def test_bad_arguments(self, arguments: tuple[float, ...]) -> None:
        with pytest.raises(ConfigError, match="GradientClipping"):
            GradientClipping(*arguments)


class TestWeightAverage:
    def test_the_average_is_as_its_formula_says(self) -> None:
        model, average = linear_network(), WeightAverage(0.5)
        seen = [model.fc.weight.value.copy()]

        class Sees(Callback):
            def after_batch(self, trainer: Trainer) -> None:
                seen.append(model.fc.weight.value.copy())

        trainer_of(model, average, Sees()).fit(loader(), epochs=1)
        expected = seen[0].astype(np.float64)
        for t, value in enumerate(seen[1:], start=1):
            d = min(0.5, (1 + t) / (10 + t))
            expected = d * expected + (1 - d) * value
        np.testing.assert_allclose(average.average["fc.weight"], expected, rtol=1e-4)

    def test_evaluations_see_it_the_optimizer_does_not_and_the_best_weights_are_averaged(self) -> None:
        model, average, best = tiny_network(), WeightAverage(0.9), BestWeights()
        plain = tiny_network()
        trainer = trainer_of(model, best, average)
        trainer.fit(loader(), tiny_data(9), epochs=1)
        trainer_of(plain).fit(loader(), epochs=1)
        assert weights_digest(model) == weights_digest(plain)
        kept = tiny_network(5)
        best.restore(kept)
        np.testing.assert_array_equal(kept.fc.weight.value, average.average["fc.weight"])
        np.testing.assert_array_equal(kept.bn.running_mean.value, model.bn.running_mean.value)
        assert trainer.history[0].validation_loss == trainer_of(kept).evaluate(tiny_data(9)).loss
        average.apply(plain)
        np.testing.assert_array_equal(plain.fc.weight.value, kept.fc.weight.value)

    def test_after_fit_evaluations_see_the_model_itself(self) -> None:
        model = linear_network()
        trainer = trainer_of(model, WeightAverage(0.9))
        trainer.fit(loader(), epochs=1)
        assert trainer.evaluate(tiny_data(9)).loss == trainer_of(model).evaluate(tiny_data(9)).loss


class TestUnfreezing:
    def trained_in(self, unfreezing: GradualUnfreezing, epochs: int) -> list[set[str]]:
        model = tiny_network()
        seen: list[set[str]] = []

        class Sees(Callback):
            def after_epoch(self, trainer: Trainer) -> None:
                seen.append({name for name, p in model.named_parameters() if not p.frozen})

        trainer_of(model, unfreezing, Sees()).fit(loader(), epochs=epochs)
        return seen

    def test_from_the_last_layer_to_the_first(self) -> None:
        fc, bn = {"fc.weight", "fc.bias"}, {"bn.weight", "bn.bias"}
        everything = fc | bn | {"conv.weight", "conv.bias"}
        assert self.trained_in(GradualUnfreezing(), 4) == [fc, fc | bn, everything, everything]

    def test_stages_by_pattern(self) -> None:
        seen = self.trained_in(GradualUnfreezing([["fc.bias"], ["conv.*"]], every=2), 3)
        assert seen == [{"fc.bias"}, {"fc.bias"}, {"fc.bias", "conv.weight", "conv.bias"}]

    def test_a_pattern_that_matches_nothing(self) -> None:
        with pytest.raises(ConfigError, match=r"no parameter matches 'head.*'; the model has conv.weight"):
            self.trained_in(GradualUnfreezing([["head.*"]]), 1)


def test_the_norm_of_large_finite_gradients_may_overflow_quietly() -> None:
    model = linear_network()
    for parameter in model.parameters():
        parameter.grad = np.full(parameter.shape, 1e30, np.float32)
    assert gradient_norm(model.parameters()) == math.inf


class TestJsonLines:
    def test_batches_and_epochs(self, tmp_path: Path) -> None:
        trainer = trainer_of(linear_network(), JsonLines(tmp_path / "m.jsonl", every=2))
        trainer.fit(loader(), tiny_data(9), epochs=2)
        lines = [json.loads(text) for text in (tmp_path / "m.jsonl").read_text().splitlines()]
        assert [(line["kind"], line["step"]) for line in lines] == [
            ("batch", 2),
            ("epoch", 3),
            ("batch", 4),
            ("batch", 6),
            ("epoch", 6),
        ]
        assert lines[1] == {"kind": "epoch", "step": 3, **trainer.history[0].to_dict()}

    def test_after_a_crash_no_line_comes_twice(self, tmp_path: Path) -> None:
        class Crashes(Callback):
            def after_batch(self, trainer: Trainer) -> None:
                if trainer.step == 5:
                    raise ZeroDivisionError

        def fit(*callbacks: Callback) -> None:
            log = JsonLines(tmp_path / "m.jsonl", every=1)
            every = Checkpoint(tmp_path / "c", every_steps=2)
            trainer_of(linear_network(), log, *callbacks, every).fit(
                loader(), epochs=2, resume=tmp_path / "c"
            )

        with pytest.raises(ZeroDivisionError):
            fit(Crashes())
        with (tmp_path / "m.jsonl").open("a") as file:
            file.write('{"kind": "batch", "st')
        fit()
        lines = [json.loads(text) for text in (tmp_path / "m.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines if line["kind"] == "batch"] == [1, 2, 3, 4, 5, 6]
        assert [line["epoch"] for line in lines if line["kind"] == "epoch"] == [1, 2]


class TestTensorBoard:
    def test_without_the_package_it_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import sys

        monkeypatch.setitem(sys.modules, "tensorboard", None)
        monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
        with pytest.raises(ConfigError, match="pip install tensorboard; without it, JsonLines"):
            TensorBoard("logs")

    def test_its_own_reader_finds_the_figures_once(self, tmp_path: Path) -> None:
        pytest.importorskip("tensorboard")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        trainer = trainer_of(linear_network(), TensorBoard(tmp_path, every=1))
        trainer.fit(loader(), epochs=2)
        trainer.step = 4  # as a resumed training would be
        trainer.fit(loader(), epochs=1)
        events = EventAccumulator(str(tmp_path)).Reload()
        assert [event.step for event in events.Scalars("batch/loss")] == [1, 2, 3, 4, 5, 6, 7]
        first = events.Scalars("epoch/train_loss")[0]
        assert first.value == pytest.approx(trainer.history[0].train_loss)


class TestFindLr:
    def test_the_suggestion_trains_and_everything_is_put_back(self) -> None:
        model = tiny_network()
        optimizer = Adam(model, lr=0.123)
        digest, state = weights_digest(model), model.drop.random_state()
        result = find_lr(model, CrossEntropyLoss(), optimizer, loader(), steps=60)
        assert weights_digest(model) == digest
        assert model.drop.random_state() == state
        assert optimizer.lr == 0.123
        assert optimizer.state == {}
        assert 1e-4 < result.suggestion < 1
        assert len(result.lrs) == len(result.losses) == len(result.smoothed)
        assert result.lrs == sorted(result.lrs)
        trainer = Trainer(model, CrossEntropyLoss(), Adam(model, lr=result.suggestion))
        history = trainer.fit(loader(), epochs=15)
        assert history[-1].train_loss < 0.7 * history[0].train_loss

    def test_a_sweep_that_leaves_at_once(self) -> None:
        model = linear_network()
        with pytest.raises(MinicnnError, match="the loss left at once"):
            find_lr(
                model,
                CrossEntropyLoss(),
                SGD(model),
                [(np.full((2, 1, 8, 8), 1e38, np.float32), np.array([0, 1]))],
                start=1e20,
                end=1e30,
            )

    def test_bad_arguments(self) -> None:
        model = linear_network()
        with pytest.raises(ConfigError, match="0 < start < end"):
            find_lr(model, CrossEntropyLoss(), SGD(model), loader(), start=1.0, end=0.1)

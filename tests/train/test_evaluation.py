"""Evaluating and predicting: what comes out, and that it leaves the model as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minicnn.data import Loader
from minicnn.errors import DataError, ShapeError
from minicnn.functional import softmax_forward
from minicnn.losses import CrossEntropyLoss
from minicnn.train import predict
from tests.support.training import (
    Recorder,
    linear_network,
    make_trainer,
    tiny_data,
    tiny_network,
    weights_digest,
)


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

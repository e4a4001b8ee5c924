"""GoogLeNet's three outputs and its three gradients, its input transformation, and training it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minicnn import data, models, optim
from minicnn.errors import ConfigError, ShapeError
from minicnn.kernels import using
from minicnn.layers import Layer
from minicnn.losses import CrossEntropyLoss, WithAuxiliary
from minicnn.models.googlenet import GoogLeNetOutputs
from minicnn.train import Trainer
from tests.support.arrays import assert_close

LABELS = np.array([0, 1, 2])


def network(**options: Any) -> Layer:
    rng = np.random.default_rng(0)
    small = {"num_classes": 3, "width": 1 / 16, "dropout": 0.0, "dropout_aux": 0.0}
    return models.googlenet(rng=rng, **{**small, **options}).astype(np.float64)


def images() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((3, 3, 64, 64))


def gradients(model: Layer) -> dict[str, np.ndarray]:
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def after(dy: Any) -> dict[str, np.ndarray]:
    """The gradients of a fresh network after one forward and the backward of dy."""
    model = network()
    model(images())
    model.backward(dy)
    return gradients(model)


def test_three_outputs_in_training_and_one_in_evaluation() -> None:
    model = network()
    outputs = model(images())
    assert isinstance(outputs, GoogLeNetOutputs)
    assert outputs._fields == ("logits", "aux_logits2", "aux_logits1")
    assert [output.shape for output in outputs] == [(3, 3)] * 3
    assert model.eval()(images()).shape == (3, 3)
    assert network(aux_logits=False)(images()).shape == (3, 3)


def test_without_auxiliary_heads_it_has_the_published_number_of_parameters() -> None:
    from minicnn.models.measure import size

    assert size("googlenet", aux_logits=False).parameters == 6_624_904


def test_the_gradient_of_three_outputs_is_the_sum_of_each_ones() -> None:
    """None means no gradient: the head is passed over."""
    rng = np.random.default_rng(2)
    dlogits, daux2, daux1 = (rng.standard_normal((3, 3)) for _ in range(3))
    together = after(GoogLeNetOutputs(dlogits, daux2, daux1))
    alone = [after((dlogits, None, None)), after((None, daux2, None)), after((None, None, daux1))]
    for name, gradient in together.items():
        assert_close(gradient, sum(part[name] for part in alone), 1e-12, name)
    assert not alone[0]["aux1.fc2.weight"].any()
    assert not alone[1]["fc.weight"].any()
    assert not alone[2]["inception4b.branch1.conv.weight"].any(), "behind the first head nothing is reached"
    assert alone[2]["inception4a.branch1.conv.weight"].any()


def test_backward_without_dx() -> None:
    model, other = network(), network()
    dy = tuple(np.ones((3, 3)) for _ in range(3))
    model(images()), other(images())
    assert model.backward(dy).shape == images().shape
    assert other.backward(dy, need_dx=False) is None
    for name, gradient in gradients(model).items():
        np.testing.assert_array_equal(gradients(other)[name], gradient)


@pytest.mark.parametrize(
    ("dy", "message"),
    [
        (np.ones((3, 3)), r"takes a tuple of their three gradients, got ndarray: use losses\.WithAuxiliary"),
        ((np.ones((3, 3)), np.ones((3, 3))), "takes a tuple of their three gradients, got tuple"),
        ((None, None, None), "three times None: at least one output needs a gradient"),
    ],
)
def test_a_gradient_of_another_form_is_refused_and_nothing_is_lost(dy: Any, message: str) -> None:
    model = network()
    model(images())
    with pytest.raises(ShapeError, match=message):
        model.backward(dy)
    model.backward(tuple(np.ones((3, 3)) for _ in range(3)))  # the cache is still there


def test_in_evaluation_a_tuple_is_refused() -> None:
    model = network().eval()
    model(images())
    with pytest.raises(ShapeError, match="gave logits alone, and backward takes one gradient"):
        model.backward(tuple(np.ones((3, 3)) for _ in range(3)))


def test_the_published_weights_input_transformation() -> None:
    """An image normalised by ImageNet's mean and deviation becomes (x - 0.5) / 0.5 of the raw one."""
    raw = np.random.default_rng(3).uniform(0, 1, (2, 3, 64, 64))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalised = (raw - mean[:, None, None]) / std[:, None, None]
    plain, transforming = network().eval(), network(transform_input=True).eval()
    assert list(transforming.state_dict()) == list(plain.state_dict())
    assert_close(transforming(normalised), plain((raw - 0.5) / 0.5), 1e-12)
    with pytest.raises(ConfigError, match=r"transform_input needs in_channels=3 .* got 1"):
        network(transform_input=True, in_channels=1)


def test_a_plain_loss_says_what_to_use_instead() -> None:
    with pytest.raises(
        ShapeError, match=r"got 3 \(GoogLeNetOutputs\): .*WithAuxiliary\(CrossEntropyLoss\(\), 0\.3\)"
    ):
        CrossEntropyLoss()(network()(images()), LABELS)


def test_the_trainer_trains_and_evaluates_it() -> None:
    """Accuracy is that of the main output; the loss counts the others in training and not in evaluation."""
    model = network().astype(np.float32)
    dataset = data.ArrayDataset(images().astype(np.float32), LABELS)
    loss = WithAuxiliary(CrossEntropyLoss(), 0.3)
    trainer = Trainer(model, loss, optim.Adam(model, lr=3e-3))
    with using("reference"):  # no kernel need be compiled for three images
        history = trainer.fit([dataset[:]], dataset, epochs=25)
    assert history[-1].train_accuracy == 1
    assert history[-1].train_loss < 0.5 * history[0].train_loss
    assert history[0].train_loss == pytest.approx(1.6 * np.log(3), rel=0.1), (
        "three losses, weights 1, 0.3, 0.3"
    )
    assert trainer.evaluate(dataset).outputs.shape == (3, 3)
    assert trainer.predict(dataset).shape == (3, 3)


def test_the_catalogue_knows_its_loss() -> None:
    assert repr(models.loss_for("googlenet")).startswith("WithAuxiliary(CrossEntropyLoss(")
    assert isinstance(models.loss_for("resnet18"), CrossEntropyLoss)

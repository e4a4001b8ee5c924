"""Whole networks: right ones pass, and in a wrong one the layer is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minicnn import layers, losses
from minicnn.gradcheck import Verdict, check_function, check_layer, check_model
from tests.mutants.unnamed import (
    CONV,
    LINEAR,
    NORM,
    _conv_arrays,
    _largest,
    _linear_arrays,
    _norm_arrays,
    spoiled,
)

LABELS = np.array([0, 2, 1])


def ten_layers(rng: np.random.Generator) -> list[layers.Layer]:
    return [
        layers.Conv2d(1, 3, 3, padding=1, rng=rng),
        layers.BatchNorm2d(3),
        layers.ReLU(),
        layers.MaxPool2d(2),
        layers.Conv2d(3, 4, 3, padding=1, stride=2, rng=rng),
        layers.Tanh(),
        layers.AvgPool2d(2, 1),
        layers.Flatten(),
        layers.Dropout(0.25, rng=rng),
        layers.Linear(4, 3, rng=rng),
    ]


def spoil(layer: Any) -> None:
    """Make the backward of one layer wrong by a twentieth: in dx, the one gradient that all have."""
    right = layer.backward
    layer.backward = _Spoiled(right)


class _Spoiled:
    """A bound method that can be copied with its layer."""

    def __init__(self, right: Callable[..., Any]) -> None:
        self.right = right

    def __call__(self, dy: Any, **options: Any) -> Any:
        dx = self.right(dy, **options)
        return dx * np.linspace(1.0, 1.05, dx.size).reshape(dx.shape)


@pytest.mark.parametrize("wrong", range(10))
def test_the_wrong_one_of_ten_layers_is_named(wrong: int) -> None:
    rng = np.random.default_rng(wrong)
    parts = ten_layers(rng)
    spoil(parts[wrong])
    report = check_model(
        layers.Sequential(*parts), losses.CrossEntropyLoss(), rng.standard_normal((3, 1, 6, 6)), LABELS
    )
    assert report.verdict is Verdict.FAIL
    assert report.culprit == str(wrong), report
    assert report.parts[str(wrong)].verdict is Verdict.FAIL
    assert f"going backward from the loss: {wrong}" in str(report)


def test_a_right_network_has_no_culprit() -> None:
    rng = np.random.default_rng(3)
    net = layers.Sequential(*ten_layers(rng))
    x = rng.standard_normal((3, 1, 6, 6)).astype(np.float32)
    report = check_model(net, losses.CrossEntropyLoss(label_smoothing=0.1), x, LABELS, every_layer=True)
    report.assert_ok()
    assert report.culprit is None
    assert [array.name for array in report.arrays][:3] == ["x", "0.weight", "0.bias"]


def test_a_wrong_loss_is_named() -> None:
    class NotDivided(losses.CrossEntropyLoss):
        def backward(self, dloss: Any = None) -> Any:
            return super().backward(dloss) * 3

    rng = np.random.default_rng(0)
    net = layers.Sequential(layers.Flatten(), layers.Linear(12, 4, rng=rng))
    report = check_model(net, NotDivided(), (3, 3, 2, 2), LABELS)
    assert report.culprit == "loss"
    assert "not divided by the batch size" in str(report.cause)


def test_a_loss_may_be_a_function() -> None:
    def squared(scores: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        return float(np.sum((scores - target) ** 2)), 2 * (scores - target)

    net = layers.Sequential(layers.Linear(5, 4, rng=np.random.default_rng(0)), layers.Sigmoid())
    check_model(net, squared, (3, 5), np.zeros((3, 4))).assert_ok()
    wrong = check_model(net, lambda s, t: (float(np.sum(s**2)), s), (3, 5), None)
    assert wrong.culprit == "loss"


def test_a_container_that_joins_its_right_parts_wrongly_is_named() -> None:
    class ForgetsTheSkip(layers.Residual):
        def backward(self, dy: Any, need_dx: bool = True) -> Any:
            self.shortcut.backward(dy)
            return self.body.backward(dy)

    rng = np.random.default_rng(0)
    block = ForgetsTheSkip(layers.Sequential(layers.Conv2d(2, 2, 3, padding=1, rng=rng), layers.Tanh()))
    net = layers.Sequential(
        stem=layers.Conv2d(1, 2, 3, rng=rng),
        block=block,
        flat=layers.Flatten(),
        head=layers.Linear(18, 3, rng=rng),
    )
    report = check_model(net, losses.CrossEntropyLoss(), (3, 1, 5, 5), LABELS)
    assert report.culprit == "block"
    assert "skip connection" in str(report.cause)


def test_ties_in_a_network_are_left_and_its_layers_asked() -> None:
    """On a constant image every pooling window is tied; double counting shows only there."""

    class CountsTies(layers.MaxPool2d):
        def forward(self, x: Any) -> Any:
            self.x = x
            self.y = super().forward(x)
            return self.y

        def backward(self, dy: Any) -> Any:
            super().backward(dy)
            n, c, h, w = self.x.shape
            windows = self.x.reshape(n, c, h // 2, 2, w // 2, 2)
            tied = windows == self.y[:, :, :, None, :, None]
            return (tied * dy[:, :, :, None, :, None]).reshape(self.x.shape)

    rng = np.random.default_rng(0)
    image = np.zeros((3, 1, 4, 4))
    image[:, :, 1, 1] = rng.standard_normal((3, 1))

    def net(pool: layers.Layer) -> layers.Layer:
        return layers.Sequential(pool, layers.Flatten(), layers.Linear(4, 3, rng=rng))

    right = check_model(net(layers.MaxPool2d(2)), losses.CrossEntropyLoss(), image, LABELS).assert_ok()
    assert right.has("corner")
    wrong = check_model(net(CountsTies(2)), losses.CrossEntropyLoss(), image, LABELS)
    assert wrong.culprit == "0"
    assert "ties are counted more than once" in str(wrong.cause)


# ---- no false alarm on networks with ReLU and max pooling


def random_network(seed: int) -> tuple[layers.Layer, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    channels = int(rng.integers(1, 3))
    parts: list[layers.Layer] = []
    size = int(rng.integers(7, 11))
    shape = (int(rng.integers(2, 5)), channels, size, size)
    for _ in range(int(rng.integers(1, 3))):
        out = int(rng.integers(2, 5))
        parts.append(layers.Conv2d(channels, out, 3, padding=int(rng.integers(0, 2)), rng=rng))
        if rng.random() < 0.4:
            parts.append(layers.BatchNorm2d(out))
        parts.append(layers.ReLU())
        if rng.random() < 0.4:
            body = layers.Sequential(layers.Conv2d(out, out, 3, padding=1, rng=rng), layers.ReLU())
            parts.append(layers.Residual(body))
        channels = out
    parts.append(layers.MaxPool2d(2, ceil_mode=bool(rng.random() < 0.5)))
    if rng.random() < 0.3:
        parts.append(layers.Dropout(0.3, rng=rng))
    x = rng.standard_normal(shape)
    if rng.random() < 0.3:  # quantised, with a black border: exact ties and zeros
        x = np.pad(np.round(2 * x[:, :, 2:-2, 2:-2]) / 2, ((0, 0), (0, 0), (2, 2), (2, 2)))
    y = x
    for part in parts:
        y = part.forward(y.astype(np.float32))
    net = layers.Sequential(*parts, layers.Flatten(), layers.Linear(int(np.prod(y.shape[1:])), 4, rng=rng))
    if rng.random() < 0.3:
        net.eval()
    return net, x.astype(rng.choice(["float32", "float64"])), rng.integers(0, 4, len(x))


@pytest.mark.parametrize("seed", range(6))
def test_a_small_network_passes(seed: int) -> None:
    check_model(*_with_loss(seed)).assert_ok()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_a_hundred_small_networks_pass(seed: int) -> None:
    check_model(*_with_loss(seed)).assert_ok()


def _with_loss(seed: int) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    net, x, labels = random_network(seed)
    return net, losses.CrossEntropyLoss(), x, labels


# ---- how small a mistake is found


@pytest.mark.parametrize(
    ("pair", "draw"),
    [(CONV, _conv_arrays), (LINEAR, _linear_arrays), (NORM, _norm_arrays)],
    ids=["conv", "linear", "batch norm"],
)
@pytest.mark.parametrize("seed", range(10))
def test_the_largest_element_off_by_a_billionth_is_found(pair: Any, draw: Any, seed: int) -> None:
    forward, backward, arrays = spoiled(pair, draw, _largest)(True, np.random.default_rng(seed))
    report = check_function(forward, backward, *arrays, rng=seed)
    assert report.arrays[1].verdict is Verdict.FAIL
    # The largest element is another one for each of the two cotangents that backward is asked for.
    assert 1 <= report.arrays[1].wrong_elements <= 2


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Conv2d(3, 4, 3, padding=1, rng=np.random.default_rng(0)), (2, 3, 6, 6)),
        (layers.Linear(8, 5, rng=np.random.default_rng(0)), (4, 8)),
        (layers.BatchNorm2d(3), (4, 3, 3, 3)),
    ],
    ids=["Conv2d", "Linear", "BatchNorm2d"],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_billionth_is_found_in_our_layers(layer: Any, shape: tuple[int, ...], seed: int) -> None:
    class Spoiled(type(layer)):  # type: ignore[misc]
        def backward(self, dy: Any, **options: Any) -> Any:
            before = self.weight.grad.copy()
            dx = super().backward(dy, **options)
            added = self.weight.grad - before
            added.flat[np.argmax(np.abs(added))] *= 1 + 1e-9
            self.weight.grad = before + added
            return dx

    check_layer(layer, shape, rng=seed).assert_ok()
    layer.__class__ = Spoiled
    try:
        report = check_layer(layer, shape, rng=seed)
    finally:
        layer.__class__ = Spoiled.__mro__[1]
    assert report["weight"].verdict is Verdict.FAIL, report


@pytest.mark.parametrize("seed", range(8))
def test_a_bias_gradient_that_nearly_cancels_is_no_false_alarm(seed: int) -> None:
    """Logits near zero and one image of each class: Σ (p - onehot) over the batch is 1e-5 of its terms."""
    rng = np.random.default_rng(seed)
    layer = layers.Linear(16, 3, rng=rng)
    layer.weight.value[...] *= 1e-3
    layer.bias.value[...] = 0
    x = rng.standard_normal((3, 16))
    model, labels = layers.Sequential(layer), np.array([0, 2, 1])
    report = check_model(model, losses.CrossEntropyLoss(), x, labels, every_layer=True)
    assert report.verdict is Verdict.PASS, str(report)

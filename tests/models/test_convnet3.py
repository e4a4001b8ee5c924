"""ConvNet-3: the counts by hand, shapes, dropout and gradients."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.models import convnet3
from tests.models.whole_network import check_whole_network

COUNTS = {
    "conv1": 32 * 3 * 9 + 32,
    "conv2": 64 * 32 * 9 + 64,
    "conv3": 128 * 64 * 9 + 128,
    "fc1": 2048 * 256 + 256,
    "fc2": 256 * 10 + 10,
}


def test_every_layer_has_the_parameters_counted_by_hand(rng: np.random.Generator) -> None:
    model = convnet3(rng=rng)
    for name, count in COUNTS.items():
        assert sum(p.size for p in getattr(model, name).parameters()) == count
    assert sum(p.size for p in model.parameters()) == sum(COUNTS.values()) == 620_362


def test_the_state_dict_names_layers_in_the_order_of_the_network(rng: np.random.Generator) -> None:
    expected = [f"{layer}.{part}" for layer in COUNTS for part in ("weight", "bias")]
    assert list(convnet3(rng=rng).state_dict()) == expected


def test_each_convolution_keeps_the_size_and_each_pooling_halves_it(rng: np.random.Generator) -> None:
    shapes = {row.name: row.output_shape[1:] for row in convnet3(rng=rng).summary((3, 32, 32)).rows}
    assert shapes["conv1"] == (32, 32, 32)
    assert shapes["pool1"] == (32, 16, 16)
    assert shapes["conv2"] == (64, 16, 16)
    assert shapes["pool2"] == (64, 8, 8)
    assert shapes["conv3"] == (128, 8, 8)
    assert shapes["pool3"] == (128, 4, 4)
    assert shapes["fc2"] == (10,)


@pytest.mark.parametrize(("batch", "num_classes", "in_channels"), [(1, 10, 3), (2, 4, 1), (0, 10, 3)])
def test_it_gives_one_score_a_class(
    rng: np.random.Generator, batch: int, num_classes: int, in_channels: int
) -> None:
    model = convnet3(num_classes, in_channels, rng=rng)
    y = model(rng.standard_normal((batch, in_channels, 32, 32), dtype=np.float32))
    assert y.shape == (batch, num_classes)
    assert y.dtype == np.float32


def test_dropout_is_on_in_training_and_off_in_evaluation(rng: np.random.Generator) -> None:
    model = convnet3(rng=rng)
    x = rng.standard_normal((2, 3, 32, 32), dtype=np.float32)
    assert (model(x) != model(x)).any()
    model.eval()
    np.testing.assert_array_equal(model(x), model(x))


def test_the_whole_gradient_agrees_with_central_differences(rng: np.random.Generator) -> None:
    check_whole_network(convnet3(rng=rng), (1, 3, 32, 32), rng, entries=2)
